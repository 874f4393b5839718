"""How what was asked is known again: a question by the digest of its prompt, a trial by its name. Pure."""

from __future__ import annotations

import hashlib
import json

from modeltest.api import Measurement, Prompt, Request, TextPrompt, TokenPrompt, Trial
from modeltest.plain.contracts import to_plain


def request_digest(request: Request) -> str:
    """Return the digest of what decides an answer: the prompt, and the adapter if there is one."""
    digest = prompt_digest(request.prompt)
    if request.adapter is None:
        return digest
    return hashlib.sha256(f"{digest} {request.adapter}".encode()).hexdigest()


def prompt_digest(prompt: Prompt) -> str:
    """Return the sha256 of a prompt: of its text, or of the JSON of its turns or token ids."""
    if isinstance(prompt, TextPrompt):
        content = prompt.text
    elif isinstance(prompt, TokenPrompt):
        content = json.dumps(list(prompt.ids))
    else:
        content = json.dumps(to_plain(prompt.turns), ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()


def trial_name(trial: Trial | Measurement) -> str:
    """Return what tells a trial from every other of its run: `case/batch size/number`."""
    return f"{trial.case_index}/{trial.batch_size}/{trial.trial}"
