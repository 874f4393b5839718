"""`modeltest compare`: whether a candidate answers as the reference does, and is as fast."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modeltest import registry
from modeltest.api import (
    Comparison,
    MissingExtra,
    ModelTestError,
    PrerequisiteError,
    SpecError,
)
from modeltest.compare.comparable import ALL, ALLOWABLE
from modeltest.grammar.bounds import LARGEST_COUNT
from modeltest.options.number_types import decimal, percent

if TYPE_CHECKING:
    from modeltest.compare.tolerances import Tolerances

FAILED = 1
"""Exit status of a candidate that does not keep to a gate, or of which nobody can say."""

LARGEST_NATS = 1e6
"""Of a divergence or a margin that is allowed: more than any two log-probabilities differ by."""

_DIRECTORY = click.Path(path_type=Path)

EPILOG = """\b
What is judged:
  accuracy     a drop of more than --max-drop; paired, McNemar's exact test
  answers      questions answered differently with a wide margin: --max-flips
  divergence   mean KL divergence of the choices: --max-kl
  shifts       with --twin: choices move as rounding moves them
  rounding     without: rounding cannot be parted from faults
  subjects     any subject that got worse beyond chance (Holm)
  failures     questions that only the candidate failed
  tokens       prompts that the same checkpoint read as other token ids
  latency      TTFT, TPOT, E2E: the whole interval of the ratio past --tolerance
  max_batch    the batch found, with its certificate: --max-batch-tolerance
  criterion    KL divergence of output tokens: <= 1e-3, > 1e-4 in at most 0.5 %
  outputs      generated outputs that are identical: --min-identical

\b
A gate says PASS, FAIL or INCONCLUSIVE: too few questions or too much noise to
tell. Docs: docs/compare.md. Examples:
  modeltest compare outputs/FP32 outputs/PORT_BF16 --twin outputs/HF_BF16
  modeltest compare outputs/REFERENCE outputs/CANDIDATE
  modeltest compare outputs/REFERENCE outputs/CANDIDATE --max-drop 0.5%
  modeltest compare A1 B1 --reference A2 --candidate B2 --calibration cal.json

