"""A comparison on standard output: what is compared, what was found, and what each gate says of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from modeltest.api import (
    AccuracyComparison,
    Bounds,
    ComparedRun,
    Comparison,
    Decision,
    Flip,
    GateOutcome,
    MaxBatchComparison,
    MetricComparison,
    OutputAgreement,
    PairedAccuracy,
)
from modeltest.tables.printing import titled_table

SHOWN_FLIPS = 10
SHOWN_SUBJECTS = 10
SHOWN_OUTPUTS = 10

_COLOURS = {GateOutcome.PASS: "green", GateOutcome.FAIL: "red", GateOutcome.INCONCLUSIVE: "yellow"}
_DECIDED = {Decision.ACCEPT: "green", Decision.REJECT: "red", Decision.UNDECIDED: "yellow"}


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Print everything a reader needs at once; the reports have the rest."""
    for line in _title_lines(comparison):
        console.print(line, soft_wrap=True)
    for part in _parts(comparison):
        console.print(part)
    for note in comparison.notes:
        console.print(f"note: {note}", soft_wrap=True)
    console.print(_gates(comparison))
    if comparison.false_alarms is not None:
        console.print(
            f"false alarms: at most {comparison.false_alarms:.2g} a comparison, by all gates together"
        )
    console.print(Text.assemble("outcome: ", (comparison.outcome.value, _DECIDED[comparison.outcome])))


def side_of(runs: Sequence[ComparedRun]) -> str:
    """Return one side in one line."""
    first = runs[0]
    where = f"{first.engine_word} ({first.adapter} on {first.device} in {first.dtype})"
    quantize = f", {first.quantize} weights" if first.quantize else ""
    sessions = f", {len(runs)} sessions" if len(runs) > 1 else ""
    return f"{first.model}{quantize} with {where}{sessions}"


def interval_text(interval: Bounds | None) -> str:
    """Return an interval of fractions in percent."""
    return "-" if interval is None else f"{interval.low:+.2%} .. {interval.high:+.2%}"


def _title_lines(comparison: Comparison) -> Iterator[str]:
    yield f"{comparison.task}: {comparison.kind.replace('_', ' ')}, candidate against reference"
    yield f"reference: {side_of(comparison.reference)}"
    yield f"candidate: {side_of(comparison.candidate)}"
    for twin in comparison.twins:
        yield f"twin: {twin.source} ({twin.engine} in {twin.dtype}), {twin.questions} questions"
    for difference in comparison.allowed:
        yield (f"ALLOWED although {difference.fact} differs: {difference.reference} | {difference.candidate}")
    for difference in comparison.differences:
        yield f"  {difference.fact}: {difference.reference} | {difference.candidate}"


def _parts(comparison: Comparison) -> Iterator[RenderableType]:
    if comparison.accuracy is not None:
        yield from _accuracy(comparison.accuracy)
    if comparison.outputs is not None:
        yield from _outputs(comparison.outputs)
    if comparison.performance:
        yield _latencies(comparison.performance, comparison.level)
    if comparison.max_batch:
        yield _batches(comparison.max_batch)


def _accuracy(found: AccuracyComparison) -> Iterator[RenderableType]:
    table = found.overall.table
    yield titled_table(
        "questions by who answered them right",
        ("", "candidate right", "candidate wrong"),
        [
            ("reference right", str(table.both_right), str(table.reference_only)),
            ("reference wrong", str(table.candidate_only), str(table.both_wrong)),
        ],
    )
    overall = found.overall
    if overall.difference is not None:
        yield (
            f"accuracy {overall.reference_accuracy:.2%} -> {overall.candidate_accuracy:.2%}, "
            f"{overall.difference:+.2%} (95 % interval {interval_text(overall.interval)}), "
            f"McNemar p = {overall.p_value:.2g}"
        )
    yield _flip_line(found)
    for side, failed in (("reference", found.failed_in_reference), ("candidate", found.failed_in_candidate)):
        if failed:
            yield f"{len(failed)} questions failed in the {side} alone and make no pair"
    if found.failed_in_both:
        yield f"{found.failed_in_both} questions failed in both runs"
    divergence = found.divergence
    if divergence is not None:
        yield (
            f"KL divergence of the choices: mean {divergence.mean_kl:.3g}, median "
            f"{divergence.median_kl:.3g}, 99th percentile {divergence.p99_kl:.3g}, largest "
            f"{divergence.max_kl:.3g} nats; log-probabilities move by {divergence.median_shift:.3g} "
            f"(median), at most {divergence.max_shift:.3g}"
        )
    if found.outputs is not None:
        yield (
            f"generated tokens: {found.outputs.identical} of {found.outputs.outputs} outputs are the same as "
            "far as both go"
        )
    if len(found.subjects) > 1:
        yield from _subjects(found)
    if found.flips:
        yield _flips(found.flips)


