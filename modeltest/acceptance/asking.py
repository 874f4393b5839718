"""Questions and texts of a pack as requests, and what comes back as scores and answers. Pure."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

from modeltest import registry
from modeltest.api import (
    AccuracyTask,
    ChatPrompt,
    Completion,
    ModelTestError,
    Pack,
    PackAnswer,
    PackOptions,
    PackQuestion,
    PackTask,
    PackText,
    PackWording,
    Request,
    Sample,
    Score,
    SpecError,
    TaskData,
    TextPrompt,
    TokenPrompt,
)
from modeltest.packs.drafting import answer_to

TEXT_SUBJECT = "text"
"""The subject of texts, which are of no task."""

WORDING_SUBJECT = "prompt as text"
"""The subject of questions that are asked as text: their answers are not looked at."""

SAME_IDS, OTHER_IDS = "the same token ids", "other token ids"
"""What a question that is asked as text is expected to become, and what else it may."""

Unit = PackQuestion | PackText | PackWording
"""What a pack has to be asked."""


def request_of(one: Unit) -> Request:
    """Return what is asked of an engine."""
    if isinstance(one, PackText):
        return Request(one.id, TokenPrompt(one.context), choices=(one.ids,), each_token=True)
    if isinstance(one, PackWording):
        return _worded(one)
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
        self._wordings = {wording.id: wording for wording in pack.wordings}
        for question in pack.questions:
            self.score(Completion(question.id, error="not asked yet"))

    def score(self, completion: Completion) -> Score:
        """Judge one completion.

        A question by the rule of its task, a text by whether each token was told, a question as text by what
        the engine made of it.
        """
        text = self._texts.get(completion.request_id)
        if text is not None:
            return _told(text, completion)
        wording = self._wordings.get(completion.request_id)
        if wording is not None:
            return _read(wording, self._questions[wording.question], completion)
        question = self._questions[completion.request_id]
        return scored(*self._tasks[question.task], question, completion)

    def answer(self, sample: Sample) -> PackAnswer | None:
        """Return what a pack keeps of a sample; `None` where it failed."""
        score, completion = sample.score, sample.completion
        if score.error is not None:
            return None
        if score.request_id in self._texts:
            return PackAnswer(score.request_id, completion.token_logprobs[0])
        if score.request_id in self._wordings:
            return PackAnswer(score.request_id, (), score.predicted, score.correct)
        return answer_to(self._questions[score.request_id], score, completion)


def _worded(one: PackWording) -> Request:
    prompt = ChatPrompt((), (), one.turns) if one.text is None else TextPrompt("", (), one.text)
    tokens = 0 if one.choices else 1
    return Request(one.id, prompt, max_new_tokens=tokens, choices=one.choices, choice_rule=one.choice_rule)


def _read(wording: PackWording, question: PackQuestion, completion: Completion) -> Score:
    """Say whether the engine read the token ids of the question; unknown where it does not tell them."""
    score = Score(wording.id, WORDING_SUBJECT, "", SAME_IDS, error=completion.error)
    if completion.error is not None:
        return score
    if not completion.prompt_tokens:
        return replace(score, no_answer=True)
    is_same = completion.prompt_tokens == question.prompt and completion.choice_tokens in (
        (),
        question.choices,
    )
    return replace(score, predicted=SAME_IDS if is_same else OTHER_IDS, correct=is_same)


def _told(text: PackText, completion: Completion) -> Score:
    told = [len(logprobs) for logprobs in completion.token_logprobs]
    error = completion.error
    if error is None and told != [len(text.ids)]:
        error = f"the engine told {sum(told)} log-probabilities for the {len(text.ids)} tokens of a text"
    return Score(text.id, TEXT_SUBJECT, "", "", error=error)


def _place(seed: int, name: str) -> str:
    return sha256(f"{seed} {name}".encode()).hexdigest()
