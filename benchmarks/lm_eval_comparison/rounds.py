"""One job: the files it needs, then lm-eval, ModelTest and the floor in turn, each in its own process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lm_eval_comparison.agreement import Agreement, compare, read_lm_eval, read_modeltest
from lm_eval_comparison.lm_eval_tasks import write_tasks
from lm_eval_comparison.processes import Finished, run_command
from lm_eval_comparison.shapes import SHAPES
from lm_eval_comparison.works import Job

from modeltest.data.load import LoadedDataset, load_dataset
from modeltest.start import python_command

BENCHMARKS = Path(__file__).resolve().parents[1]


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
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class Measured:
    """A job and its rounds."""

    job: Job
    rounds: tuple[Round, ...]


@dataclass(frozen=True, slots=True)
class Bench:
    """What all jobs share: folders, the batch size and where to say what is going on."""

    work_dir: Path
    data_dir: str
    batch_size: int
    say: Callable[[str], None]

    def measure(self, job: Job) -> Measured:
        """Run every round of `job`; which harness goes first alternates.

        Raises: CommandFailed, DatasetError, ValueError.
        """
        model = prepare_checkpoint(job.model, work_dir=self.work_dir, data_dir=self.data_dir, say=self.say)
        work = job.work
        dataset = load_dataset(
            work.task,
            "full",
            data_dir=self.data_dir,
            subjects=work.subjects,
            limit=job.questions,
            shots_needed=bool(work.shots),
        )
        folder = self._fresh_folder(job)
        rounds = []
        for number in range(job.rounds):
            directory = folder / f"round-{number + 1}"
            directory.mkdir()
            self.say(f"{job.name}: round {number + 1} of {job.rounds}, {dataset.info.records} questions")
            rounds.append(self._round(job, dataset, model, directory, lm_eval_first=number % 2 == 0))
        return Measured(job, tuple(rounds))

    def _round(
        self, job: Job, dataset: LoadedDataset, model: Path, directory: Path, *, lm_eval_first: bool
    ) -> Round:
        sides = {
            "lm-eval": lambda: self._lm_eval(job, dataset, model, directory),
            "ModelTest": lambda: self._modeltest(job, model, directory),
        }
        taken = {}
        for name in sides if lm_eval_first else reversed(sides):
            taken[name] = sides[name]()
            side = taken[name]
            self.say(
                f"  {name}: {side.evaluate_s:.1f} s evaluation, {side.wall_s:.1f} s in all, "
                f"peak {side.peak_bytes / 1e6:.0f} MB"
            )
        floor = self._floor(model, directory)
        self.say(f"  floor: {floor['floor_s']:.1f} s for {floor['unique_tokens']} tokens")
        agreement = compare(
            read_modeltest(_only_child(directory / "modeltest") / "samples.jsonl"),
            read_lm_eval(directory / "lm_eval" / "samples.jsonl"),
        )
        return Round(taken["lm-eval"], taken["ModelTest"], floor, agreement)

    def _lm_eval(self, job: Job, dataset: LoadedDataset, model: Path, directory: Path) -> Side:
        folder = directory / "lm_eval"
        tasks = write_tasks(job.work, dataset.data, folder / "tasks")
        order = {
            "model": str(model),
            "tasks": tasks,
            "tasks_directory": str(folder / "tasks"),
            "batch_size": self.batch_size,
            "directory": str(folder),
        }
        finished = self._run_own("lm_eval_side", folder, order)
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        return Side(finished.wall_s, result["evaluate_s"], finished.peak_bytes)

    def _modeltest(self, job: Job, model: Path, directory: Path) -> Side:
        output = directory / "modeltest"
        finished = run_command(
            modeltest_command(
                job, model=model, data_dir=self.data_dir, batch_size=self.batch_size, output=output
            ),
            environment=environment(self.work_dir),
            log=directory / "modeltest.log",
        )
        run = json.loads((_only_child(output) / "run.json").read_text(encoding="utf-8"))
        forward_s = (run["usage"] or {}).get("forward_s")
        return Side(finished.wall_s, run["timing_s"]["run"], finished.peak_bytes, forward_s)

    def _floor(self, model: Path, directory: Path) -> dict[str, float]:
        folder = directory / "floor"
        folder.mkdir()
        samples = directory / "lm_eval" / "samples.jsonl"
        order = {"model": str(model), "samples": str(samples), "batch_size": self.batch_size}
        self._run_own("floor", folder, {**order, "directory": str(folder)})
        result: dict[str, float] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        return result

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


def prepare_checkpoint(name: str, *, work_dir: Path, data_dir: str, say: Callable[[str], None]) -> Path:
    """Return the directory of a model, which is made on the first run, in a process of its own.

    Raises: CommandFailed.
    """
    shape = SHAPES[name]
    directory = work_dir / "models" / f"llama-{name}-{shape.fingerprint(data_dir)}"
    if not directory.exists():
        say(f"writing model {name}, {shape.parameters / 1e6:.1f} million parameters: {directory}")
        directory.parent.mkdir(parents=True, exist_ok=True)
        command = python_command("lm_eval_comparison.checkpoints", name, str(directory), data_dir)
        run_command(command, environment=own_environment(work_dir), log=directory.with_suffix(".log"))
    return directory


def environment(work_dir: Path) -> dict[str, str]:
    """Return the variables of every measured process: nothing is fetched."""
    return {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_DATASETS_CACHE": str(work_dir / "datasets_cache"),
    }


def own_environment(work_dir: Path) -> dict[str, str]:
    """Return the variables of processes that are modules of the benchmarks."""
    return {**environment(work_dir), "PYTHONPATH": str(BENCHMARKS)}


def modeltest_command(job: Job, *, model: Path, data_dir: str, batch_size: int, output: Path) -> list[str]:
    """Return the command a user would type for `job`."""
    work = job.work
    words = ["accuracy", "--task", work.task, "--shots", str(work.shots)]
    words += ["--protocol", "lm-eval", "--engine", "hf", "--dtype", "fp32", "--device", "cpu"]
    words += ["--batch-size", str(batch_size), "--limit", str(job.questions)]
    words += [word for subject in work.subjects for word in ("--subject", subject)]
    words += ["--model", str(model), "--data-dir", data_dir, "--output", str(output)]
    return python_command("modeltest.cli", *words)


def _only_child(directory: Path) -> Path:
    (child,) = directory.iterdir()
    return child
