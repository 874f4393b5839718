"""What a pack is made of: the members of the zip file, and how large they may be."""

from __future__ import annotations

import re

from modeltest.api import Computation

FORMAT = "modeltest reference pack"
VERSION = 2
READABLE = (1, 2)
"""Version 1 has no questions as text, and no token ids of generated answers."""

MANIFEST = "manifest.json"
PREFIXES = "prefixes.jsonl"
"""Token ids that several prompts begin with, above all those of worked examples."""

QUESTIONS = "questions.jsonl"
TEXTS = "texts.jsonl"
WORDINGS = "wordings.jsonl"
"""Only where there are some."""

MOST_FILE_BYTES = 1 << 30
MOST_BYTES = 1 << 31
"""Of all members together, unpacked: two hundred times what the 14,042 questions of MMLU take."""

MOST_MANIFEST_BYTES = 1 << 25
MOST_PROMPT_TOKENS = 1 << 28
"""Of all prompts together, with what they share; those of MMLU with five shots have 13 million."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")


def answers_member(computation: Computation) -> str:
    """Return the name of the member with the answers of `computation`.

    Raises: ValueError where that would be no plain name of a file.
    """
    if not _NAME.fullmatch(computation.name):
        raise ValueError(
            f"computation {computation.name!r:.90}: a name has 1 to 80 of a-z, 0-9, '.', '_' and '-', and "
            "begins with a letter or digit"
        )
    return f"answers/{computation.name}.jsonl"
