"""The rows of a job: the questions, and the examples that are shown before them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from lm_eval_comparison.works import Job

from modeltest.api import DatasetError, Record, TaskData
from modeltest.data.load import load_dataset

GSM8K = "gsm8k"


def read_rows(job: Job, data_dir: str) -> TaskData:
    """Return the questions of `job` with their shots.

    Raises: DatasetError.
    """
    work = job.work
    data = load_dataset(
        work.task,
        "full",
        data_dir=data_dir,
        subjects=work.subjects,
        limit=job.questions,
        # lm-eval draws from all rows of this one file; which of them ModelTest would show is its own matter.
        shots_needed=bool(work.shots) and work.task != GSM8K,
    ).data
    return replace(data, shots={GSM8K: _gsm8k_train(Path(data_dir))}) if work.task == GSM8K else data


def _gsm8k_train(data_dir: Path) -> tuple[Record, ...]:
    path = data_dir / GSM8K / "train.jsonl"
    if not path.is_file():
        raise DatasetError(f"GSM8K is asked with shots out of {path}, which is not there")
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return tuple(Record(f"{GSM8K}/train/{number}", GSM8K, row) for number, row in enumerate(rows))
