"""Reference packs made by hand, for the tests of what reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from modeltest.api import (
    Computation,
    DatasetInfo,
    Pack,
    PackAnswer,
    PackManifest,
    PackModel,
    PackQuestion,
    PackTask,
    PackText,
    PackWording,
    Record,
    Role,
    RunSpec,
    TaskOptions,
)
from modeltest.tasks.boolq import BoolQ
from modeltest.tasks.gsm8k import GSM8K
from modeltest.tasks.mmlu import MMLU

TASKS = {"boolq": BoolQ(), "gsm8k": GSM8K(), "mmlu": MMLU()}
LETTERS = "ABCD"


def spec_of(task: str, *, protocol: str = "lm-eval", shots: int = 0) -> RunSpec:
    """Return what the reference's run of a task asked for."""
    return RunSpec(
        engine="fake",
        mode=TASKS[task].modes[0].word,
        task=task,
        model="auto",
        weights="/w",
        split="full",
        options=TaskOptions(shots=shots),
        batch_sizes=((8,),),
        protocol=protocol,
    )


def pack_task(task: str, questions: int, **fields: Any) -> PackTask:
    """Return a task of a pack, by the protocol of lm-eval."""
    values: dict[str, Any] = {
        "task": task,
        "spec": spec_of(task),
        "protocol_version": TASKS[task].protocols["lm-eval"],
        "dataset": DatasetInfo(task, "full", f"/d/{task}", "a" * 64, True, questions, 1),
        "subjects": {"anatomy": {"category": "other"}, "virology": {"category": "STEM"}},
        "questions": questions,
    }
    return PackTask(**{**values, **fields})


def letters(number: int, *, subject: str = "anatomy", prompt: Sequence[int] = ()) -> PackQuestion:
    """Return a question of MMLU, whose right answer is the letter of its number."""
    fields = {**{letter: f"option {letter}" for letter in LETTERS}, "question": f"which is {number}?"}
    record = Record(f"{subject}/{number}", subject, {**fields, "answer": LETTERS[number % 4]})
    ids = tuple(prompt) or (*range(100, 112), len(subject), number, 7)
    choices = ((11,), (12,), (13,), (14,))
    return PackQuestion(f"mmlu/{record.id}", "mmlu", record, ids, choices)


def problem(number: int) -> PackQuestion:
    """Return a question of GSM8K, whose right answer is its number."""
    record = Record(f"gsm8k/{number}", "gsm8k", {"question": "how many?", "answer": f"so #### {number}"})
    return PackQuestion(
        f"gsm8k/{record.id}", "gsm8k", record, (1, 2, 3, 50 + number), max_new_tokens=16, stop=("Q:",)
    )


def text(number: int, *, tokens: int = 3) -> PackText:
    """Return a text of as many tokens."""
    return PackText(f"text/{number}", (5, 6, number + 1), tuple(range(20, 20 + tokens)))


def answer_to(question: PackQuestion, best: int, *, lead: float = 1.0) -> PackAnswer:
    """Return the answer to a question of letters, ahead of the others by `lead` nats."""
    logprobs = tuple(-1.0 if at == best else -1.0 - lead for at in range(len(question.choices)))
    predicted = LETTERS[best]
    correct = predicted == question.record.fields["answer"]
    return PackAnswer(question.id, logprobs, predicted, correct, lead)


def solved(question: PackQuestion, number: int) -> PackAnswer:
    """Return the answer to a problem."""
    return PackAnswer(question.id, (), str(number), question.record.fields["answer"].endswith(f" {number}"))


def told(one: PackText, logprob: float = -2.0) -> PackAnswer:
    """Return log-probabilities of the tokens of a text, all of them one."""
    return PackAnswer(one.id, (logprob,) * len(one.ids))


def computation(name: str, role: Role = Role.TWIN, **fields: Any) -> Computation:
    """Return who gave answers."""
    values: dict[str, Any] = {
        "engine": "fake",
        "dtype": "float32" if role is Role.REFERENCE else "bfloat16",
        "device": "none",
        "batch_size": 8,
        "versions": {"torch": "2.13"},
    }
    return Computation(name, role, **{**values, **fields})


def made_pack(
    questions: Sequence[PackQuestion] | None = None,
    texts: Sequence[PackText] | None = None,
    *,
    twins: Mapping[str, Mapping[str, PackAnswer]] | None = None,
    **fields: Any,
) -> Pack:
    """Return a pack whose reference answers every question rightly.

    Unless they are given, it has six questions of letters in two subjects, two problems, three texts, a twin
    that moves every log-probability by 0.01, and a direction that answers the first question alone.
    """
    if questions is None:
        subjects = ("anatomy", "anatomy", "anatomy", "virology", "virology", "virology")
        questions = [letters(number, subject=subject) for number, subject in enumerate(subjects)]
        questions += [problem(number) for number in range(2)]
    texts = [text(number) for number in range(3)] if texts is None else texts
    reference = {one.id: right(one) for one in questions} | {one.id: told(one) for one in texts}
    computations = [computation("reference", Role.REFERENCE)]
    answers: dict[str, Mapping[str, PackAnswer]] = {"reference": reference}
    if twins is None:
        twins = {"bf16-batch-1": {name: moved(answer, 0.01) for name, answer in reference.items()}}
        computations.append(computation("scale", Role.DIRECTION, fault="attention_scale:1.02"))
        answers["scale"] = {questions[0].id: answer_to(questions[0], 1)} if questions else {}
    computations[1:1] = [computation(name) for name in twins]
    counts: dict[str, int] = {}
    for one in questions:
        counts[one.task] = counts.get(one.task, 0) + 1
    manifest = PackManifest(
        created="2026-01-01T00:00:00+00:00",
        modeltest_version="1",
        model=PackModel("tiny", "llama", "float32", "f" * 64, "e" * 64),
        tasks=tuple(pack_task(task, count) for task, count in counts.items()),
        texts=len(texts),
        computations=tuple(computations),
    )
    pack = Pack(manifest, tuple(questions), tuple(texts), {**answers, **twins})
    return replace(pack, **fields) if fields else pack


def right(question: PackQuestion) -> PackAnswer:
    """Return the right answer to a question."""
    expected = question.record.fields["answer"]
    if question.choices:
        return answer_to(question, LETTERS.index(expected))
    return solved(question, int(expected.rpartition(" ")[2]))


def moved(answer: PackAnswer, by: float) -> PackAnswer:
    """Return an answer with every log-probability moved by as much."""
    return replace(answer, logprobs=tuple(value + by for value in answer.logprobs))


def with_manifest(pack: Pack, **fields: Any) -> Pack:
    """Return a pack that says something else of itself."""
    return replace(pack, manifest=replace(pack.manifest, **fields))


def with_wordings(pack: Pack, count: int) -> Pack:
    """Return a pack that has its first questions as text too."""
    wordings = tuple(
        PackWording(
            each.id,
            text=f"{each.record.fields['question']} Answer:",
            choices=(" A", " B", " C", " D")[: len(each.choices)],
        )
        for each in pack.questions[:count]
    )
    return replace(with_manifest(pack, wordings=count), wordings=wordings)
