"""`comparison.md`: a comparison as Markdown, for a pull request or a job summary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from modeltest.api import (
    AccuracyComparison,
    Bounds,
    ComparedRun,
    Comparison,
    Flip,
    MaxBatchComparison,
    MetricComparison,
    OutputAgreement,
    PairedAccuracy,
)
from reports.markdown import escape, table

SHOWN = 20
"""Rows of a table; the JSON has all of them."""


class ComparisonMarkdown:
    """Renders `comparison.md`: gates first, then what they rest on."""

    name = "markdown"
    file_name = "comparison.md"

    def render(self, comparison: Comparison) -> str:
        """Return the comparison as Markdown of GitHub and GitLab."""
        return "\n".join(_lines(comparison)) + "\n"


def _lines(comparison: Comparison) -> Iterator[str]:
    yield f"# {comparison.outcome.value}: {escape(comparison.task)}, candidate against reference"
    yield ""
    gates = [
        (f"{gate.name} {gate.part}".strip(), gate.outcome.value, gate.statement) for gate in comparison.gates
    ]
    yield from _table(("gate", "outcome", "why"), gates)
    for line in (*comparison.notes, *_allowed(comparison)):
        yield f"> {escape(line)}"
        yield ""
    yield from _runs(comparison)
    if comparison.accuracy is not None:
        yield from _accuracy(comparison.accuracy)
    if comparison.outputs is not None:
        yield from _outputs(comparison.outputs)
    if comparison.performance:
        yield from _latencies(comparison.performance, comparison.level)
    if comparison.max_batch:
        yield from _batches(comparison.max_batch)


def _allowed(comparison: Comparison) -> Iterator[str]:
    for each in comparison.allowed:
        yield f"allowed although {each.fact} differs: {each.reference} | {each.candidate}"


def _runs(comparison: Comparison) -> Iterator[str]:
    yield "## Runs"
    yield ""
    for twin in comparison.twins:
        yield f"Twin: {escape(twin.source)} ({twin.engine} in {twin.dtype}), {twin.questions} questions."
        yield ""
    sides = (("reference", comparison.reference), ("candidate", comparison.candidate))
    rows = [(side, *_run(run)) for side, runs in sides for run in runs]
    yield from _table(("", "model", "engine", "device", "dtype", "started", "directory"), rows)
    if comparison.differences:
        found = [(each.fact, each.reference, each.candidate) for each in comparison.differences]
        yield from _table(("differs", "reference", "candidate"), found)


def _run(run: ComparedRun) -> Sequence[str]:
    dtype = f"{run.dtype or '-'}{f', {run.quantize}' if run.quantize else ''}"
    engine = f"{run.engine_word} ({run.adapter or '-'})"
    return run.model, engine, run.device or "-", dtype, run.started, run.directory


def _accuracy(found: AccuracyComparison) -> Iterator[str]:
    overall, table = found.overall, found.overall.table
    yield "## Answers"
    yield ""
    rows = [
        ("reference right", str(table.both_right), str(table.reference_only)),
        ("reference wrong", str(table.candidate_only), str(table.both_wrong)),
    ]
    yield from _table(("questions", "candidate right", "candidate wrong"), rows)
    if overall.difference is not None:
        yield (
            f"Accuracy {overall.reference_accuracy:.2%} → {overall.candidate_accuracy:.2%}, "
            f"{overall.difference:+.2%} (95 % interval {_percent(overall.interval)}), McNemar "
            f"p = {overall.p_value:.2g}. {len(found.flips)} of {found.questions} questions are answered "
            "differently."
        )
        yield ""
    divergence = found.divergence
    if divergence is not None:
        yield (
            f"{found.wide_flips} differ with a wide margin, {found.near_tie_flips} near a tie (both margins "
            f"within {divergence.near_tie_margin:g} nats). KL divergence of the choices: mean "
            f"{divergence.mean_kl:.3g}, 99th percentile {divergence.p99_kl:.3g}, largest "
            f"{divergence.max_kl:.3g} nats."
        )
        yield ""
    for line in _unpaired(found):
        yield line
        yield ""
    differing = {name: each for name, each in found.subjects.items() if _differs(each)}
    if len(found.subjects) > 1 and differing:
        worst = sorted(differing.items(), key=lambda item: item[1].difference or 0.0)[:SHOWN]
        yield from _table(
            ("subject", "questions", "reference", "candidate", "difference", "p (Holm)"),
            [
                (
                    name,
                    str(each.table.questions),
                    f"{each.reference_accuracy:.2%}",
                    f"{each.candidate_accuracy:.2%}",
                    f"{each.difference:+.2%}",
                    f"{each.adjusted_p_value:.2g}",
                )
                for name, each in worst
            ],
        )
    if found.flips:
        yield from _flips(found.flips)


def _unpaired(found: AccuracyComparison) -> Iterator[str]:
    """Yield what of the runs is in no pair, and how far texts agree."""
    for side, failed in (("reference", found.failed_in_reference), ("candidate", found.failed_in_candidate)):
        if failed:
            yield f"{len(failed)} questions failed in the {side} alone and make no pair."
    if found.failed_in_both:
        yield f"{found.failed_in_both} questions failed in both runs."
    if found.outputs is not None:
        yield (
            f"Generated tokens: {found.outputs.identical} of {found.outputs.outputs} outputs are the same as "
            "far as both go."
        )


def _differs(each: PairedAccuracy) -> bool:
    return bool(each.table.reference_only or each.table.candidate_only)


def _flips(flips: Sequence[Flip]) -> Iterator[str]:
    yield f"### Answered differently: {min(SHOWN, len(flips))} of {len(flips)}, widest margins first"
    yield ""
    rows = [
        (
            flip.question,
            flip.expected,
            f"{flip.reference or '-'} ({_number(flip.reference_margin)})",
            f"{flip.candidate or '-'} ({_number(flip.candidate_margin)})",
            "" if flip.is_near_tie is None else "near tie" if flip.is_near_tie else "wide",
        )
        for flip in flips[:SHOWN]
    ]
    yield from _table(("question", "expected", "reference (margin)", "candidate (margin)", ""), rows)


def _outputs(found: OutputAgreement) -> Iterator[str]:
    yield "## Outputs"
    yield ""
    yield f"{found.identical} of {found.outputs} outputs are identical."
    yield ""
    if found.divergence is not None:
        least = "" if found.divergence.is_whole else ", the least these can be"
        yield (
            f"KL divergence of {found.divergence.tokens} tokens: mean {found.divergence.mean_kl:.3g}, "
            f"largest {found.divergence.max_kl:.3g} nats{least}."
        )
        yield ""
    if found.divergent:
        rows = [
            (each.output, str(each.token_index), _token(each.reference_token), _token(each.candidate_token))
            for each in found.divergent[:SHOWN]
        ]
        yield from _table(("output", "first token that differs", "reference", "candidate"), rows)


def _latencies(found: Sequence[MetricComparison], level: str) -> Iterator[str]:
    yield "## Times"
    yield ""
    rows = [
        (
            each.case.shape,
            str(each.batch_size),
            each.metric,
            f"{each.reference:.4g}",
            f"{each.candidate:.4g}",
            f"x{each.ratio:.3f}",
            "-"
            if each.ratio_interval is None
            else f"{each.ratio_interval.low:.3f} .. {each.ratio_interval.high:.3f}",
            "" if each.tolerance is None else f"x{1 + each.tolerance:.3f}",
        )
        for each in found
    ]
    interval = f"{level} interval"
    header = ("case", "batch", "metric", "reference", "candidate", "ratio", interval, "allowed")
    yield from _table(header, rows)


def _batches(found: Sequence[MaxBatchComparison]) -> Iterator[str]:
    yield "## Largest batch"
    yield ""
    rows = [
        (
            f"{each.case.shape} within {each.limit_ms:g} ms",
            f"{_token(each.reference_batch, none='-')} ({each.reference_status.value})",
            f"{_token(each.candidate_batch, none='-')} ({each.candidate_status.value})",
            "-" if each.difference is None else f"{each.difference:+d}",
        )
        for each in found
    ]
    yield from _table(("case", "reference", "candidate", "difference"), rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield table(header, (tuple(map(escape, row)) for row in rows), has_numbers=False)


def _percent(interval: Bounds | None) -> str:
    return "-" if interval is None else f"{interval.low:+.2%} .. {interval.high:+.2%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _token(value: int | None, none: str = "end") -> str:
    return none if value is None else str(value)
