"""Questions and texts of a pack as requests, and what comes back as scores and answers. Pure."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from modeltest import registry
from modeltest.api import (
    AccuracyTask,
    Completion,
    ModelTestError,
    Pack,
    PackAnswer,
    PackOptions,
    PackQuestion,
    PackTask,
    PackText,
    Request,
    Sample,
    Score,
    SpecError,
    TaskData,
    TokenPrompt,
)

TEXT_SUBJECT = "text"
"""The subject of texts, which are of no task."""


def request_of(one: PackQuestion | PackText) -> Request:
    """Return what is asked of an engine."""
    if isinstance(one, PackText):
        return Request(one.id, TokenPrompt(one.context), choices=(one.ids,), each_token=True)
    return Request(
        one.id,
        TokenPrompt(one.prompt),
        max_new_tokens=one.max_new_tokens,
        choices=one.choices,
        stop=one.stop,
        first_character_only=one.first_character_only,
    )


def drawn_questions(pack: Pack, options: PackOptions) -> list[PackQuestion]:
    """Return the questions that are asked, in the order of the pack, which keeps shared prefixes together.

    With a limit these are the first of each task in the order of the seed: by the sha256 of seed and name,
    which no version of Python changes.
    """
    if options.only:
        return [question for question in pack.questions if question.id in options.only]
    if options.questions is None:
        return list(pack.questions)
    drawn: set[str] = set()
    for task in pack.manifest.tasks:
        names = (question.id for question in pack.questions if question.task == task.task)
        drawn.update(sorted(names, key=lambda name: _place(options.order_seed, name))[: options.questions])
    return [question for question in pack.questions if question.id in drawn]


def drawn_texts(pack: Pack, options: PackOptions) -> list[PackText]:
    """Return the texts that are told."""
    return [text for text in pack.texts if not options.only or text.id in options.only]


def task_of_pack(task: PackTask) -> AccuracyTask:
    """Return the task that scores answers as the reference's were scored.

    Raises: PrerequisiteError where it is not installed; SpecError where its rules are other ones now.
    """
    found = registry.load_task(task.task)
    if not isinstance(found, AccuracyTask):
        raise SpecError(f"the reference pack has questions of {task.task!r}, which is no task with questions")
    version = found.protocols.get(task.spec.protocol)
    if version != task.protocol_version:
        raise SpecError(
            f"the reference pack has questions of {task.task!r} by version {task.protocol_version} of the "
            f"protocol {task.spec.protocol!r}, this ModelTest has {version or 'none'}: use the ModelTest it "
            "was made with, or make it again"
        )
    return found


def scored(task: AccuracyTask, of_pack: PackTask, question: PackQuestion, completion: Completion) -> Score:
    """Judge one completion by the rule of the question's task.

    Raises: SpecError for a question whose row is none of the task's.
    """
    asked = replace(completion, request_id=question.record.id)
    data = TaskData((), {}, of_pack.subjects)
    try:
        score = task.score(question.record, data, asked, of_pack.spec)
    except (LookupError, ValueError, TypeError, AttributeError, ModelTestError) as problem:
        raise SpecError(
            f"question {question.id!r:.90} of the reference pack cannot be scored by its task: "
            f"{type(problem).__name__}: {problem!s:.200}; make the pack again"
        ) from problem
    return replace(score, request_id=question.id)


class PackScorer:
    """Scores what an engine answers to a pack."""

    def __init__(self, pack: Pack) -> None:
        """Find the tasks, and see that they can score the questions.

        Raises: as `task_of_pack`; SpecError for a question that lacks what its task scores by.
        """
        self._tasks = {task.task: (task_of_pack(task), task) for task in pack.manifest.tasks}
        self._questions = {question.id: question for question in pack.questions}
        self._texts = {text.id: text for text in pack.texts}
        for question in pack.questions:
            self.score(Completion(question.id, error="not asked yet"))

    def score(self, completion: Completion) -> Score:
        """Judge one completion: a question by the rule of its task, a text by whether each token was told."""
        text = self._texts.get(completion.request_id)
        if text is not None:
            return _told(text, completion)
        question = self._questions[completion.request_id]
        return scored(*self._tasks[question.task], question, completion)

    def answer(self, sample: Sample) -> PackAnswer | None:
        """Return what a pack keeps of a sample; `None` where it failed."""
        score, completion = sample.score, sample.completion
        if score.error is not None:
            return None
        if score.request_id in self._texts:
            return PackAnswer(score.request_id, completion.token_logprobs[0])
        logprobs = completion.choice_logprobs if self._questions[score.request_id].choices else ()
        return PackAnswer(score.request_id, logprobs, score.predicted, score.correct, score.margin)


def _told(text: PackText, completion: Completion) -> Score:
    told = [len(logprobs) for logprobs in completion.token_logprobs]
    error = completion.error
    if error is None and told != [len(text.ids)]:
        error = f"the engine told {sum(told)} log-probabilities for the {len(text.ids)} tokens of a text"
    return Score(text.id, TEXT_SUBJECT, "", "", error=error)


def _place(seed: int, name: str) -> str:
    return sha256(f"{seed} {name}".encode()).hexdigest()
