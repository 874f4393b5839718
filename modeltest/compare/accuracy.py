"""Two accuracy runs, question by question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, median

from modeltest.api import (
    AccuracyComparison,
    ChoiceDivergence,
    Flip,
    OutputAgreement,
    PairedAccuracy,
    PairedTable,
)
from modeltest.compare.answers import Answer, answered_by_both
from modeltest.compare.divergence import kl_divergence, normalized
from modeltest.compare.outputs import Output, OutputPair, compare_outputs
from modeltest.compare.paired import holm, mcnemar_p_value, paired_interval
from modeltest.statistics import CONFIDENCE

Pair = tuple[str, Answer, Answer]


def compare_answers(
    reference: Mapping[str, Answer], candidate: Mapping[str, Answer], *, near_tie_margin: float
) -> AccuracyComparison:
    """Return how the answers of two runs differ; questions that only one run asked are left out.

    A failed question makes no pair: it is neither right nor wrong.
    """
    pairs = list(answered_by_both(reference, candidate))
    flips = sorted((_flip(pair, near_tie_margin) for pair in pairs if _is_flip(pair)), key=_by_margin)
    has_margins = any(one.margin is not None and other.margin is not None for _, one, other in pairs)
    near_ties = sum(flip.is_near_tie is True for flip in flips)
    return AccuracyComparison(
        overall=paired_accuracy(_table(pairs)),
        subjects=_subjects(pairs),
        questions=len(pairs),
        flips=tuple(flips),
        near_tie_flips=near_ties if has_margins else None,
        wide_flips=len(flips) - near_ties if has_margins else None,
        failed_in_reference=_failed_in_one(reference, candidate),
        failed_in_candidate=_failed_in_one(candidate, reference),
        failed_in_both=sum(
            answer.correct is None and name in candidate and candidate[name].correct is None
            for name, answer in reference.items()
        ),
        divergence=choice_divergence(pairs, near_tie_margin=near_tie_margin),
        outputs=_outputs(pairs),
        unanswered=sum(one.predicted is None and other.predicted is None for _, one, other in pairs),
    )


def paired_accuracy(table: PairedTable) -> PairedAccuracy:
    """Return the difference in accuracy that `table` shows, with its 95 % interval and McNemar's p-value."""
    total = table.questions
    p_value = mcnemar_p_value(table.reference_only, table.candidate_only)
    if not total:
        return PairedAccuracy(table, None, None, None, None, p_value)
    return PairedAccuracy(
        table=table,
        reference_accuracy=(table.both_right + table.reference_only) / total,
        candidate_accuracy=(table.both_right + table.candidate_only) / total,
        difference=(table.candidate_only - table.reference_only) / total,
        interval=paired_interval(table.reference_only, table.candidate_only, total, confidence=CONFIDENCE),
        p_value=p_value,
    )


def choice_divergence(pairs: Iterable[Pair], *, near_tie_margin: float) -> ChoiceDivergence | None:
    """Return how far the distributions over the choices are apart; `None` where no pair has them."""
    found: list[tuple[float, str]] = []
    shifts: list[float] = []
    for name, one, other in pairs:
        if one.logprobs and len(one.logprobs) == len(other.logprobs):
            found.append((kl_divergence(one.logprobs, other.logprobs), name))
            shifts.append(_shift(one.logprobs, other.logprobs))
    if not found:
        return None
    found.sort()
    values = [value for value, _ in found]
    return ChoiceDivergence(
        questions=len(values),
        mean_kl=fmean(values),
        median_kl=median(values),
        p99_kl=values[(len(values) * 99 - 1) // 100],
        max_kl=values[-1],
        max_kl_question=found[-1][1],
        median_shift=median(shifts),
        max_shift=max(shifts),
        near_tie_margin=near_tie_margin,
    )


def _shift(reference: Sequence[float], candidate: Sequence[float]) -> float:
    together = zip(normalized(reference), normalized(candidate), strict=True)
    return max(abs(one - other) for one, other in together)


def _table(pairs: Iterable[Pair]) -> PairedTable:
    counts = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
    for _, one, other in pairs:
        counts[one.correct is True, other.correct is True] += 1
    return PairedTable(counts[True, True], counts[True, False], counts[False, True], counts[False, False])


def _subjects(pairs: Iterable[Pair]) -> dict[str, PairedAccuracy]:
    by_subject: dict[str, list[Pair]] = {}
    for pair in pairs:
        by_subject.setdefault(pair[1].subject, []).append(pair)
    found = {subject: paired_accuracy(_table(own)) for subject, own in sorted(by_subject.items())}
    adjusted = holm({subject: each.p_value for subject, each in found.items()})
    return {subject: replace(each, adjusted_p_value=adjusted[subject]) for subject, each in found.items()}


def _is_flip(pair: Pair) -> bool:
    return pair[1].predicted != pair[2].predicted


def _flip(pair: Pair, near_tie_margin: float) -> Flip:
    name, one, other = pair
    margins = [margin for margin in (one.margin, other.margin) if margin is not None]
    return Flip(
        question=name,
        subject=one.subject,
        expected=one.expected,
        reference=one.predicted,
        candidate=other.predicted,
        reference_margin=one.margin,
        candidate_margin=other.margin,
        is_near_tie=max(margins) <= near_tie_margin if len(margins) == 2 else None,
    )


def _by_margin(flip: Flip) -> tuple[float, str]:
    return -max(flip.reference_margin or 0.0, flip.candidate_margin or 0.0), flip.question


def _failed_in_one(own: Mapping[str, Answer], others: Mapping[str, Answer]) -> tuple[str, ...]:
    """Return the questions that failed here and were answered there."""
    return tuple(
        sorted(
            name
            for name, answer in own.items()
            if answer.correct is None and name in others and others[name].correct is not None
        )
    )


def _outputs(pairs: Iterable[Pair]) -> OutputAgreement | None:
    """Compare what was generated, as far as both runs went: an engine may stop once the answer is known."""
    return compare_outputs(
        OutputPair(name, _beginning(one, other), _beginning(other, one))
        for name, one, other in pairs
        if one.tokens or other.tokens
    )


def _beginning(own: Answer, other: Answer) -> Output:
    length = min(len(own.tokens), len(other.tokens)) or None
    return Output(own.tokens[:length], own.text)
