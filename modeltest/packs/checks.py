"""What a pack must be: held before one is written, and before one that was read is used. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from modeltest.api import Pack, PackAnswer, PackManifest, PackQuestion, PackText, PackWording, Role
from modeltest.packs.layout import QUESTIONS, TEXTS, WORDINGS, answers_member
from modeltest.packs.lines import question_id

TEXT_PREFIX = "text/"
LARGEST_ID = (1 << 31) - 1
"""Of a token: what engines keep ids in."""

_NO_IDS = f"has no tokens, or such as are none: their ids are from 0 to {LARGEST_ID}"


def check_pack(pack: Pack) -> None:
    """Refuse a pack that contradicts itself or lacks something.

    Raises: ValueError naming the member and what is wrong with it.
    """
    check_manifest(pack.manifest)
    _check_questions(pack)
    _check_texts(pack)
    _check_wordings(pack)
    asked = {question.id: question for question in pack.questions}
    told = {text.id: text for text in pack.texts}
    for computation in pack.manifest.computations:
        answers = pack.answers[computation.name]
        where = answers_member(computation)
        _check_answers(answers, asked, told, where)
        if computation.role is Role.REFERENCE:
            expected = asked.keys() if pack.manifest.is_draft else [*asked, *told]
            _refuse_missing(answers, expected, where)


def check_manifest(manifest: PackManifest) -> None:
    """Refuse a manifest that contradicts itself.

    Raises: ValueError.
    """
    roles = [computation.role for computation in manifest.computations]
    if roles.count(Role.REFERENCE) != 1 or roles[0] is not Role.REFERENCE:
        raise ValueError("the first of its computations, and no other, must be the reference")
    _refuse_twice((computation.name for computation in manifest.computations), "computation")
    _refuse_twice((task.task for task in manifest.tasks), "task")
    for computation in manifest.computations:
        answers_member(computation)
        if (computation.fault is not None) != (computation.role is Role.DIRECTION):
            raise ValueError(
                f"computation {computation.name!r}: a direction names its fault, and nothing else has one"
            )
        if computation.batch_size < 1:
            raise ValueError(f"computation {computation.name!r} has the batch size {computation.batch_size}")
    if not manifest.tasks and not manifest.texts:
        raise ValueError("it has neither questions nor texts")


def _check_questions(pack: Pack) -> None:
    _refuse_twice((question.id for question in pack.questions), f"{QUESTIONS}: question")
    counts = Counter(question.task for question in pack.questions)
    for task in pack.manifest.tasks:
        if counts.pop(task.task, 0) != task.questions or task.questions < 1:
            raise ValueError(f"{QUESTIONS} has not the {task.questions} questions of {task.task!r} it should")
    if counts:
        raise ValueError(f"{QUESTIONS} has questions of {next(iter(counts))!r}, which is no task of the pack")
    for question in pack.questions:
        if problem := _problem_of(question):
            raise ValueError(f"{QUESTIONS}: question {question.id!r:.90} {problem}")


def _problem_of(question: PackQuestion) -> str | None:
    if question.id != question_id(question.task, question.record.id):
        return "is not called after its task and record"
    if not _are_ids(question.prompt) or not all(map(_are_ids, question.choices)):
        return _NO_IDS
    if bool(question.choices) == (question.max_new_tokens > 0) or question.max_new_tokens < 0:
        return "has neither choices nor tokens to generate, or both"
    if len(set(question.choices)) < len(question.choices):
        return "has two choices of the same tokens"
    return None


def _check_texts(pack: Pack) -> None:
    _refuse_twice((text.id for text in pack.texts), f"{TEXTS}: text")
    if len(pack.texts) != pack.manifest.texts:
        raise ValueError(f"{TEXTS} has {len(pack.texts)} texts, and the manifest says {pack.manifest.texts}")
    for text in pack.texts:
        if not text.id.startswith(TEXT_PREFIX):
            raise ValueError(f"{TEXTS}: text {text.id!r:.90} is not called {TEXT_PREFIX}...")
        if not _are_ids(text.context) or not _are_ids(text.ids):
            raise ValueError(f"{TEXTS}: text {text.id!r:.90} {_NO_IDS}")


def _check_wordings(pack: Pack) -> None:
    _refuse_twice((wording.question for wording in pack.wordings), f"{WORDINGS}: question")
    if len(pack.wordings) != pack.manifest.wordings:
        raise ValueError(
            f"{WORDINGS} has {len(pack.wordings)} questions, and the manifest says {pack.manifest.wordings}"
        )
    asked = {question.id: question for question in pack.questions}
    for wording in pack.wordings:
        if problem := _problem_of_wording(wording, asked.get(wording.question)):
            raise ValueError(f"{WORDINGS}: question {wording.question!r:.90} {problem}")


def _problem_of_wording(wording: PackWording, question: PackQuestion | None) -> str | None:
    if question is None:
        return "is none of the pack's"
    if (wording.text is None) != bool(wording.turns):
        return "has neither a text nor a conversation, or both"
    if len(wording.choices) != len(question.choices):
        return f"has {len(wording.choices)} choices as text and {len(question.choices)} as token ids"
    return None


def _check_answers(
    answers: Mapping[str, PackAnswer],
    asked: Mapping[str, PackQuestion],
    told: Mapping[str, PackText],
    where: str,
) -> None:
    for name, answer in answers.items():
        if name in asked:
            problem = _problem_of_answer(answer, asked[name])
        elif name in told:
            problem = _problem_of_told(answer, told[name])
        else:
            problem = "is none of the pack's"
        if problem is None and not all(map(math.isfinite, answer.logprobs)):
            problem = "has log-probabilities that are not finite"
        if problem:
            raise ValueError(f"{where}: the question or text {name!r:.90} {problem}")


def _problem_of_answer(answer: PackAnswer, question: PackQuestion) -> str | None:
    if len(answer.logprobs) != len(question.choices):
        return f"has {len(answer.logprobs)} log-probabilities for {len(question.choices)} choices"
    if answer.correct is None:
        return "is not scored"
    if answer.output is not None and (question.choices or not _are_in_range(answer.output)):
        return "has an output, and nothing was generated" if question.choices else _NO_IDS
    if answer.margin is not None and not 0 <= answer.margin < math.inf:
        return f"has the margin {answer.margin}"
    return None


def _problem_of_told(answer: PackAnswer, text: PackText) -> str | None:
    if len(answer.logprobs) != len(text.ids):
        return f"has {len(answer.logprobs)} log-probabilities for {len(text.ids)} tokens"
    if any(each is not None for each in (answer.predicted, answer.correct, answer.margin, answer.output)):
        return "is a text, and has an answer"
    return None


def _refuse_missing(answers: Collection[str], expected: Iterable[str], where: str) -> None:
    missing = [name for name in expected if name not in answers]
    if missing:
        raise ValueError(
            f"{where}: the reference has no answer to {missing[0]!r:.90}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
        )


def _are_ids(ids: tuple[int, ...]) -> bool:
    return bool(ids) and _are_in_range(ids)


def _are_in_range(ids: tuple[int, ...]) -> bool:
    return min(ids, default=0) >= 0 and max(ids, default=0) <= LARGEST_ID


def _refuse_twice(names: Iterable[str], what: str) -> None:
    name, count = Counter(names).most_common(1)[0] if (names := list(names)) else ("", 1)
    if count > 1:
        raise ValueError(f"{what} {name!r:.90} is there twice")
