"""One job: the files it needs, then lm-eval, ModelTest and the floor in turn, each in its own process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lm_eval_comparison.agreement import Agreement, Answer, compare, read_lm_eval, read_modeltest
from lm_eval_comparison.commands import bridge_command, environment, modeltest_command, own_environment
from lm_eval_comparison.lm_eval_tasks import write_tasks
from lm_eval_comparison.models import Models
from lm_eval_comparison.processes import Finished, run_command
from lm_eval_comparison.rows import read_rows
from lm_eval_comparison.shifts import ShiftComparison, compare_shifts
from lm_eval_comparison.texts import (
    TextAgreement,
    compare_texts,
    read_lm_eval_texts,
    read_modeltest_texts,
)
from lm_eval_comparison.works import DTYPES, TRAINED, Job

from modeltest.api import TaskData
from modeltest.start import python_command


@dataclass(frozen=True, slots=True)
class Side:
    """What one harness took in one round; `forward_s` only where it is counted."""

    wall_s: float
    evaluate_s: float
    peak_bytes: int
    forward_s: float | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """Both harnesses and the floor, one after the other."""

    lm_eval: Side
    modeltest: Side
    floor: dict[str, float]
    agreement: Agreement | TextAgreement


@dataclass(frozen=True, slots=True)
class Measured:
    """A job and its rounds."""

    job: Job
    rounds: tuple[Round, ...]
    shifts: ShiftComparison | None = None
    """Of jobs in 16 bits whose answers are choices."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What all jobs share: folders, models, the batch size and where to say what is going on."""

    work_dir: Path
    data_dir: str
    batch_size: int
    models: Models
    say: Callable[[str], None]

    def measure(self, job: Job) -> Measured:
        """Run every round of `job`; which harness goes first alternates.

        Raises: CommandFailed, DatasetError, FileNotFoundError, ValueError.
        """
        model = self.models.checkpoint(job)
        data = read_rows(job, self.data_dir)
        folder = self._fresh_folder(job)
        rounds = []
        for number in range(job.rounds):
            directory = folder / f"round-{number + 1}"
            directory.mkdir()
            self.say(f"{job.name}: round {number + 1} of {job.rounds}, {len(data.records)} questions")
            rounds.append(self._round(job, data, model, directory, lm_eval_first=number % 2 == 0))
        shifts = self._shifts(job, data, model, folder) if job.compares_shifts else None
        return Measured(job, tuple(rounds), shifts)

    def _round(self, job: Job, data: TaskData, model: Path, directory: Path, *, lm_eval_first: bool) -> Round:
        run_modeltest = self._bridge if job.work.generates else self._modeltest
        sides = {
            "lm-eval": partial(self._lm_eval, job, data, model, directory / "lm_eval"),
            "ModelTest": partial(run_modeltest, job, data, model, directory),
        }
        taken = {}
        for name in sides if lm_eval_first else reversed(sides):
            taken[name] = sides[name]()
            side = taken[name]
            self.say(
                f"  {name}: {side.evaluate_s:.1f} s evaluation, {side.wall_s:.1f} s in all, "
                f"peak {side.peak_bytes / 1e6:.0f} MB"
            )
        floor = self._floor(job, model, directory)
        self.say(f"  floor: {floor['floor_s']:.1f} s for {floor['unique_tokens']} tokens")
        return Round(taken["lm-eval"], taken["ModelTest"], floor, _agreement(job, directory))

    def _lm_eval(
        self,
        job: Job,
        data: TaskData,
        model: Path,
        folder: Path,
        *,
        batch_size: int | None = None,
        softmax_dtype: str | None = None,
    ) -> Side:
        order = {
            "model": str(model),
            "dtype": DTYPES[job.dtype],
            "softmax_dtype": softmax_dtype,
            "tasks": write_tasks(job.work, data, folder / "tasks"),
            "tasks_directory": str(folder / "tasks"),
            "batch_size": batch_size or self.batch_size,
            "directory": str(folder),
        }
        finished = self._run_own("lm_eval_side", folder, order)
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        evaluate_s = result["to_results_s" if job.work.generates else "evaluate_s"]
        return Side(finished.wall_s, evaluate_s, _known(finished.peak_bytes))

    def _modeltest(self, job: Job, _: TaskData, model: Path, directory: Path) -> Side:
        output = directory / "modeltest"
        command = modeltest_command(
            job, model=model, data_dir=self.data_dir, batch_size=self.batch_size, output=output
        )
        return self._modeltest_side(command, output)

    def _bridge(self, job: Job, data: TaskData, model: Path, directory: Path) -> Side:
        output, tasks = directory / "modeltest", directory / "modeltest_tasks"
        command = bridge_command(
            job,
            write_tasks(job.work, data, tasks),
            tasks_directory=tasks,
            model=model,
            batch_size=self.batch_size,
            output=output,
        )
        return self._modeltest_side(command, output)

    def _modeltest_side(self, command: list[str], output: Path) -> Side:
        log = output.with_name("modeltest.log")
        finished = run_command(command, environment=environment(self.work_dir), log=log)
        run = json.loads((_only_child(output) / "run.json").read_text(encoding="utf-8"))
        forward_s = (run["usage"] or {}).get("forward_s")
        return Side(finished.wall_s, run["timing_s"]["run"], _known(finished.peak_bytes), forward_s)

    def _floor(self, job: Job, model: Path, directory: Path) -> dict[str, float]:
        folder = directory / "floor"
        folder.mkdir()
        order = {
            "model": str(model),
            "dtype": DTYPES[job.dtype],
            "samples": str(directory / "lm_eval" / "samples.jsonl"),
            "batch_size": self.batch_size,
            "in_parts": job.model == TRAINED,
            "directory": str(folder),
        }
        self._run_own("floor", folder, order)
        result: dict[str, float] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        return result

    def _shifts(self, job: Job, data: TaskData, model: Path, folder: Path) -> ShiftComparison:
        """Ask lm-eval twice more, in batches and one by one, and hold the first round against that.

        In float32 after the model: as it comes, lm-eval rounds log-probabilities to the 8 bits of bfloat16,
        which hides what is compared here.
        """
        answers = {}
        for batch_size in (self.batch_size, 1):
            directory = folder / f"lm_eval-batch-{batch_size}"
            side = self._lm_eval(job, data, model, directory, batch_size=batch_size, softmax_dtype="float32")
            self.say(f"  lm-eval with batch size {batch_size}, for its shifts: {side.evaluate_s:.1f} s")
            answers[batch_size] = read_lm_eval(directory / "samples.jsonl")
        ours = _modeltest_answers(folder / "round-1")
        return compare_shifts(ours, answers[self.batch_size], answers[1])

    def _run_own(self, module: str, folder: Path, order: dict[str, Any]) -> Finished:
        path = folder / "order.json"
        path.write_text(json.dumps(order, indent=2) + "\n", encoding="utf-8")
        command = python_command(f"lm_eval_comparison.{module}", str(path))
        return run_command(command, environment=own_environment(self.work_dir), log=folder / "log.txt")

    def _fresh_folder(self, job: Job) -> Path:
        runs = self.work_dir / "runs"
        runs.mkdir(parents=True, exist_ok=True)
        number = 1 + len(list(runs.glob(f"{job.name}-*")))
        folder = runs / f"{job.name}-{number:03}"
        folder.mkdir()
        return folder


def _agreement(job: Job, directory: Path) -> Agreement | TextAgreement:
    theirs = directory / "lm_eval" / "samples.jsonl"
    if job.work.generates:
        ours = read_modeltest_texts(_only_child(directory / "modeltest"))
        return compare_texts(ours, read_lm_eval_texts(theirs))
    return compare(_modeltest_answers(directory), read_lm_eval(theirs))


def _modeltest_answers(directory: Path) -> dict[str, Answer]:
    return read_modeltest(_only_child(directory / "modeltest") / "samples.jsonl")


def _known(peak_bytes: int | None) -> int:
    if peak_bytes is None:
        raise ValueError("this system does not tell the memory of processes; Linux does")
    return peak_bytes


def _only_child(directory: Path) -> Path:
    (child,) = directory.iterdir()
    return child
