"""Questions of MMLU with shots that are asked of a trained model, for benchmarks within one process."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from modeltest import registry
from modeltest.api import Request, RunSpec, TaskOptions
from modeltest.data.load import load_dataset
from modeltest.models.checkpoint import inspect_checkpoint

DATA_DIR = Path(__file__).resolve().parents[2] / "shared" / "data"
SUBJECTS = ("abstract_algebra", "college_medicine", "high_school_world_history", "professional_law")
SHOTS = 5
BATCH_SIZE = 8

_CHILD = "--is-child"


def add_words(parser: argparse.ArgumentParser) -> None:
    """Let `parser` take which model is asked, and how many questions."""
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="bfloat16")
    parser.add_argument("--engine", choices=("hf", "hf_paged"), default="hf")
    parser.add_argument("--questions", type=int, default=22, help="of each of the four subjects")
    parser.add_argument("--data-dir", type=Path, default=DATA_DIR)
    parser.add_argument(_CHILD, action="store_true", dest="is_child", help=argparse.SUPPRESS)


def spec_of(words: argparse.Namespace) -> RunSpec:
    """Return the run that the words ask for, and set the variables that a worker of it is started with.

    How memory is given back weighs on every pass: a process started from here inherits it.
    """
    spec = RunSpec(
        words.engine,
        "full_MMLU",
        "mmlu",
        "auto",
        str(words.checkpoint),
        dtype=words.dtype,
        device="cpu",
        options=TaskOptions(shots=SHOTS),
        protocol="lm-eval",
        subjects=SUBJECTS,
        limit=words.questions,
        allow_dtype_cast=True,
        data_dir=str(words.data_dir.absolute()),
    )
    os.environ.update(registry.load_engine(words.engine).environment(spec, inspect_checkpoint(spec)))
    return spec


def requests_of(spec: RunSpec) -> list[Request]:
    """Return the questions of a run."""
    task: Any = registry.load_task("mmlu")
    loaded = load_dataset(
        "mmlu", "full", data_dir=spec.data_dir, subjects=spec.subjects, limit=spec.limit, shots_needed=True
    )
    return list(task.requests(loaded.data, spec))


def answer_all(engine: Any, requests: list[Request]) -> float:
    """Ask all questions, and return the seconds that took."""
    begun = time.perf_counter()
    answered = sum(len(batch) for batch in engine.complete(requests, batch_size=BATCH_SIZE))
    if answered != len(requests):
        raise SystemExit(f"{answered} of {len(requests)} questions were answered")
    return time.perf_counter() - begun


def in_child(*more: str) -> Any:
    """Run this program once more with the same words and `more`, and return what it tells its parent."""
    command = [sys.executable, *sys.argv, _CHILD, *more]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    return json.loads(done.stdout.splitlines()[-1])


def tell_parent(value: Any) -> None:
    """Say what was found to the program that called `in_child`."""
    sys.stdout.write(f"{json.dumps(value)}\n")
