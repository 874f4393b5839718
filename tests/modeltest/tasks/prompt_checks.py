"""Comparing prompts with goldens, and with the digests of real rows that are not ours to copy."""

import csv
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from modeltest.api import AccuracyTask, ChatPrompt, Prompt, RunSpec, TaskData, TextPrompt
from modeltest.data.load import load_dataset
from modeltest.plain.contracts import to_plain

GOLDENS = Path(__file__).resolve().parents[2] / "goldens"
COLUMNS = ("question", "A", "B", "C", "D", "answer")


def sample_data(dataset: str) -> TaskData:
    """Return the bundled rows of `dataset` with their shots."""
    return load_dataset(dataset, "sample", data_dir=None, shots_needed=True).data


def real_data(dataset: str, directory: Path) -> TaskData:
    """Return the real rows of `dataset` with their shots."""
    return load_dataset(dataset, "full", data_dir=str(directory), shots_needed=True).data


def first_prompt(task: AccuracyTask, data: TaskData, spec: RunSpec) -> Prompt:
    """Return the prompt of the first request."""
    return next(iter(task.requests(data, spec))).prompt


def assert_golden(task: AccuracyTask, spec: RunSpec) -> None:
    """Compare the prompt of the first bundled row with its golden file, byte for byte."""
    prompt = first_prompt(task, sample_data(task.dataset), spec)
    name = f"{task.name}_{spec.protocol}_{spec.options.shots}shot"
    if isinstance(prompt, TextPrompt):
        assert prompt.text.encode() == (GOLDENS / f"{name}.txt").read_bytes()
    else:
        assert isinstance(prompt, ChatPrompt)
        golden = (GOLDENS / f"{name}_chat.json").read_text(encoding="utf-8")
        assert to_plain(prompt.turns) == json.loads(golden)


def assert_known_digest(task: AccuracyTask, spec: RunSpec, text: str) -> None:
    """Compare a prompt with the digest and length on record for the first real row."""
    known = json.loads((GOLDENS / "real_prompts.json").read_text(encoding="utf-8"))
    name = f"{task.name}_{spec.protocol}_{spec.options.shots}shot"
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert {"sha256": digest, "characters": len(text)} == known[name]


def letter_rows(path: Path, columns: Sequence[str] | None = None) -> list[dict[str, str]]:
    """Return the rows of a CSV file, read without the project's reader; its first row names the columns."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, columns))
