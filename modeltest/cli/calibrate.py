"""`modeltest calibrate`: how much equal runs differ on this machine, and the tolerance that follows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modeltest.api import Case, RunSpec, RunStatus, SpecError, Verdict
from modeltest.cli.execute import ExecutionOptions, dump, execution_of, execution_options, how
from modeltest.options.models import model_fields, model_options
from modeltest.options.number_types import PAIRS, count
from modeltest.options.runs import run_fields, run_options

if TYPE_CHECKING:
    from modeltest.api import Calibration, RunResult

DEFAULT_SESSIONS = 6

_SAME = {
    "model",
    "weights (fingerprint)",
    "quantisation",
    "engine word",
    "engine plug-in",
    "dtype",
    "libraries",
}
"""Facts that may differ between a reference and a candidate, and not between sessions of the same thing."""

TOO_WIDE = 0.2
"""Above this tolerance a machine tells little of a candidate."""


@click.command()
@click.option("--case", "cases", **PAIRS, help="Input and output tokens; repeat it for more.")
@click.option("--batch-size", "batch_sizes", type=count(), multiple=True, default=(1,))
@click.option(
    "--sessions",
    type=count(lowest=4),
    default=DEFAULT_SESSIONS,
    show_default=True,
    metavar="N",
    help="How often the same is run, each time with a model load of its own.",
)
@click.option(
    "--to",
    "path",
    type=click.Path(path_type=Path),
    default="calibration.json",
    show_default=True,
    metavar="FILE",
    help="Where the tolerances go.",
)
@click.option(
    "--from",
    "directories",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="DIR",
    help="Take this run instead of running; repeat it. All must be of the same thing.",
)
@model_options
@run_options
@execution_options
def calibrate(
    cases: tuple[tuple[int, int], ...],
    batch_sizes: tuple[int, ...],
    sessions: int,
    path: Path,
    directories: tuple[Path, ...],
    **options: Any,
) -> int:
    """Run the same measurement again and again, and write how much of a difference is noise here.

    The sessions are as far apart as those of two builds in a pipeline: each loads the model anew. The file
    holds one tolerance for each metric of each case, for `modeltest compare --calibration FILE`; a difference
    above it has a probability of 1 % between equal sessions.
    """
    _refuse_place(path)
    if directories:
        return _conclude(_read(directories), path)
    if options["weights"] is None:
        raise SpecError("no model to measure: give --model DIR, or runs that were made with --from DIR")
    if not cases:
        raise SpecError("no case to measure: give --case 256,64, or runs that were made with --from DIR")
    spec = RunSpec(
        mode="performance",
        task="performance",
        cases=tuple(Case(*case) for case in cases),
        batch_sizes=(batch_sizes,),
        **model_fields(options),
        **run_fields(options),
    )
    execution = execution_of(options)
    if execution.dry_run:
        return dump(spec)
    return _conclude([_run(spec, execution, number, sessions) for number in range(1, sessions + 1)], path)


for _parameter in calibrate.params:
    if _parameter.name == "weights":
        _parameter.required = False  # runs that were made need no model


def _run(spec: RunSpec, execution: ExecutionOptions, number: int, sessions: int) -> RunResult:
    from modeltest.library.carrying_out import carry_out

    carried_out = how(execution)
    carried_out.progress.line(f"session {number} of {sessions}")
    (outcome,) = carry_out(spec, command=None, how=carried_out)
    if outcome.interrupt is not None:
        raise outcome.interrupt
    _refuse_invalid(outcome.result, outcome.directory)
    return outcome.result


def _read(directories: Sequence[Path]) -> list[RunResult]:
    from modeltest.run.record.directory import read_result

    for directory in directories:
        if sum(directory.resolve() == each.resolve() for each in directories) > 1:
            raise SpecError(f"--from {directory} is given twice; a session counts once")
    results = [read_result(directory) for directory in directories]
    for result, directory in zip(results, directories, strict=True):
        _refuse_invalid(result, directory)
        _refuse_another(result, results[0], directory)
    return results


def _refuse_another(result: RunResult, first: RunResult, directory: Path) -> None:
    """Refuse a run that is no session of the same thing: what differs then is not noise."""
    from modeltest.compare.comparable import refuse, run_differences

    found = list(run_differences("performance", first, result))
    refuse(found, ())
    for each in found:
        if each.fact in _SAME:
            raise SpecError(
                f"{directory} is no session of the same as the first run: {each.fact} is {each.candidate}, "
                f"not {each.reference}; tolerances come from runs that differ in nothing"
            )


def _refuse_place(path: Path) -> None:
    """Refuse before hours of measuring a file that cannot be written after them."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        what = "is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise SpecError(f"--to {path}: {what}; give the file that the tolerances go to")


def _refuse_invalid(result: RunResult, directory: Path) -> None:
    if result.spec.task != "performance":
        raise SpecError(
            f"{directory} is a run of {result.spec.task}; tolerances come from runs of performance"
        )
    if result.status != RunStatus.COMPLETE or result.verdict is Verdict.INVALID:
        reasons = "; ".join(result.reasons) or result.status
        raise SpecError(f"{directory} has no numbers to calibrate with: {reasons}")


def _conclude(results: Sequence[RunResult], path: Path) -> int:
    from modeltest.compare.calibration import calibrate as calibrated
    from modeltest.library.calibration_file import write_calibration

    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    calibration = calibrated(results, created=now)
    write_calibration(path, calibration)
    _show(calibration)
    noisy = sum(result.verdict is not Verdict.VALID for result in results)
    if noisy:
        click.echo(
            f"warning: {noisy} of {len(results)} sessions are NOISY: the tolerances are as wide as what "
            "disturbed them; modeltest compare decides nothing by numbers that are NOISY"
        )
    click.echo(str(path))
    return 0


def _show(calibration: Calibration) -> None:
    from modeltest.tables import print_rows

    rows = [
        (
            each.case.shape,
            str(each.batch_size),
            each.metric,
            f"{each.session_cv:.2%}",
            f"x{each.largest_ratio:.3f}",
            f"{each.tolerance:.1%}",
        )
        for each in calibration.tolerances
    ]
    header = ("case", "batch", "metric", "spread of sessions", "slowest / fastest", "tolerance")
    print_rows(header, rows)
    widest = max(each.tolerance for each in calibration.tolerances)
    if widest > TOO_WIDE:
        click.echo(
            f"warning: a slowdown of less than {widest:.0%} will pass unseen: equal runs differ too much "
            "on this machine; end other work and calibrate again"
        )
