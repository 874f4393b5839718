"""The gates of an accuracy comparison with twins: whether the candidate differs as a right port would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from modeltest.api import (
    AccuracyComparison,
    Finding,
    FindingCode,
    FindingValue,
    Gate,
    GateOutcome,
    RunResult,
)
from modeltest.compare.answers import Answer
from modeltest.compare.paired import at_least
from modeltest.compare.paired_shifts import PairedShift, paired_shifts
from modeltest.compare.tolerances import MAX_WIDE_FLIPS
from modeltest.compare.twins import Twin, dtype_of, shared_logprobs
from modeltest.findings import sentence
from modeltest.shifts.answers import DropLimits
from modeltest.shifts.noise import (
    BOUND,
    FEWEST_UNITS,
    LEAST_NATS,
    PASSING_OUTLIERS,
    RARE_COUNT,
    Logprobs,
    fit_noise,
)

SHIFTS = "shifts"
"""The gates that hold log-probabilities against a twin's."""

ACCEPT_RISK = 0.01
"""How often each statistic passes a candidate that is at the bound."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a gate measured and allows, in a unit, of a part."""

    value: float | None = None
    limit: float | None = None
    unit: str = "deviations"
    part: str = ""


UNMEASURED = Measured()


def rounding_gate(reference: RunResult, candidate: RunResult) -> Gate:
    """Return that nothing parts rounding from a fault, of runs that need a twin and have none."""
    values = {
        "reference": _computed(reference),
        "candidate": _computed(candidate),
        "dtype": dtype_of(candidate),
    }
    return _gate("rounding", GateOutcome.INCONCLUSIVE, Finding(FindingCode.NO_TWIN, values))


@dataclass(frozen=True, slots=True)
class ShiftStatistics:
    """The statistics of the shifts, each against every twin; none where too few questions tell them."""

    questions: int
    found: Sequence[Sequence[PairedShift]] = ()
    largest: float | None = None
    """Of the candidate's shifts in nats, where the twins have none that vary."""

    outliers: int | None = None
    """Questions that are farther off than rounding takes any; `None` where that is not known."""

    def __len__(self) -> int:
        """Return how many gates may fail by them."""
        return len(self.found) + (self.outliers is not None)


def shift_statistics(
    reference: Mapping[str, Answer], candidate: Mapping[str, Answer], twins: Sequence[Twin]
) -> ShiftStatistics:
    """Return how the candidate moves the choices of the questions that all have told, beside each twin."""
    told, of_twins = shared_logprobs(reference, twins)
    answered = {
        name: candidate[name].logprobs
        for name, logprobs in told.items()
        if name in candidate and len(candidate[name].logprobs) == len(logprobs)
    }
    noise = fit_noise(told, of_twins, has_positions=False) if len(answered) >= FEWEST_UNITS else None
    if noise is None:
        return ShiftStatistics(len(answered))
    if not noise.statistics:
        return ShiftStatistics(len(answered), largest=_largest_shift(told, answered))
    shifts = list(paired_shifts(noise, answered, of_twins))
    names = [each.name for each in noise.statistics]
    return ShiftStatistics(
        len(answered),
        [[each for each in shifts if each.statistic == name] for name in names],
        outliers=sum(noise.is_outlier(name, logprobs) for name, logprobs in answered.items()),
    )


def shift_gates(statistics: ShiftStatistics, *, share: float) -> Iterator[Gate]:
    """Yield a gate for each statistic of the shifts; `share` is how often one may fail a right port.

    PASS: that the mean is farther from a twin's than the bound is excluded. FAIL: it is farther from that of
    every twin, and a right computation is so as often as `share` at most.
    """
    for found in statistics.found:
        yield _shift_gate(found, share)
    if statistics.outliers is not None:
        yield _outlier_gate(statistics.outliers, statistics.questions, share)
    if statistics.largest is not None:
        outcome = GateOutcome.PASS if statistics.largest <= LEAST_NATS else GateOutcome.INCONCLUSIVE
        still = Finding(
            FindingCode.TWIN_MOVES_NOTHING,
            {"questions": statistics.questions, "largest": statistics.largest},
        )
        yield _gate(SHIFTS, outcome, still)
    elif not statistics.found:
        few = Finding(FindingCode.FEW_SHIFTS, {"questions": statistics.questions, "needed": FEWEST_UNITS})
        yield _gate(SHIFTS, GateOutcome.INCONCLUSIVE, few)


