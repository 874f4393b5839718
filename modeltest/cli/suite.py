"""`modeltest suite`: many runs from one file."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modeltest.api import ModelTestError, RunSpec, SpecError
from modeltest.cli.execute import asked_by_words, limit_options, limits_of
from modeltest.cli.generate import generate
from modeltest.cli.lm_eval import lm_eval
from modeltest.cli.number_types import PAIRS
from modeltest.cli.option_commands import accuracy, maxbs, performance, precision

if TYPE_CHECKING:
    from modeltest.api import SuiteRun
    from modeltest.suite.execution import SuiteOutcome
    from modeltest.suite.matrix import Asked, Catalogue, Matrix, OptionKind

COMMANDS: dict[str, click.Command] = {
    "accuracy": accuracy,
    "performance": performance,
    "maxbs": maxbs,
    "precision": precision,
    "lm-eval": lm_eval,
    "generate": generate,
}
"""What a suite may run."""

OF_THE_SUITE = frozenset(
    {"output", "dry-run", "verbose", "batch-timeout", "load-timeout", "heartbeat-timeout", "help"}
)
"""Options that are the suite's own, not those of its runs."""


@click.command()
@click.argument("file", required=False, metavar="[FILE]", type=click.Path(path_type=Path))
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Go on with the suite in DIR: what is complete stays, what failed is tried again.",
)
@click.option(
    "--output",
    "output_dir",
    envvar="MODELTEST_OUTPUT_DIR",
    default="outputs",
    show_default=True,
    show_envvar=True,
    metavar="DIR",
    help="Where the directory of the suite is made.",
)
@click.option(
    "--trust-remote-code",
    "is_trusted",
    is_flag=True,
    help="With --resume: run the code that the suite in DIR trusts, of checkpoints and of tasks.",
)
@limit_options
@click.option("--dry-run", is_flag=True, help="Print the runs and the number of model loads; start nothing.")
@click.option("-v", "--verbose", is_flag=True, help="Show the workers' output when each run has ended.")
def suite(
    file: Path | None,
    resume: Path | None,
    output_dir: str,
    is_trusted: bool,
    dry_run: bool,
    verbose: bool,
    **options: Any,
) -> int:
    """Run models x engines x tasks of a YAML file, loading each model once per engine.

    \b
      models: [/weights/llama-*]              # paths and patterns
      engines: [hf_fp32, hf_bf16]
      tasks:
        - accuracy: {task: [boolq, mmlu], limit: 50}
        - performance: {case: [[256, 64], [1024, 64]], batch-size: [1, 8]}

    Options are those of the commands accuracy, performance, maxbs, precision, lm-eval and generate, without
    dashes. A suite goes on after a failure, and ends with the highest exit status of its runs.
    """
    from modeltest.run.planning.trust import refuse_unsaid_trust
    from modeltest.run.supervisor.progress import progress_for
    from modeltest.suite.execution import begin_suite, run_suite, specs_left
    from modeltest.suite.state import read_suite

    if (file is None) == (resume is None):
        raise SpecError("give a suite file, or --resume DIR to go on with a suite that was stopped; not both")
    command = shlex.join(["modeltest", *sys.argv[1:]])
    if resume is None:
        assert file is not None
        matrix, runs = _plan(file)
        if dry_run:
            return _print_plan(runs, matrix.notes)
        for note in matrix.notes:
            click.echo(f"note: {note}", err=True)
        name = matrix.name or file.stem
        resume, _ = begin_suite(runs, name=name, file=str(file), command=command, output_dir=output_dir)
    elif dry_run:
        return _print_plan(read_suite(resume).runs, ())
    elif not is_trusted:
        refuse_unsaid_trust(resume, specs_left(resume))
    progress = progress_for(sys.stderr.isatty())
    progress.line(f"suite directory {resume}")
    return _conclude(run_suite(resume, progress=progress, limits=limits_of(options), verbose=verbose))


def catalogue() -> Catalogue:
    """Return the options a suite may give its runs, by command."""
    return {
        name: {
            word: _kind(parameter)
            for parameter in command.params
            if isinstance(parameter, click.Option)
            for word in _long_names(parameter)
            if word not in OF_THE_SUITE
        }
        for name, command in COMMANDS.items()
    }


def _plan(file: Path) -> tuple[Matrix, tuple[SuiteRun, ...]]:
    from modeltest.suite.located_yaml import read_yaml
    from modeltest.suite.matrix import expand
    from modeltest.suite.paths import checkpoints, filled
    from modeltest.suite.planning import plan_runs

    matrix = expand(
        read_yaml(file), catalogue(), resolve=checkpoints, fill=lambda text: filled(text, os.environ)
    )
    if not matrix.runs:
        raise SpecError(f"{file} asks for no run: it has no task, or every one is excluded")
    return matrix, plan_runs(matrix.runs, _asked)


def _asked(asked: Asked) -> RunSpec:
    """Return what a command line of the suite asks for.

    Raises: ModelTestError that names its place in the file.
    """
    name, *words = asked.words
    try:
        return asked_by_words(COMMANDS[name], f"modeltest {name}", words)
    except ModelTestError as problem:
        raise type(problem)(f"{asked.where_of(str(problem))}: {name}: {problem}") from None


def _print_plan(runs: tuple[SuiteRun, ...], notes: tuple[str, ...]) -> int:
    from modeltest.suite.table import print_plan

    print_plan(runs, notes)
    return max((run.exit_status or 0 for run in runs), default=0)


def _conclude(outcome: SuiteOutcome) -> int:
    from modeltest.suite.state import files_of_suite
    from modeltest.suite.table import print_suite

    if outcome.interrupt is None:
        print_suite(outcome.suite, files_of_suite(outcome.directory))
        return outcome.suite.exit_status or 0
    with suppress(OSError):  # the terminal may be what ended the suite
        print_suite(outcome.suite, files_of_suite(outcome.directory))
    raise outcome.interrupt


def _kind(option: click.Option) -> OptionKind:
    from modeltest.suite.matrix import OptionKind

    if option.is_flag:
        return OptionKind.FLAG
    if option.callback is PAIRS["callback"]:
        return OptionKind.PAIRS
    return OptionKind.MANY if option.multiple else OptionKind.ONE


def _long_names(option: click.Option) -> list[str]:
    return [name[2:] for name in (*option.opts, *option.secondary_opts) if name.startswith("--")]
