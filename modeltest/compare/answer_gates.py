"""The gates of an accuracy comparison: whether the candidate answers as the reference does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from modeltest.api import AccuracyComparison, Gate, GateOutcome, PairedAccuracy
from modeltest.compare.paired import at_least, at_most, lower_bound, questions_needed
from modeltest.compare.tolerances import (
    MAX_WIDE_FLIPS,
    MOST_UNANSWERED,
    Tolerances,
)
from modeltest.rounding import Resolution

_NAMED = 3
_OF_ACCURACY = ("accuracy", "subjects")


def answer_gates(
    found: AccuracyComparison, tolerances: Tolerances, resolution: Resolution, *, judges_failures: bool
) -> Iterator[Gate]:
    """Yield the gates that the runs allow; `judges_failures` says whether failed questions are one."""
    if judges_failures:
        yield failure_gate(found)
    yield accuracy_gate(found, tolerances)
    if len(found.subjects) > 1:
        yield subject_gate(found, tolerances)
    yield flip_gate(found, tolerances, resolution)
    if found.divergence is not None:
        yield divergence_gate(found, tolerances, resolution)


def failure_gate(found: AccuracyComparison) -> Gate:
    """Return whether the candidate answers every question that the reference answers."""
    failed = len(found.failed_in_candidate)
    if failed:
        named = ", ".join(found.failed_in_candidate[:_NAMED]) + (", ..." if failed > _NAMED else "")
        statement = f"the candidate failed on {failed} questions that the reference answered: {named}"
    else:
        statement = "the candidate answered every question that the reference answered"
    outcome = GateOutcome.FAIL if failed else GateOutcome.PASS
    return Gate("failures", "", outcome, statement, float(failed), 0.0, "questions")


def token_gate(differing: str | None, questions: int) -> Gate:
    """Return whether one checkpoint read the same token ids in all prompts; `differing` says where not.

    No statistics: a port that reads another text than it was given is broken, whatever it answers.
    """
    if differing is None:
        statement = f"all {questions} equal prompts became the same tokens"
        return Gate("tokens", "", GateOutcome.PASS, statement, 0.0, 0.0, "questions")
    count, statement = float(differing.split()[0]), f"{differing}; it is the same checkpoint"
    return Gate("tokens", "", GateOutcome.FAIL, statement, count, 0.0, "questions")


def suspected(gate: Gate) -> Gate:
    """Return a gate that does not let accuracy pass, of runs of which one is SUSPECT; it still fails."""
    if gate.name not in _OF_ACCURACY or gate.outcome is not GateOutcome.PASS:
        return gate
    statement = f"guessing would beat one of the runs, so that nothing is kept to: {gate.statement}"
    return replace(gate, outcome=GateOutcome.INCONCLUSIVE, statement=statement)


def accuracy_gate(found: AccuracyComparison, tolerances: Tolerances) -> Gate:
    """Return whether accuracy drops by less than is allowed.

    PASS: a larger drop is excluded at the confidence asked for, or every answer is identical, which needs no
    statistics. FAIL: the drop found is larger, and McNemar's test does not put it down to chance.
    """
    overall, allowed = found.overall, tolerances.max_drop
    table, total = overall.table, overall.table.questions
    if overall.difference is None:
        return Gate(
            *("accuracy", "", GateOutcome.INCONCLUSIVE, "no question was answered by both runs"),
            *(None, -allowed, "fraction"),
        )
    low = lower_bound(table.reference_only, table.candidate_only, total, confidence=tolerances.confidence)
    needed = None
    if not found.flips and not table.reference_only and not table.candidate_only:
        outcome = GateOutcome.PASS
        statement = f"all {total} answers are identical, so that accuracy is the same on these questions"
    elif low > -allowed:
        outcome = GateOutcome.PASS
        statement = (
            f"accuracy changes by {overall.difference:+.2%}; {_excluded(low)} is excluded "
            f"({tolerances.confidence:.0%}), {allowed:.2%} are allowed"
        )
    elif is_drop(overall, tolerances):
        outcome = GateOutcome.FAIL
        statement = (
            f"accuracy drops by {-overall.difference:.2%}, {allowed:.2%} are allowed, and chance does not "
            f"explain it (McNemar p = {overall.p_value:.2g})"
        )
    else:
        outcome = GateOutcome.INCONCLUSIVE
        needed = questions_needed(
            *(table.reference_only, table.candidate_only, total),
            max_drop=allowed,
            confidence=tolerances.confidence,
        )
        statement = (
            f"accuracy changes by {overall.difference:+.2%}, and on {total} questions a drop of up to "
            f"{-low:.2%} cannot be excluded ({tolerances.confidence:.0%}); {allowed:.2%} are allowed"
            + (f"; about {needed} questions would tell" if needed else "")
        )
    if outcome is GateOutcome.PASS and found.unanswered > MOST_UNANSWERED * total:
        outcome = GateOutcome.INCONCLUSIVE
        statement = (
            f"neither run gave an answer to {found.unanswered} of {total} questions: an accuracy that "
            f"changes by {overall.difference:+.2%} says nothing of the model"
        )
    return Gate(
        *("accuracy", "", outcome, statement, overall.difference, -allowed, "fraction"),
        questions_needed=needed,
    )


def is_drop(found: PairedAccuracy, tolerances: Tolerances) -> bool:
    """Say whether accuracy drops by more than is allowed, and McNemar's test does not call it chance."""
    return (
        found.difference is not None
        and found.difference < -tolerances.max_drop
        and found.p_value <= tolerances.risk
    )


