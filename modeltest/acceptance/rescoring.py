"""Answers of a pack held against the rules of their tasks. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from modeltest.acceptance.asking import scored, task_of_pack
from modeltest.api import (
    AccuracyTask,
    Completion,
    Pack,
    PackAnswer,
    PackQuestion,
    PackTask,
    SelfChecking,
    SpecError,
)

Tasks = Mapping[str, tuple[AccuracyTask, PackTask]]


def refuse_wrong_scores(pack: Pack, place: str) -> None:
    """Refuse a pack in which an answer is not what the rule of its task makes of it.

    Of choices that is the answer, whether it is right, and the margin; of what was generated, whether the
    answer is right.

    Raises: SpecError naming the answer; as `task_of_pack`.
    """
    tasks = {task.task: (task_of_pack(task), task) for task in pack.manifest.tasks}
    questions = {question.id: question for question in pack.questions}
    for name, answers in pack.answers.items():
        for answer in answers.values():
            question = questions.get(answer.id)
            if question is not None and (problem := _problem(question, answer, tasks)):
                raise SpecError(
                    f"{place}: the answer of {name!r} to {answer.id!r} is not scored by the rule of its "
                    f"task: {problem}; make the pack again"
                )


def _problem(question: PackQuestion, answer: PackAnswer, tasks: Tasks) -> str | None:
    task, of_pack = tasks[question.task]
    completion = Completion(question.id, text="", choice_logprobs=answer.logprobs)
    score = scored(task, of_pack, question, completion)
    if question.choices:
        told = (answer.predicted, answer.correct, answer.margin)
        found = (score.predicted, score.correct, score.margin)
        return None if told == found else f"it is {told}, and by its log-probabilities {found}"
    if isinstance(task, SelfChecking):
        told_score = replace(score, predicted=answer.predicted, correct=answer.correct)
        return task.contradiction(of_pack.spec, told_score, ())
    return None
