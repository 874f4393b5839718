"""One model and shape: the checkpoint, the turns in one process, then every side in a process of its own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fidelity.in_turn import Turn
from fidelity.summary import Round, Side, side
from lm_eval_comparison import machine
from lm_eval_comparison.processes import run_command
from lm_eval_comparison.shapes import SHAPES

from engines.hf.engine import HFEngine
from modeltest.api import ModelInfo, RunSpec
from modeltest.start import python_command

BENCHMARKS = Path(__file__).resolve().parents[1]
OPTIMUM = "optimum-benchmark==0.6.0"
OPTIMUM_NEEDS = ("transformers>=4.51,<5", "setuptools<81")


@dataclass(frozen=True, slots=True)
class Job:
    """What is measured: a shape on a model, for some turns, then some rounds of some trials."""

    model: str
    input_tokens: int
    output_tokens: int
    batch_size: int
    turns: int
    rounds: int
    trials: int
    warmup: int = 3

    @property
    def shape(self) -> str:
        """The shape in words."""
        return f"{self.input_tokens}x{self.output_tokens}, batch {self.batch_size}"


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that was measured of a job."""

    turns: tuple[Turn, ...]
    rounds: tuple[Round, ...]


@dataclass(frozen=True, slots=True)
class Bench:
    """Where files go, what is left out, and where to say what is going on."""

    work_dir: Path
    with_optimum: bool
    say: Callable[[str], None]

    def measure(self, job: Job) -> Measured:
        """Run every turn and every round of `job`; which side goes first alternates.

        Raises: CommandFailed.
        """
        model = self._checkpoint(job.model)
        python = self._optimum_environment() if self.with_optimum and job.rounds else None
        folder = self._fresh_folder(job)
        self.say(f"{job.model}, {job.shape}: {job.turns} turns")
        command = python_command("fidelity.in_turn")
        turns = self._own(job, model, folder / "in-turn", command, engine_environment())["turns"]
        return Measured(tuple(turns), self._rounds(job, model, python, folder))

    def _rounds(self, job: Job, model: Path, python: Path | None, folder: Path) -> tuple[Round, ...]:
        rounds = []
        for number in range(job.rounds):
            directory = folder / f"round-{number + 1}"
            directory.mkdir()
            self.say(f"{job.model}, {job.shape}: round {number + 1} of {job.rounds}")
            rounds.append(self._round(job, model, python, directory, ours_first=number % 2 == 0))
        return tuple(rounds)

    def _round(
        self, job: Job, model: Path, python: Path | None, directory: Path, *, ours_first: bool
    ) -> Round:
        def modeltest() -> Side:
            (case,) = self._modeltest(job, model, directory)["cases"]
            medians = {name: case["metrics"][name]["median"] for name in ("tpot_ms", "ttft_ms")}
            return Side(medians, case["trials"])

        def bare() -> Side:
            command = python_command("fidelity.bare_loop")
            return side(self._own(job, model, directory / "bare", command, engine_environment())["trials"])

        sides = {"ModelTest": modeltest, "bare loop": bare}
        taken = {}
        for name in sides if ours_first else reversed(sides):
            taken[name] = sides[name]()
            self._say_side(name, taken[name])
        optimum = None
        if python is not None:
            command = [str(python), str(BENCHMARKS / "fidelity" / "optimum_side.py")]
            optimum = side(self._own(job, model, directory / "optimum", command, {})["trials"])
            self._say_side("optimum-benchmark", optimum)
        return Round(taken["ModelTest"], taken["bare loop"], optimum)

    def _modeltest(self, job: Job, model: Path, directory: Path) -> dict[str, Any]:
        output = directory / "modeltest"
        words = ["performance", "--case", f"{job.input_tokens},{job.output_tokens}"]
        words += ["--batch-size", str(job.batch_size), "--engine", "hf", "--dtype", "fp32", "--device", "cpu"]
        words += ["--quick", "--min-trials", str(job.trials)]  # as many as the others have
        words += ["--model", str(model), "--output", str(output)]
        command = python_command("modeltest.cli", *words)
        run_command(command, environment={"HF_HUB_OFFLINE": "1"}, log=directory / "modeltest.log")
        (run,) = output.iterdir()
        report: dict[str, Any] = json.loads((run / "performance.json").read_text(encoding="utf-8"))
        return report

    def _own(
        self, job: Job, model: Path, folder: Path, command: list[str], environment: Mapping[str, str]
    ) -> dict[str, Any]:
        folder.mkdir()
        order = {
            "model": str(model),
            "input_tokens": job.input_tokens,
            "output_tokens": job.output_tokens,
            "batch_size": job.batch_size,
            "warmup": job.warmup,
            "trials": job.trials,
            "turns": job.turns,
            "directory": str(folder),
        }
        path = folder / "order.json"
        path.write_text(json.dumps(order, indent=2) + "\n", encoding="utf-8")
        own = {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(BENCHMARKS), **environment}
        # Beside its result: optimum-benchmark leaves a log in the folder it is started from.
        run_command([*command, str(path)], environment=own, log=folder / "log.txt", folder=folder)
        result: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        return result

    def _checkpoint(self, name: str) -> Path:
        shape = SHAPES[name]
        directory = self.work_dir / "models" / f"llama-{name}-{shape.fingerprint('words')}"
        if not directory.exists():
            self.say(f"writing model {name}, {shape.parameters / 1e6:.1f} million parameters: {directory}")
            directory.parent.mkdir(parents=True, exist_ok=True)
            run_command(
                python_command("fidelity.checkpoint", name, str(directory)),
                environment={"PYTHONPATH": str(BENCHMARKS)},
                log=directory.with_suffix(".log"),
            )
        return directory

    def _optimum_environment(self) -> Path:
        """Return the Python of an environment with optimum-benchmark, made on the first call."""
        directory = self.work_dir / "optimum-benchmark"
        python = directory / "bin" / "python"
        marker = directory / "complete"
        if not marker.exists():
            self.say(f"installing {OPTIMUM} into an environment of its own: {directory}")
            log = self.work_dir / "optimum-benchmark.log"
            self.work_dir.mkdir(parents=True, exist_ok=True)
            run_command([sys.executable, "-m", "venv", "--clear", str(directory)], environment={}, log=log)
            torch = f"torch=={(machine.installed('torch') or '').partition('+')[0]}"  # the same as ours
            install = [str(python), "-m", "pip", "install", OPTIMUM, *OPTIMUM_NEEDS, torch]
            run_command(install, environment={}, log=log)
            marker.touch()
        return python

    def _fresh_folder(self, job: Job) -> Path:
        runs = self.work_dir / "fidelity"
        runs.mkdir(parents=True, exist_ok=True)
        number = 1 + len(list(runs.glob(f"{job.model}-*")))
        folder = runs / f"{job.model}-{number:03}"
        folder.mkdir()
        return folder

    def _say_side(self, name: str, found: Side) -> None:
        self.say(
            f"  {name}: TPOT {found.medians['tpot_ms']:.3f} ms, TTFT {found.medians['ttft_ms']:.2f} ms, "
            f"{found.trials} trials"
        )


def engine_environment() -> dict[str, str]:
    """Return the variables that ModelTest's worker runs under: both sides get the same allocator."""
    spec = RunSpec("hf", "performance", "performance", "auto", "W")
    model = ModelInfo("auto", "auto", "W", "llama", "float32", None, None, 128, 1, None)
    return dict(HFEngine().environment(spec, model))
