"""What is asked: questions of MMLU with their shots, from the user's files or the bundled sample."""

from __future__ import annotations

from typing import Any

from modeltest import registry
from modeltest.api import RunSpec, TaskData, TaskOptions
from modeltest.data.load import load_dataset
from modeltest.data.loaded import FULL, SAMPLE

TASK = "mmlu"
SHOTS = 5

SUBJECTS = {
    FULL: ("abstract_algebra", "college_medicine", "high_school_world_history", "professional_law"),
    SAMPLE: ("astronomy", "computer_security", "high_school_geography", "philosophy"),
}


def split_of(data_dir: str | None) -> str:
    """Return which rows there are."""
    return SAMPLE if data_dir is None else FULL


def read_questions(data_dir: str | None, limit: int) -> TaskData:
    """Return at most `limit` questions of each subject, and the shots.

    Raises: DatasetError.
    """
    split = split_of(data_dir)
    return load_dataset(
        TASK, split, data_dir=data_dir, subjects=SUBJECTS[split], limit=limit, shots_needed=True
    ).data


def spec_of(order: dict[str, Any]) -> RunSpec:
    """Return the run that an order asks for: prompts as lm-evaluation-harness words them."""
    split = split_of(order["data_dir"])
    return RunSpec(
        "hf",
        f"{split}_MMLU",
        TASK,
        "auto",
        order["model"],
        dtype=order["dtype"],
        device=order["device"],
        options=TaskOptions(shots=SHOTS),
        split=split,
        protocol="lm-eval",
        subjects=SUBJECTS[split],
        limit=order["limit"],
        data_dir=order["data_dir"],
    )


def requests_of(spec: RunSpec) -> list[Any]:
    """Return the questions of a run as an engine is asked them."""
    task: Any = registry.load_task(TASK)
    return list(task.requests(read_questions(spec.data_dir, spec.limit or 1), spec))