Exit status: 0 ACCEPT, 1 REJECT or UNDECIDED, 2 not comparable or wrong
options. UNDECIDED ends with 0 by --undecided pass.
"""


def _reports(_: click.Context, __: click.Parameter, value: str) -> str:
    known = ("table", *registry.comparison_report_names())
    if value not in known:
        raise click.BadParameter(f"{value!r} is none of {', '.join(known)}")
    return value


@click.command(epilog=EPILOG)
@click.argument("reference", type=_DIRECTORY)
@click.argument("candidate", type=_DIRECTORY)
@click.option(
    "--reference",
    "more_reference",
    type=_DIRECTORY,
    multiple=True,
    metavar="DIR",
    help="One more session of the reference, of runs of performance; repeat it.",
)
@click.option(
    "--candidate",
    "more_candidate",
    type=_DIRECTORY,
    multiple=True,
    metavar="DIR",
    help="One more session of the candidate.",
)
@click.option(
    "--twin",
    "twins",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="RUN|PACK",
    help="A right run of the reference's checkpoint in the candidate's dtype, or a reference pack; repeat.",
)
@click.option(
    "--max-drop",
    type=percent,
    metavar="P%",
    help="Accuracy may drop by less than this many percentage points.  [default: 0.5%, or what a twin tells "
    "from rounding, 5% at most]",
)
@click.option(
    "--max-flips",
    type=percent,
    metavar="P%",
    help="Questions that may be answered differently.  [default: 1% with a wide margin; without margins "
    "fp32, fp16 5%, others 15%]",
)
@click.option(
    "--max-kl",
    type=decimal(highest=LARGEST_NATS),
    metavar="NATS",
    help="Mean KL divergence of the choices.  [default: fp32 1e-7, fp16 1e-4, bf16 5e-3, others 5e-2]",
)
@click.option(
    "--near-tie",
    type=decimal(highest=LARGEST_NATS),
    metavar="NATS",
    help="Up to this margin rounding may decide.  [default: fp32 1e-3, fp16 0.05, bf16 0.3, others 1]",
)
@click.option(
    "--min-identical",
    type=percent,
    metavar="P%",
    help="Generated outputs that must be the same to the token.",
)
@click.option(
    "--tolerance",
    type=percent,
    metavar="P%",
    help="How much slower a median may be.  [default: --calibration's, or 5%]",
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Tolerances of this machine, from modeltest calibrate.",
)
@click.option(
    "--max-batch-tolerance",
    type=percent,
    default="5%",
    show_default=True,
    metavar="P%",
    help="How much smaller the batch found may be.",
)
@click.option(
    "--confidence",
    type=percent,
    default="95%",
    show_default=True,
    metavar="P%",
    help="Of the evidence behind PASS, and of intervals.",
)
@click.option(
    "--alarms-per-year",
    type=decimal(highest=LARGEST_COUNT),
    default=1.0,
    show_default=True,
    metavar="N",
    help="How many comparisons may REJECT what is no worse, in a year.",
)
@click.option(
    "--comparisons-per-year",
    type=decimal(highest=LARGEST_COUNT),
    default=3650.0,
    show_default=True,
    metavar="N",
    help="How many there are: ten models a night. One has this share of the alarms.",
)
@click.option(
    "--undecided",
    type=click.Choice(("fail", "pass")),
    default="fail",
    show_default=True,
    help="Which exit status an outcome that is neither has.",
)
@click.option(
    "--allow",
    type=click.Choice((*ALLOWABLE, ALL)),
    multiple=True,
    help="Compare although this differs; repeat it.",
)
@click.option(
    "--format",
    "shown",
    default="table",
    show_default=True,
    callback=_reports,
    metavar="NAME",
    help="What to print: table, json, markdown, html, junit, metrics or openmetrics.",
)
@click.option(
    "--output", "output_dir", type=_DIRECTORY, metavar="DIR", help="Also write every report into DIR."
)
def compare(reference: Path, candidate: Path, **options: Any) -> int:
    """Say whether the run in CANDIDATE keeps to what the run in REFERENCE found.

    Both must have asked the same: the same task, data, protocol, shots and prompts; timed runs on the same
    device and machine. What differs in that is named and refused (exit status 2) unless it is allowed.
    """
    try:
        comparison = _compare(reference, candidate, options)
    except ModelTestError as problem:
        if problem.exit_code != FAILED:
            raise
        raise SpecError(str(problem)) from problem  # a damaged run is no candidate that failed
    _print(comparison, options["shown"])
    if options["output_dir"] is not None:
        write_reports(comparison, options["output_dir"])
    return comparison.outcome.exit_status(undecided_passes=options["undecided"] == "pass")


def _compare(reference: Path, candidate: Path, options: dict[str, Any]) -> Comparison:
    from modeltest.library.comparing import compare_runs

    return compare_runs(
        (reference, *options["more_reference"]),
        (candidate, *options["more_candidate"]),
        tolerances=_tolerances(options),
        allow=options["allow"],
        twins=options["twins"],
    )


def write_reports(comparison: Comparison, directory: Path) -> Sequence[Path]:
    """Write every installed report and print its path; one that lacks a package or is broken is left out.

    Raises: PrerequisiteError when a file cannot be written.
    """
    from modeltest.machine.files import write_text

    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise PrerequisiteError(f"cannot create {directory}: {problem.strerror}") from problem
    written = []
    for report in registry.comparison_reports(lambda line: click.echo(line, err=True)):
        try:
            with registry.guard(f"report {report.name!r} is left out"):
                text = report.render(comparison)
        except (MissingExtra, registry.PlugInError) as problem:
            click.echo(str(problem), err=True)
            continue
        write_text(directory / report.file_name, text)
        written.append(directory / report.file_name)
    for path in written:
        click.echo(str(path), err=True)
    return written


def _print(comparison: Comparison, shown: str) -> None:
    if shown == "table":
        from modeltest.tables import result_console
        from modeltest.tables.comparison import print_comparison

        print_comparison(result_console(), comparison)
        return
    report = registry.load_comparison_report(shown)
    with registry.guard(f"report {shown!r} cannot be shown"):
        text = report.render(comparison)
    click.echo(text.rstrip("\n"))


def _tolerances(options: dict[str, Any]) -> Tolerances:
    from modeltest.compare.tolerances import Tolerances
    from modeltest.library.calibration_file import read_calibration

    path = options["calibration"]
    return Tolerances(
        max_drop=options["max_drop"],
        max_flips=options["max_flips"],
        max_kl=options["max_kl"],
        near_tie=options["near_tie"],
        min_identical=options["min_identical"],
        latency=options["tolerance"],
        max_batch=options["max_batch_tolerance"],
        confidence=options["confidence"],
        calibration=None if path is None else read_calibration(path),
        alarms_per_year=options["alarms_per_year"],
        comparisons_per_year=options["comparisons_per_year"],
    )
