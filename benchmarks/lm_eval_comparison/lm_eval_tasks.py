"""Tasks for lm-evaluation-harness over local rows: its own templates, with the data read from files.

Each task file includes the task of the same name that comes with lm-eval, so that header, question, answers
and shots are worded by lm-eval itself, and replaces only where the rows come from.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lm_eval_comparison.works import Work

from modeltest.api import Record, TaskData

LETTERS = ("A", "B", "C", "D")
ID = "modeltest_id"
"""The column by which lm-eval's samples are matched with ours."""


@dataclass(frozen=True, slots=True)
class _Template:
    """Where lm-eval's task file of a subject lies, how its splits are called and what its rows hold."""

    file: str
    split: str
    columns: Callable[[Record], dict[str, Any]]
    more: dict[str, Any]
    shots_split: str = "dev"


def write_tasks(work: Work, data: TaskData, directory: Path) -> list[str]:
    """Write rows and one task file per subject of `work` and return the names of the tasks.

    Raises: FileNotFoundError when lm-eval has no such task file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    return [_write_task(work, subject, data, directory) for subject in work.subjects]


def _write_task(work: Work, subject: str, data: TaskData, directory: Path) -> str:
    template = _TEMPLATES[work.task]
    included = _lm_eval_tasks() / template.file.format(subject=subject)
    if not included.is_file():
        raise FileNotFoundError(f"lm-eval has no task file {included}; is it the release 0.4.13?")
    name = f"modeltest_{work.task}_{subject}"
    rows = [record for record in data.records if record.subject == subject]
    files = {template.split: _write_rows(directory / f"{name}.jsonl", rows, template)}
    if work.shots:
        files[template.shots_split] = _write_rows(
            directory / f"{name}_dev.jsonl", data.shots[subject], template
        )
    task = {
        "include": str(included),
        "task": name,
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": files},
        "num_fewshot": work.shots,
        **template.more,
    }
    if work.sampler:
        task["fewshot_config"] = {"sampler": work.sampler}
    # JSON is YAML.
    (directory / f"{name}.yaml").write_text(json.dumps(task, indent=2) + "\n", encoding="utf-8")
    return name


def _write_rows(path: Path, records: Iterable[Record], template: _Template) -> str:
    rows = ({ID: record.id, **template.columns(record)} for record in records)
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")
    return str(path)


def _lm_eval_tasks() -> Path:
    found = find_spec("lm_eval")  # found, not imported: its import takes seconds and memory
    if found is None or found.origin is None:
        raise FileNotFoundError("lm-eval is not installed")
    return Path(found.origin).parent / "tasks"


def _mmlu_columns(record: Record) -> dict[str, Any]:
    fields = record.fields
    return {
        "question": fields["question"],
        "choices": [fields[letter] for letter in LETTERS],
        "answer": LETTERS.index(fields["answer"]),
    }


def _boolq_columns(record: Record) -> dict[str, Any]:
    # lm-eval reads the SuperGLUE copy, whose passage begins with the title.
    fields = record.fields
    passage = f"{fields['title']} -- {fields['passage']}" if fields.get("title") else fields["passage"]
    return {
        "passage": passage,
        "question": fields["question"],
        "label": ("no", "yes").index(fields["answer"]),
    }


_TEMPLATES = {
    "mmlu": _Template("mmlu/default/mmlu_{subject}.yaml", "test", _mmlu_columns, {}),
    "ceval": _Template(
        "ceval/ceval-valid_{subject}.yaml", "val", lambda record: dict(record.fields), {"test_split": None}
    ),
    "boolq": _Template(
        "super_glue/boolq/default.yaml", "validation", _boolq_columns, {"training_split": None}
    ),
    "gsm8k": _Template(
        "gsm8k/gsm8k.yaml", "test", lambda record: dict(record.fields), {}, shots_split="train"
    ),
}
