"""The answers of two accuracy runs, judged by the gates that suit them: with twins or without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modeltest.api import AccuracyComparison, Gate, RunResult, Verdict
from modeltest.compare.accuracy import compare_answers
from modeltest.compare.answer_gates import (
    answer_gates,
    divergence_gate,
    failure_gate,
    statistical_gates,
    subject_gate,
    suspected,
)
from modeltest.compare.answers import Answer
from modeltest.compare.given_outputs import output_gates
from modeltest.compare.tolerances import Tolerances
from modeltest.compare.twin_gates import (
    exact_accuracy_gate,
    exact_flip_gate,
    rounding_gate,
    shift_gates,
    shift_statistics,
)
from modeltest.compare.twins import Twin, needs_twin
from modeltest.rounding import Resolution, resolution_of
from modeltest.shifts.answers import drop_limits, near_tie_cut


@dataclass(frozen=True, slots=True)
class JudgedAnswers:
    """How the answers differ, and what each gate says of that."""

    found: AccuracyComparison
    gates: list[Gate]


@dataclass(frozen=True, slots=True)
class AnswersToJudge:
    """Both runs with their answers by question."""

    reference: Mapping[str, Answer]
    candidate: Mapping[str, Answer]
    results: tuple[RunResult, RunResult]

    @property
    def resolution(self) -> Resolution:
        """What rounding may do to the coarser of the runs."""
        return resolution_of(*self.results)


def judge_answers(
    given: AnswersToJudge, tolerances: Tolerances, twins: Sequence[Twin], *, judges_failures: bool
) -> JudgedAnswers:
    """Return how the answers differ, and the gates; `judges_failures`: failed questions are one."""
    judged = _beside_twins(given, tolerances, twins) if twins else _alone(given, tolerances)
    gates = [failure_gate(judged.found)] if judges_failures else []
    gates += judged.gates
    if judged.found.outputs is not None and tolerances.min_identical is not None:
        gates += output_gates(judged.found.outputs, tolerances)
    if any(result.verdict is Verdict.SUSPECT for result in given.results):
        gates = [suspected(gate) for gate in gates]
    return JudgedAnswers(judged.found, gates)


def _alone(given: AnswersToJudge, tolerances: Tolerances) -> JudgedAnswers:
    resolution = given.resolution
    near_tie = resolution.near_tie if tolerances.near_tie is None else tolerances.near_tie
    found = compare_answers(given.reference, given.candidate, near_tie_margin=near_tie)
    gates = list(answer_gates(found, tolerances, resolution))
    if needs_twin(*given.results):
        gates.append(rounding_gate(*given.results))
    return JudgedAnswers(found, gates)


def _beside_twins(given: AnswersToJudge, tolerances: Tolerances, twins: Sequence[Twin]) -> JudgedAnswers:
    answers = [each.answers for each in twins]
    cut = near_tie_cut(given.reference, answers) if tolerances.near_tie is None else tolerances.near_tie
    found = compare_answers(given.reference, given.candidate, near_tie_margin=cut)
    shifts = shift_statistics(given.reference, given.candidate, twins)
    share = tolerances.false_alarms / (statistical_gates(found) + len(shifts))
    limits = drop_limits(given.reference, answers, questions=found.questions, asked=tolerances.max_drop)
    gates = [exact_accuracy_gate(found, limits, share=share)]
    if len(found.subjects) > 1:
        gates.append(subject_gate(found, share=share))
    gates.append(exact_flip_gate(found, allowed=tolerances.max_flips, cut=cut, share=share))
    if found.divergence is not None and tolerances.max_kl is not None:
        gates.append(divergence_gate(found, tolerances, given.resolution))
    gates.extend(shift_gates(shifts, share=share))
    return JudgedAnswers(found, gates)