def subject_gate(found: AccuracyComparison, tolerances: Tolerances) -> Gate:
    """Return whether a subject got worse beyond what chance explains of the worst of so many."""
    worse = [
        (each.adjusted_p_value, subject)
        for subject, each in found.subjects.items()
        if each.difference is not None and each.difference < 0 and each.adjusted_p_value is not None
    ]
    p_value, worst = min(worse, default=(1.0, ""))
    count = len(found.subjects)
    if p_value <= tolerances.risk:
        names = ", ".join(subject for p, subject in sorted(worse) if p <= tolerances.risk)
        outcome = GateOutcome.FAIL
        statement = f"worse beyond chance, looked at among {count} subjects (Holm): {names}"
    else:
        outcome = GateOutcome.PASS
        statement = f"no subject of {count} is worse beyond chance (Holm" + (
            f"; the worst is {worst}, p = {p_value:.2g})" if worst else ")"
        )
    return Gate("subjects", "", outcome, statement, p_value, tolerances.risk, "p-value")


def flip_gate(found: AccuracyComparison, tolerances: Tolerances, resolution: Resolution) -> Gate:
    """Return whether few enough questions are answered differently.

    Where margins are known, only those that differ with a wide one count. Questions that neither run answers
    are not among them: nothing agrees there. PASS and FAIL are exact binomial tests that the share is below
    or above what is allowed, as if the questions were drawn from many more.
    """
    by_margin = found.wide_flips is not None
    flips = len(found.flips) if found.wide_flips is None else found.wide_flips
    allowed = tolerances.max_flips
    if allowed is None:
        allowed = MAX_WIDE_FLIPS if by_margin else resolution.flips
    total = found.questions - found.unanswered
    what = "differently with a wide margin" if by_margin else "differently"
    beside = f" and {found.near_tie_flips} near a tie" if found.near_tie_flips else ""
    unanswered = f", neither run answers {found.unanswered} others" if found.unanswered else ""
    statement = (
        f"{flips} of {total} questions are answered {what}{beside}{unanswered}; {allowed:.2%} are allowed"
    )
    needed = None
    if flips and total and at_least(flips, total, allowed) <= tolerances.risk:
        outcome = GateOutcome.FAIL
    elif total and (
        not found.flips or not (flips or allowed) or at_most(flips, total, allowed) <= tolerances.risk
    ):
        outcome = GateOutcome.PASS
    else:
        outcome = GateOutcome.INCONCLUSIVE
        needed = _needed_for(flips, total, allowed, tolerances.risk)
        statement += f"; about {needed} questions would tell" if needed else "; too few questions to tell"
    return Gate(
        *("answers", "", outcome, statement, flips / total if total else None, allowed, "fraction"),
        questions_needed=needed,
    )


def divergence_gate(found: AccuracyComparison, tolerances: Tolerances, resolution: Resolution) -> Gate:
    """Return whether the distributions over the choices are as close as rounding leaves them.

    A mean over the questions of the run, not an estimate of anything else: it has no interval.
    """
    divergence = found.divergence
    if divergence is None:
        raise ValueError("there are no distributions to judge")
    allowed = resolution.mean_kl if tolerances.max_kl is None else tolerances.max_kl
    statement = (
        f"the mean KL divergence of the choices is {divergence.mean_kl:.2g} nats, {allowed:.2g} are allowed; "
        f"the largest is {divergence.max_kl:.2g} ({divergence.max_kl_question})"
    )
    outcome = GateOutcome.PASS if divergence.mean_kl <= allowed else GateOutcome.FAIL
    return Gate("divergence", "", outcome, statement, divergence.mean_kl, allowed, "nats")


def _excluded(low: float) -> str:
    return "any drop" if low >= 0 else f"a drop of {-low:.2%} or more"


def _needed_for(flips: int, total: int, allowed: float, risk: float) -> int | None:
    """Return for how many questions this share of flips would decide; `None` where it is too close to it."""
    share = flips / total if total else 0.0
    for times in range(2, 65):
        if at_most(round(share * total * times), total * times, allowed) <= risk:
            return total * times
        if flips and at_least(round(share * total * times), total * times, allowed) <= risk:
            return total * times
    return None
