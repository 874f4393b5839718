"""How long the longest prompt of a task is, counted with the checkpoint's own tokenizer if there is one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from heapq import nlargest
from pathlib import Path

from modeltest import registry
from modeltest.api import AccuracyTask, DatasetError, Request, RunSpec, SpecError, TextPrompt
from modeltest.data.load import load_dataset_of
from modeltest.doctor.checkpoint import Need
from modeltest.doctor.token_counts import token_counts

MINDIE_INPUT_TOKENS = 3072
MINDIE_OUTPUT_TOKENS = 512
"""What MindIE sets aside for the tasks with questions, whatever the prompts.

Source: Ascend/MindIE-LLM at 8b4871ad, tests/modeltest.
"""

COUNTED = 32
"""How many prompts are tokenized: the longest in bytes, for the longest in tokens is hardly elsewhere."""

TOKENIZER_FILE = "tokenizer.json"


def longest_prompt(spec: RunSpec) -> Need:
    """Return what the longest prompt of the task in `spec` needs.

    Counted where dataset and tokenizer are here; else what MindIE sets aside.

    Raises: SpecError for a task that asks no questions.
    """
    task = registry.task_of(spec)
    if not isinstance(task, AccuracyTask):
        raise SpecError(f"task {spec.task!r} asks no questions: give its shapes with --case instead")
    try:
        longest = nlargest(COUNTED, _requests(task, spec), key=lambda request: len(_text(request).encode()))
    except DatasetError:
        return _set_aside(f"the dataset {task.dataset} is not here")
    path = Path(spec.weights) / TOKENIZER_FILE
    if not path.is_file():
        return _set_aside(f"the checkpoint has no {TOKENIZER_FILE} to count with")
    lengths = token_counts(path, [_text(request) for request in longest])
    if not lengths:
        return _set_aside(f"{path} cannot be used to count")
    output_tokens = max(max(request.max_new_tokens, 1) for request in longest)
    return Need(max(lengths), output_tokens, f"the longest prompt of {spec.mode}")


def _requests(task: AccuracyTask, spec: RunSpec) -> Iterator[Request]:
    data = load_dataset_of(
        task, spec.split, data_dir=spec.data_dir, shots_needed=bool(spec.options.shots)
    ).data
    # As text: what a chat template adds is some tokens a turn.
    return task.requests(data, replace(spec, chat=False))


def _text(request: Request) -> str:
    return request.prompt.text if isinstance(request.prompt, TextPrompt) else ""


def _set_aside(reason: str) -> Need:
    return Need(MINDIE_INPUT_TOKENS, MINDIE_OUTPUT_TOKENS, f"what MindIE sets aside ({reason})")
