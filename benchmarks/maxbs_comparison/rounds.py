"""One round: the searches, and a referee that measures what they answered."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from lm_eval_comparison.commands import environment, own_environment
from lm_eval_comparison.processes import run_command
from maxbs_comparison.bisection import bisect

from modeltest import registry
from modeltest.api import RunSpec
from modeltest.models.checkpoint import inspect_checkpoint
from modeltest.start import python_command

REFEREE_TRIALS = 9


@dataclass(frozen=True, slots=True)
class Question:
    """What both searches are asked."""

    input_tokens: int
    output_tokens: int
    lowest: int
    highest: int
    limit_ms: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What one search took and answered: `probes` are batch sizes in their order, `trials` all batches run.

    `referee_ms` is the median of the referee's trials of the answer.
    """

    max_batch: int | None
    status: str
    wall_s: float
    loads: int
    trials: int
    probes: tuple[int, ...]
    referee_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """The answers, and the referee's trials by batch size. `quick` is `modeltest maxbs --quick`."""

    predecessor: Answer
    modeltest: Answer
    quick: Answer
    referee: dict[int, list[float]]


@dataclass(frozen=True, slots=True)
class Bench:
    """A model, a question and where to work."""

    model: Path
    question: Question
    work_dir: Path
    say: Callable[[str], None]

    def measure(self, number: int) -> Round:
        """Run the searches, which goes first alternates, and then the referee.

        Raises: CommandFailed.
        """
        folder = self._fresh_folder()
        sides = {
            "predecessor": self._predecessor,
            "modeltest": self._modeltest,
            "quick": lambda place: self._modeltest(place, "--quick"),
        }
        answers: dict[str, Answer] = {}
        for name in sides if number % 2 == 0 else reversed(sides):
            answers[name] = answer = sides[name](folder / name)
            self.say(
                f"  {name}: batch {answer.max_batch} ({answer.status}) in {answer.wall_s:.1f} s, "
                f"{answer.loads} loads, {answer.trials} batches run, probes {list(answer.probes)}"
            )
        referee = self._referee(folder / "referee", [each.max_batch for each in answers.values()])
        judged = {
            name: Answer(**{**asdict(each), "referee_ms": _median(referee.get(each.max_batch or 0))})
            for name, each in answers.items()
        }
        return Round(judged["predecessor"], judged["modeltest"], judged["quick"], referee)

    def _predecessor(self, folder: Path) -> Answer:
        """Bisect; each probe is a process that loads the model and measures once."""
        walls: list[float] = []

        def probe(batch_size: int) -> float | None:
            result, wall_s = self._time(folder / f"batch-{batch_size}", [batch_size])
            walls.append(wall_s)
            latency_ms: float | None = result[0]["latency_ms"]
            return latency_ms

        asked = self.question
        best, samples = bisect(asked.lowest, asked.highest, asked.limit_ms, probe)
        return Answer(
            max_batch=best,
            status="one sample each",
            wall_s=sum(walls),
            loads=len(walls),
            trials=len(samples),
            probes=tuple(sample.batch_size for sample in samples),
        )

    def _modeltest(self, folder: Path, *more: str) -> Answer:
        """Run the command a user would type."""
        folder.mkdir(parents=True)
        asked = self.question
        words = ["--case", f"{asked.input_tokens},{asked.output_tokens}"]
        words += ["--range", f"{asked.lowest},{asked.highest}", "--limit-ms", str(asked.limit_ms)]
        words += ["--engine", "hf", "--dtype", "fp32", "--device", "cpu", "--model", str(self.model), *more]
        command = python_command("modeltest.cli", "maxbs", *words, "--output", str(folder / "runs"))
        begin = time.perf_counter()
        run_command(command, environment=environment(self.work_dir), log=folder / "log.txt")
        wall_s = time.perf_counter() - begin
        (run,) = (folder / "runs").iterdir()
        found = json.loads((run / "performance.json").read_text(encoding="utf-8"))["max_batch"][0]
        probes = found["probes"]
        kinds = ("trials_ms", "warmups_ms", "screens_ms")
        return Answer(
            max_batch=found["max_batch"],
            status=found["status"],
            wall_s=wall_s,
            loads=1,
            trials=sum(len(probe[kind]) for probe in probes for kind in kinds),
            probes=tuple(probe["batch_size"] for probe in probes),
        )

    def _referee(self, folder: Path, answers: list[int | None]) -> dict[int, list[float]]:
        """Measure the answers in turn, in one process, after one trial of each to warm up."""
        sizes = sorted({answer for answer in answers if answer is not None})
        if not sizes:
            return {}
        result, _ = self._time(folder, sizes * (1 + REFEREE_TRIALS))
        timed = [each for each in result[len(sizes) :] if each["latency_ms"] is not None]
        return {size: [each["latency_ms"] for each in timed if each["batch_size"] == size] for size in sizes}

    def _time(self, folder: Path, batch_sizes: list[int]) -> tuple[list[dict[str, Any]], float]:
        folder.mkdir(parents=True)
        order = {
            "model": str(self.model),
            "input_tokens": self.question.input_tokens,
            "output_tokens": self.question.output_tokens,
            "batch_sizes": batch_sizes,
            "seed": 0,
            "directory": str(folder),
        }
        path = folder / "order.json"
        path.write_text(json.dumps(order, indent=2) + "\n", encoding="utf-8")
        command = python_command("maxbs_comparison.timed_batches", str(path))
        environment_of_run = {**own_environment(self.work_dir), **self._engine_environment()}
        finished = run_command(command, environment=environment_of_run, log=folder / "log.txt")
        return json.loads((folder / "result.json").read_text(encoding="utf-8")), finished.wall_s

    def _engine_environment(self) -> dict[str, str]:
        """Return what ModelTest sets for its own worker, such as how memory is given back."""
        spec = RunSpec("hf_fp32", "performance", "performance", "auto", str(self.model), device="cpu")
        return dict(registry.load_engine("hf").environment(spec, inspect_checkpoint(spec)))

    def _fresh_folder(self) -> Path:
        runs = self.work_dir / "runs"
        runs.mkdir(parents=True, exist_ok=True)
        folder = runs / f"maxbs-{1 + len(list(runs.glob('maxbs-*'))):03}"
        folder.mkdir()
        return folder


def _median(values: list[float] | None) -> float | None:
    return median(values) if values else None