def exact_accuracy_gate(found: AccuracyComparison, limits: DropLimits, *, share: float) -> Gate:
    """Return whether accuracy drops on these questions by less than is allowed.

    Nothing is uncertain there: the drop is counted. FAIL also takes McNemar's test at `share`, since rounding
    makes some answers right and others wrong.
    """
    overall = found.overall
    measured = Measured(overall.difference, -limits.passing, "fraction")
    if overall.difference is None:
        return _gate("accuracy", GateOutcome.INCONCLUSIVE, Finding(FindingCode.NO_COMMON_ANSWER), measured)
    drop = -overall.difference
    values = {
        "difference": overall.difference,
        "questions": overall.table.questions,
        "allowed": limits.passing,
        "p_value": overall.p_value,
    }
    statement = Finding(FindingCode.ACCURACY_BESIDE_TWINS, values)
    if limits.passing <= drop < limits.failing:
        untold: dict[str, FindingValue] = {
            "about": statement,
            "allowed": limits.passing,
            "told": limits.failing,
            "needed": limits.needed,
        }
        like = Finding(FindingCode.DROP_LIKE_ROUNDING, untold)
        gate = _gate("accuracy", GateOutcome.INCONCLUSIVE, like, measured)
        return replace(gate, questions_needed=limits.needed)
    outcome = GateOutcome.INCONCLUSIVE
    if drop < limits.passing:
        outcome = GateOutcome.PASS
    elif overall.p_value <= share:
        outcome = GateOutcome.FAIL
    return _gate("accuracy", outcome, statement, measured)


def exact_flip_gate(found: AccuracyComparison, *, cut: float, allowed: float | None, share: float) -> Gate:
    """Return whether few enough questions are answered differently outside near-ties.

    `cut` is the margin that rounding bridges, as twins show it. FAIL: so many would be as rare as `share`
    where each is answered so with the probability that is allowed.
    """
    flips = len(found.flips) if found.wide_flips is None else found.wide_flips
    limit = MAX_WIDE_FLIPS if allowed is None else allowed
    total = found.questions - found.unanswered
    outcome = GateOutcome.INCONCLUSIVE
    if total and flips <= limit * total:
        outcome = GateOutcome.PASS
    elif total and at_least(flips, total, limit) <= share:
        outcome = GateOutcome.FAIL
    values = {
        "flips": flips,
        "questions": total,
        "cut": cut if found.wide_flips is not None else None,
        "near_ties": found.near_tie_flips or None,
        "allowed": limit,
    }
    statement = Finding(FindingCode.ANSWERS_BESIDE_TWINS, values)
    return _gate("answers", outcome, statement, Measured(flips / total if total else None, limit, "fraction"))


def _outlier_gate(outliers: int, questions: int, share: float) -> Gate:
    """Return whether few enough questions are far off: a mean says little of what is seldom wrong.

    More than a right port may have never pass. FAIL: so many would be as rare as `share` in one.
    """
    allowed = max(PASSING_OUTLIERS, RARE_COUNT / questions)
    outcome = GateOutcome.INCONCLUSIVE
    if outliers <= allowed * questions:
        outcome = GateOutcome.PASS
    elif at_least(outliers, questions, allowed) <= share:
        outcome = GateOutcome.FAIL
    values: dict[str, FindingValue] = {"outliers": outliers, "questions": questions, "allowed": allowed}
    statement = Finding(FindingCode.OUTLIERS_BESIDE_TWINS, values)
    return _gate(SHIFTS, outcome, statement, Measured(outliers / questions, allowed, "fraction", "outliers"))


def _shift_gate(found: Sequence[PairedShift], share: float) -> Gate:
    nearest = min(found, key=lambda each: each.reach(ACCEPT_RISK))
    outcome, code = GateOutcome.INCONCLUSIVE, FindingCode.SHIFT_OPEN
    if nearest.reach(ACCEPT_RISK / len(found)) < BOUND:
        outcome, code = GateOutcome.PASS, FindingCode.SHIFT_AS_TWIN
    elif all(_is_beyond(each, share) for each in found):
        outcome, code = GateOutcome.FAIL, FindingCode.SHIFT_FROM_TWIN
    values: dict[str, FindingValue] = {
        "statistic": nearest.statistic,
        "questions": nearest.questions,
        "mean": nearest.mean,
        "error": nearest.error,
        "twin": nearest.twin,
        "allowed": BOUND,
        "p_value": nearest.p_value,
        "share": share,
    }
    size = nearest.mean if nearest.is_one_sided else abs(nearest.mean)
    return _gate(SHIFTS, outcome, Finding(code, values), Measured(size, BOUND, part=nearest.statistic))


def _largest_shift(reference: Logprobs, candidate: Logprobs) -> float:
    return max(
        abs(there - here)
        for name, told in candidate.items()
        for here, there in zip(reference[name], told, strict=True)
    )


def _is_beyond(found: PairedShift, share: float) -> bool:
    size = found.mean if found.is_one_sided else abs(found.mean)
    return size > BOUND and found.p_value <= share


def _computed(run: RunResult) -> str:
    return f"{run.adapter or run.spec.engine} in {dtype_of(run) or 'an unknown dtype'}"


def _gate(name: str, outcome: GateOutcome, statement: Finding, measured: Measured = UNMEASURED) -> Gate:
    return Gate(
        name=name,
        part=measured.part,
        outcome=outcome,
        statement=sentence(statement),
        value=measured.value,
        limit=measured.limit,
        unit=measured.unit,
        statement_code=statement,
    )
