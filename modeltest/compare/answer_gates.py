"""The gates of an accuracy comparison: whether the candidate answers as the reference does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from modeltest.api import AccuracyComparison, Finding, FindingCode, Gate, GateOutcome, PairedAccuracy
from modeltest.compare.comparable import OtherTokens
from modeltest.compare.paired import at_least, at_most, lower_bound, questions_needed
from modeltest.compare.tolerances import (
    MAX_WIDE_FLIPS,
    MOST_UNANSWERED,
    Tolerances,
)
from modeltest.findings import sentence
from modeltest.rounding import Resolution

_NAMED = 3
_OF_ACCURACY = ("accuracy", "subjects")


def answer_gates(found: AccuracyComparison, tolerances: Tolerances, resolution: Resolution) -> Iterator[Gate]:
    """Yield the gates that the runs allow without a twin."""
    share = tolerances.false_alarms / statistical_gates(found)
    yield accuracy_gate(found, tolerances, share=share)
    if len(found.subjects) > 1:
        yield subject_gate(found, share=share)
    yield flip_gate(found, tolerances, resolution, share=share)
    if found.divergence is not None:
        yield divergence_gate(found, tolerances, resolution)


def statistical_gates(found: AccuracyComparison) -> int:
    """Return how many gates may fail by chance: accuracy, answers, and subjects where there are several."""
    return 3 if len(found.subjects) > 1 else 2


def failure_gate(found: AccuracyComparison) -> Gate:
    """Return whether the candidate answers every question that the reference answers."""
    failed = found.failed_in_candidate
    statement = Finding(FindingCode.CANDIDATE_ANSWERED_ALL)
    if failed:
        statement = Finding(FindingCode.CANDIDATE_FAILED, {"failed": len(failed), "names": failed[:_NAMED]})
    outcome = GateOutcome.FAIL if failed else GateOutcome.PASS
    return Gate(
        name="failures",
        part="",
        outcome=outcome,
        statement=sentence(statement),
        value=float(len(failed)),
        limit=0.0,
        unit="questions",
        statement_code=statement,
    )


def token_gate(differing: OtherTokens | None, questions: int) -> Gate:
    """Return whether one checkpoint read the same token ids in all prompts; `differing` are those it did not.

    No statistics: a port that reads another text than it was given is broken, whatever it answers.
    """
    outcome, count = GateOutcome.PASS, 0
    statement = Finding(FindingCode.SAME_TOKENS, {"questions": questions})
    if differing is not None:
        outcome, count = GateOutcome.FAIL, differing.prompts
        statement = Finding(FindingCode.OTHER_TOKENS_OF_ONE_CHECKPOINT, {"about": differing.finding})
    return Gate(
        name="tokens",
        part="",
        outcome=outcome,
        statement=sentence(statement),
        value=float(count),
        limit=0.0,
        unit="questions",
        statement_code=statement,
    )


def suspected(gate: Gate) -> Gate:
    """Return a gate that does not let accuracy pass, of runs of which one is SUSPECT; it still fails."""
    if gate.name not in _OF_ACCURACY or gate.outcome is not GateOutcome.PASS:
        return gate
    about = gate.statement_code or Finding(FindingCode.TEXT, {"text": gate.statement})
    statement = Finding(FindingCode.GUESSING_BEATS_A_RUN, {"about": about})
    return replace(
        gate,
        outcome=GateOutcome.INCONCLUSIVE,
        statement=sentence(statement),
        statement_code=statement,
    )


def accuracy_gate(found: AccuracyComparison, tolerances: Tolerances, *, share: float) -> Gate:
    """Return whether accuracy drops by less than is allowed.

    PASS: a larger drop is excluded at the confidence asked for, or every answer is identical, which needs no
    statistics. FAIL: the drop found is larger, and so uneven by chance as often as `share` at most (McNemar).
    """
    overall, allowed = found.overall, tolerances.allowed_drop
    table, total = overall.table, overall.table.questions
    if overall.difference is None:
        nothing = Finding(FindingCode.NO_COMMON_ANSWER)
        return Gate(
            name="accuracy",
            part="",
            outcome=GateOutcome.INCONCLUSIVE,
            statement=sentence(nothing),
            value=None,
            limit=-allowed,
            unit="fraction",
            statement_code=nothing,
        )
    low = lower_bound(table.reference_only, table.candidate_only, total, confidence=tolerances.confidence)
    needed = None
    if not found.flips and not table.reference_only and not table.candidate_only:
        outcome = GateOutcome.PASS
        statement = Finding(FindingCode.ALL_ANSWERS_IDENTICAL, {"questions": total})
    elif low > -allowed:
        outcome = GateOutcome.PASS
        statement = _excluded(low, overall.difference, tolerances)
    elif is_drop(overall, max_drop=allowed, risk=share):
        outcome = GateOutcome.FAIL
        statement = Finding(
            FindingCode.ACCURACY_DROPS,
            {"drop": -overall.difference, "allowed": allowed, "p_value": overall.p_value},
        )
    else:
        outcome = GateOutcome.INCONCLUSIVE
        needed = questions_needed(
            table.reference_only,
            table.candidate_only,
            total,
            max_drop=allowed,
            confidence=tolerances.confidence,
        )
        statement = Finding(
            FindingCode.DROP_NOT_EXCLUDED,
            {
                "difference": overall.difference,
                "questions": total,
                "drop": -low,
                "confidence": tolerances.confidence,
                "allowed": allowed,
                "needed": needed or None,
            },
        )
    if outcome is GateOutcome.PASS and found.unanswered > MOST_UNANSWERED * total:
        outcome = GateOutcome.INCONCLUSIVE
        statement = Finding(
            FindingCode.MANY_UNANSWERED,
            {"unanswered": found.unanswered, "questions": total, "difference": overall.difference},
        )
    return Gate(
        name="accuracy",
        part="",
        outcome=outcome,
        statement=sentence(statement),
        value=overall.difference,
        limit=-allowed,
        unit="fraction",
        questions_needed=needed,
        statement_code=statement,
    )


def is_drop(found: PairedAccuracy, *, max_drop: float, risk: float) -> bool:
    """Say whether accuracy drops by more than is allowed, and McNemar's test does not call it chance."""
    return found.difference is not None and found.difference < -max_drop and found.p_value <= risk


