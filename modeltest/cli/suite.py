"""`modeltest suite`: many runs from one file."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modeltest.api import SpecError
from modeltest.cli.execute import ExecutionOptions, typed
from modeltest.cli.execute import how as execution_how
from modeltest.options.limits import limit_options, limits_of
from modeltest.options.runs import OUTPUT_DIR, OUTPUT_VARIABLE

if TYPE_CHECKING:
    from modeltest.api import SuiteRun
    from modeltest.suite.execution import SuiteOutcome


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
    envvar=OUTPUT_VARIABLE,
    default=OUTPUT_DIR,
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
    from modeltest.library.suites import begin, go_on, plan_suite
    from modeltest.suite.state import read_suite

    if (file is None) == (resume is None):
        raise SpecError("give a suite file, or --resume DIR to go on with a suite that was stopped; not both")
    if resume is not None and dry_run:
        return _print_plan(read_suite(resume).runs, ())
    how = execution_how(ExecutionOptions(dry_run=dry_run, verbose=verbose, limits=limits_of(options)))
    if resume is None:
        assert file is not None
        planned = plan_suite(file)
        if dry_run:
            return _print_plan(planned.runs, planned.notes)
        return _conclude(begin(planned, command=typed(), output_dir=output_dir, how=how))
    return _conclude(go_on(resume, is_trusted=is_trusted, how=how))


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
