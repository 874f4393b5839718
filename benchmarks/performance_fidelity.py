"""ModelTest's `performance` beside a bare loop and optimum-benchmark: do the same times come out?

python benchmarks/performance_fidelity.py --help
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from fidelity.markdown import document
from fidelity.rounds import Bench, Job, Measured
from fidelity.summary import GOAL_TURNS, summarize_rounds, summarize_turns
from lm_eval_comparison import machine
from lm_eval_comparison.processes import CommandFailed
from lm_eval_comparison.shapes import SHAPES

from modeltest.machine.files import write_json, write_text

WORK_DIR = Path("~/.cache/modeltest/benchmarks")

_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)
_Done = tuple[Job, Measured]


@click.command()
@click.option(
    "--model", "models", type=click.Choice(tuple(SHAPES)), multiple=True, help="Default: 15M and 135M."
)
@click.option("--input-tokens", type=click.IntRange(min=1), default=128, show_default=True, metavar="N")
@click.option("--output-tokens", type=click.IntRange(min=2), default=64, show_default=True, metavar="N")
@click.option("--batch-size", type=click.IntRange(min=1), default=1, show_default=True, metavar="N")
@click.option(
    "--turns",
    type=click.IntRange(min=1),
    default=30,
    show_default=True,
    metavar="N",
    help="Of the two sides in one process.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=0),
    default=3,
    show_default=True,
    metavar="N",
    help="Of whole processes.",
)
@click.option(
    "--trials",
    type=click.IntRange(min=3),
    default=7,
    show_default=True,
    metavar="N",
    help="In each process.",
)
@click.option("--skip-optimum", is_flag=True, help="Leave optimum-benchmark out; nothing is installed then.")
@click.option(
    "--quick", is_flag=True, help="Three turns, a round of three trials: a look, not a measurement."
)
@click.option(
    "--work-dir",
    type=_FOLDER,
    default=WORK_DIR,
    show_default=True,
    help="Where models and optimum-benchmark are kept and every run leaves its files.",
)
@click.option("--json", "json_file", type=_FILE, metavar="FILE", help="Write every figure of every round.")
@click.option("--markdown", "markdown_file", type=_FILE, metavar="FILE", help="Write the table.")
def main(models: tuple[str, ...], **options: Any) -> None:
    """Compare ModelTest's times with those of a bare loop and of optimum-benchmark 0.6.0.

    First ModelTest's own measuring and the bare loop in turn, batch by batch in one process: on any machine
    that does other things too, only that can tell 2 %. Then each in a process of its own, as a user starts
    it, one after the other; which of ModelTest and the bare loop is first alternates. All in fp32 on the cpu.
    The models have random weights and are made on the first run; optimum-benchmark needs transformers 4 and
    gets an environment of its own, once.

    \b
    Needs: a machine with nothing else to do, and a package index for optimum-benchmark.
    Time:  on 2 cores about 20 minutes; 1 minute with --quick --model 15M --skip-optimum.

    \b
    Examples:
      python benchmarks/performance_fidelity.py --json figures.json --markdown table.md
      python benchmarks/performance_fidelity.py --model 135M --input-tokens 512 --skip-optimum
      python benchmarks/performance_fidelity.py --quick --model 15M --skip-optimum

    Ends with 1 when, in turn, TPOT or TTFT differ from the bare loop by more than 2 %, or timing every token
    costs more than 1 %; goals hold for 5 turns or more.
    """
    jobs = [_job(model, options) for model in models or ("15M", "135M")]
    bench = Bench(
        work_dir=options["work_dir"].expanduser().absolute(),
        with_optimum=not options["skip_optimum"],
        say=_say,
    )
    done: list[_Done] = []
    try:
        for job in jobs:
            done.append((job, bench.measure(job)))
            # After each model: what took long must not hang on the last one.
            _write(done, options["json_file"], options["markdown_file"])
    except CommandFailed as problem:
        hint = "" if options["skip_optimum"] else "\n(--skip-optimum leaves optimum-benchmark out)"
        raise click.ClickException(f"{problem}{hint}") from problem
    click.echo(_document(done))
    sys.exit(1 if any(summarize_turns(measured.turns).missed for _, measured in done) else 0)


def _job(model: str, options: dict[str, Any]) -> Job:
    names = ("turns", "rounds", "trials")
    turns, rounds, trials = (3, 1, 3) if options["quick"] else (options[name] for name in names)
    if not options["quick"] and turns < GOAL_TURNS:
        _say(f"{turns} turns are too few for a verdict; {GOAL_TURNS} are needed")
    shape = (options["input_tokens"], options["output_tokens"], options["batch_size"])
    return Job(model, *shape, turns=turns, rounds=rounds, trials=trials)


def _write(done: Sequence[_Done], json_file: Path | None, markdown_file: Path | None) -> None:
    if markdown_file:
        write_text(markdown_file, _document(done))
    if json_file:
        jobs = [
            {
                "job": asdict(job),
                "in_turn": asdict(summarize_turns(measured.turns)),
                "apart": asdict(summarize_rounds(measured.rounds)) if measured.rounds else None,
                "turns": measured.turns,
                "rounds": [asdict(each) for each in measured.rounds],
            }
            for job, measured in done
        ]
        write_json(
            json_file, {"machine": machine.describe(), "command": machine.command_line(), "jobs": jobs}
        )


def _document(done: Sequence[_Done]) -> str:
    results = [
        (job.model, job.shape, summarize_turns(measured.turns), summarize_rounds(measured.rounds))
        for job, measured in done
    ]
    return document(results, machine=machine.describe(), command=machine.command_line())


def _say(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    main()
