"""Two replicas on a thread each beside one: how much sooner the same questions are answered.

python benchmarks/replicas.py --help
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import click
from lm_eval_comparison import machine
from lm_eval_comparison.agreement import Agreement, compare, read_modeltest
from lm_eval_comparison.commands import environment
from lm_eval_comparison.models import prepare_checkpoint
from lm_eval_comparison.processes import CommandFailed, run_command
from lm_eval_comparison.shapes import SHAPES

from modeltest.api import ModelTestError
from modeltest.machine.files import write_json
from modeltest.start import python_command

DATA_DIR = Path(__file__).resolve().parents[2] / "shared" / "data"
WORK_DIR = Path("~/.cache/modeltest/benchmarks")
GOAL = 1.6
"""How many times as fast two replicas are to be."""

TASKS = {"boolq": ("full_BoolQ", "8"), "mmlu": ("full_MMLU", "5", "8")}
QUICK_LIMITS = {"boolq": 60, "mmlu": 2}
ENGINES = ("hf_fp32", "vllm_fp32")
DEVICES = {"one": ("1",), "two": ("2", "[2,-1,-1,-1,-1,-1,-1,-1]")}

ONE_THREAD = {"OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
"""vLLM would bind a replica that is alone to threads of its own choice."""

_FOLDER = click.Path(file_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True)
class Round:
    """The time from the loaded model to the last answer, of one replica and of two, and their answers."""

    one_s: float
    two_s: float
    agreement: Agreement

    @property
    def speedup(self) -> float:
        """How many times as fast the two were."""
        return self.one_s / self.two_s


@click.command()
@click.option("--task", type=click.Choice(tuple(TASKS)), default="mmlu", show_default=True)
@click.option("--engine", type=click.Choice(ENGINES), default=ENGINES[0], show_default=True)
@click.option("--model", "name", type=click.Choice(tuple(SHAPES)), default="15M", show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True, metavar="N")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N questions of a subject.")
@click.option("--quick", is_flag=True, help="One round of few questions: a look, not a measurement.")
@click.option("--data-dir", type=_FOLDER, envvar="MODELTEST_DATA_DIR", default=DATA_DIR)
@click.option("--work-dir", type=_FOLDER, default=WORK_DIR, show_default=True, help="Models and runs.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
def main(**options: Any) -> None:
    """Measure two replicas of a model on the cpu, a thread each, beside one with one thread.

    Both are started as a user starts them, one after the other, in turns; which is first alternates. The
    model has random weights and is made on the first run.

    \b
    Needs: two cores with nothing else to do, and the real datasets (`modeltest data fetch`); for vllm_fp32
           the Python that has vLLM.
    Time:  on 2 cores about 2 minutes a round of MMLU with --limit 20.

    \b
    Examples:
      python benchmarks/replicas.py --limit 20 --json figures.json
      python benchmarks/replicas.py --task boolq --engine vllm_fp32
      python benchmarks/replicas.py --quick

    Ends with 1 when answers differ or two replicas are less than 1.6 times as fast; --quick holds the
    answers only.
    """
    try:
        rounds = _measure(**options)
    except (ModelTestError, CommandFailed, ValueError, FileNotFoundError) as problem:
        raise click.ClickException(str(problem)) from problem
    speedup = median(each.speedup for each in rounds)
    different = sorted({name for each in rounds for name in each.agreement.different})
    click.echo(f"2 replicas: {speedup:.2f} times as fast as 1, median of {len(rounds)}; wanted {GOAL}")
    click.echo(f"different answers: {', '.join(different) or 'none'}")
    if options["json_file"]:
        figures = {
            "machine": machine.describe(),
            "command": machine.command_line(),
            "speedup": speedup,
            "rounds": [{**asdict(each), "speedup": each.speedup} for each in rounds],
        }
        write_json(options["json_file"], figures)
    sys.exit(1 if different or (speedup < GOAL and not options["quick"]) else 0)


def _measure(**options: Any) -> list[Round]:
    work_dir = options["work_dir"].expanduser().absolute()
    data_dir = str(options["data_dir"].absolute())
    model = prepare_checkpoint(options["name"], work_dir=work_dir, data_dir=data_dir, say=click.echo)
    limit = QUICK_LIMITS[options["task"]] if options["quick"] else options["limit"]
    task = [*TASKS[options["task"]], "llama", str(model)]
    more = ["--protocol", "lm-eval", "--data-dir", data_dir]
    more += ["--limit", str(limit)] if limit else []
    rounds = []
    for number in range(1 if options["quick"] else options["rounds"]):
        folder = _fresh_folder(work_dir)
        runs: dict[str, Path] = {}
        for name in ("one", "two") if number % 2 == 0 else ("two", "one"):
            command = python_command("modeltest.cli", options["engine"], *task, *DEVICES[name], *more)
            run_command(
                [*command, "--output", str(folder / name)],
                environment={**environment(work_dir), **ONE_THREAD},
                log=folder / f"{name}.log",
            )
            (runs[name],) = (folder / name).iterdir()
        answers = {name: read_modeltest(run / "samples.jsonl") for name, run in runs.items()}
        taken = Round(
            _run_s(runs["one"], replicas=1),
            _run_s(runs["two"], replicas=2),
            compare(answers["one"], answers["two"]),
        )
        click.echo(
            f"round {number + 1}: one {taken.one_s:.1f} s, two {taken.two_s:.1f} s: {taken.speedup:.2f} times"
        )
        rounds.append(taken)
    return rounds


def _run_s(directory: Path, *, replicas: int) -> float:
    """Return the time from the loaded model to the last answer.

    Raises: ValueError when the run was not what it was meant to be.
    """
    result = json.loads((directory / "run.json").read_text(encoding="utf-8"))
    ranks = result["engine"]["ranks"] or {"replicas": 1}
    if ranks["replicas"] != replicas or result["interruptions"]:
        raise ValueError(
            f"{directory} had {ranks['replicas']} replicas and {len(result['interruptions'])} interruptions"
        )
    if result["engine"]["processors"]["threads"] != 1:
        raise ValueError(
            f"{directory} ran with {result['engine']['processors']['threads']} threads a replica"
        )
    seconds: float = result["timing_s"]["run"]
    return seconds


def _fresh_folder(work_dir: Path) -> Path:
    runs = work_dir / "replicas"
    runs.mkdir(parents=True, exist_ok=True)
    folder = runs / f"{len(list(runs.iterdir())) + 1:03}"
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