def subject_gate(found: AccuracyComparison, *, share: float) -> Gate:
    """Return whether a subject got worse beyond what chance explains of the worst of so many."""
    worse = [
        (each.adjusted_p_value, subject)
        for subject, each in found.subjects.items()
        if each.difference is not None and each.difference < 0 and each.adjusted_p_value is not None
    ]
    p_value, worst = min(worse, default=(1.0, ""))
    count = len(found.subjects)
    if p_value <= share:
        names = tuple(subject for p, subject in sorted(worse) if p <= share)
        outcome = GateOutcome.FAIL
        statement = Finding(FindingCode.SUBJECTS_WORSE, {"subjects": count, "names": names})
    else:
        outcome = GateOutcome.PASS
        values = {"subjects": count, "worst": worst or None, "p_value": p_value}
        statement = Finding(FindingCode.NO_SUBJECT_WORSE, values)
    return Gate(
        name="subjects",
        part="",
        outcome=outcome,
        statement=sentence(statement),
        value=p_value,
        limit=share,
        unit="p-value",
        statement_code=statement,
    )


def flip_gate(
    found: AccuracyComparison, tolerances: Tolerances, resolution: Resolution, *, share: float
) -> Gate:
    """Return whether few enough questions are answered differently.

    Where margins are known, only those that differ with a wide one count. Questions that neither run answers
    are not among them: nothing agrees there. PASS and FAIL are exact binomial tests that the share is below
    or above what is allowed, as if the questions were drawn from many more: FAIL at `share`.
    """
    by_margin = found.wide_flips is not None
    flips = len(found.flips) if found.wide_flips is None else found.wide_flips
    allowed = tolerances.max_flips
    if allowed is None:
        allowed = MAX_WIDE_FLIPS if by_margin else resolution.flips
    total = found.questions - found.unanswered
    statement = Finding(
        FindingCode.ANSWERS_DIFFER_WIDELY if by_margin else FindingCode.ANSWERS_DIFFER,
        {
            "flips": flips,
            "questions": total,
            "near_ties": found.near_tie_flips or None,
            "unanswered": found.unanswered or None,
            "allowed": allowed,
        },
    )
    needed = None
    if flips and total and at_least(flips, total, allowed) <= share:
        outcome = GateOutcome.FAIL
    elif total and (
        not found.flips or not (flips or allowed) or at_most(flips, total, allowed) <= tolerances.risk
    ):
        outcome = GateOutcome.PASS
    else:
        outcome = GateOutcome.INCONCLUSIVE
        needed = _needed_for(flips, total, allowed, passing=tolerances.risk, failing=share)
        if needed:
            statement = Finding(FindingCode.MORE_QUESTIONS_WOULD_TELL, {"about": statement, "needed": needed})
        else:
            statement = Finding(FindingCode.TOO_FEW_QUESTIONS, {"about": statement})
    return Gate(
        name="answers",
        part="",
        outcome=outcome,
        statement=sentence(statement),
        value=flips / total if total else None,
        limit=allowed,
        unit="fraction",
        questions_needed=needed,
        statement_code=statement,
    )


def divergence_gate(found: AccuracyComparison, tolerances: Tolerances, resolution: Resolution) -> Gate:
    """Return whether the distributions over the choices are as close as rounding leaves them.

    A mean over the questions of the run, not an estimate of anything else: it has no interval.
    """
    divergence = found.divergence
    if divergence is None:
        raise ValueError("there are no distributions to judge")
    allowed = resolution.mean_kl if tolerances.max_kl is None else tolerances.max_kl
    statement = Finding(
        FindingCode.CHOICES_DIVERGE,
        {
            "mean": divergence.mean_kl,
            "allowed": allowed,
            "largest": divergence.max_kl,
            "question": divergence.max_kl_question,
        },
    )
    outcome = GateOutcome.PASS if divergence.mean_kl <= allowed else GateOutcome.FAIL
    return Gate(
        name="divergence",
        part="",
        outcome=outcome,
        statement=sentence(statement),
        value=divergence.mean_kl,
        limit=allowed,
        unit="nats",
        statement_code=statement,
    )


def _excluded(low: float, difference: float, tolerances: Tolerances) -> Finding:
    common = {
        "difference": difference,
        "confidence": tolerances.confidence,
        "allowed": tolerances.allowed_drop,
    }
    if low >= 0:
        return Finding(FindingCode.ANY_DROP_EXCLUDED, common)
    return Finding(FindingCode.DROP_EXCLUDED, {**common, "drop": -low})


def _needed_for(flips: int, total: int, allowed: float, *, passing: float, failing: float) -> int | None:
    """Return for how many questions this share of flips would decide; `None` where it is too close to it."""
    found = flips / total if total else 0.0
    for times in range(2, 65):
        if at_most(round(found * total * times), total * times, allowed) <= passing:
            return total * times
        if flips and at_least(round(found * total * times), total * times, allowed) <= failing:
            return total * times
    return None