def _flip_line(found: AccuracyComparison) -> str:
    share = f" ({len(found.flips) / found.questions:.2%})" if found.questions else ""
    line = f"answered differently: {len(found.flips)} of {found.questions}{share}"
    if found.flips and found.wide_flips is not None and found.divergence is not None:
        line += (
            f", {found.wide_flips} with a wide margin, {found.near_tie_flips} near a tie "
            f"(both margins within {found.divergence.near_tie_margin:g} nats)"
        )
    return line


def _subjects(found: AccuracyComparison) -> Iterator[RenderableType]:
    differing = {name: each for name, each in found.subjects.items() if _differs(each)}
    worst = sorted(differing.items(), key=lambda item: item[1].difference or 0.0)
    rows = [
        (
            name,
            str(each.table.questions),
            f"{each.reference_accuracy:.2%}",
            f"{each.candidate_accuracy:.2%}",
            f"{each.difference:+.2%}",
            f"{each.p_value:.2g}",
            f"{each.adjusted_p_value:.2g}",
        )
        for name, each in worst[:SHOWN_SUBJECTS]
    ]
    if rows:
        yield titled_table(
            f"subjects, worst first: {len(rows)} of {len(differing)} with a difference, "
            f"{len(found.subjects)} in all",
            ("subject", "questions", "reference", "candidate", "difference", "p", "p (Holm)"),
            rows,
        )


def _differs(each: PairedAccuracy) -> bool:
    return bool(each.table.reference_only or each.table.candidate_only)


def _flips(flips: Sequence[Flip]) -> Table:
    rows = [
        (
            flip.question,
            flip.expected,
            flip.reference or "-",
            _margin(flip.reference_margin),
            flip.candidate or "-",
            _margin(flip.candidate_margin),
            "" if flip.is_near_tie is None else "near tie" if flip.is_near_tie else "wide",
        )
        for flip in flips[:SHOWN_FLIPS]
    ]
    return titled_table(
        f"answered differently, widest margins first: {len(rows)} of {len(flips)}",
        ("question", "expected", "reference", "margin", "candidate", "margin", ""),
        rows,
    )


def _margin(margin: float | None) -> str:
    return "-" if margin is None else f"{margin:.3g}"


def _outputs(found: OutputAgreement) -> Iterator[RenderableType]:
    yield f"identical outputs: {found.identical} of {found.outputs}"
    if found.divergence is not None:
        yield (
            f"KL divergence of {found.divergence.tokens} tokens: mean {found.divergence.mean_kl:.3g}, "
            f"largest {found.divergence.max_kl:.3g} nats"
            + ("" if found.divergence.is_whole else ", the least these can be")
        )
    if found.divergent:
        rows = [
            (
                each.output,
                str(each.token_index),
                _token(each.reference_token),
                _token(each.candidate_token),
            )
            for each in found.divergent[:SHOWN_OUTPUTS]
        ]
        yield titled_table(
            f"first token that differs: {len(rows)} of {len(found.divergent)} outputs",
            ("output", "token", "reference", "candidate"),
            rows,
        )


def _token(token: int | None) -> str:
    return "end" if token is None else str(token)


def _latencies(found: Sequence[MetricComparison], level: str) -> Table:
    rows = [
        (
            each.case.shape,
            str(each.batch_size),
            each.metric,
            f"{each.reference:.4g}",
            f"{each.candidate:.4g}",
            f"x{each.ratio:.3f}",
            _ratios(each.ratio_interval),
            _allowed(each),
        )
        for each in found
    ]
    return titled_table(
        "medians, candidate over reference (* calibrated)",
        ("case", "batch", "metric", "reference", "candidate", "ratio", f"{level} interval", "allowed"),
        rows,
    )


def _ratios(interval: Bounds | None) -> str:
    return "-" if interval is None else f"{interval.low:.3f} .. {interval.high:.3f}"


def _allowed(each: MetricComparison) -> str:
    if each.tolerance is None:
        return ""
    return f"x{1 + each.tolerance:.3f}" + (" *" if each.is_calibrated else "")


def _batches(found: Sequence[MaxBatchComparison]) -> Table:
    rows = [
        (
            each.case.shape,
            f"{each.limit_ms:g}",
            _batch(each.reference_batch),
            _batch(each.candidate_batch),
            "-" if each.difference is None else f"{each.difference:+d}",
            _batch(each.candidate_bound),
            f"{each.reference_status.value} -> {each.candidate_status.value}",
        )
        for each in found
    ]
    return titled_table(
        "largest batch within the limit",
        ("case", "limit ms", "reference", "candidate", "difference", "does not do", "status"),
        rows,
    )


def _batch(batch: int | None) -> str:
    return "-" if batch is None else str(batch)


def _gates(comparison: Comparison) -> Table:
    table = Table(title="gates", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("gate", "outcome", "why"):
        table.add_column(name, overflow="fold")
    for gate in comparison.gates:
        name = f"{gate.name} {gate.part}" if gate.part else gate.name
        table.add_row(name, Text(gate.outcome.value, _COLOURS[gate.outcome]), gate.statement)
    return table
