import math
from dataclasses import replace

import pytest
from made_packs import (
    answer_to,
    computation,
    letters,
    made_pack,
    pack_task,
    problem,
    text,
    told,
    with_manifest,
    with_wordings,
)

from modeltest.api import PackAnswer, Role
from modeltest.packs.checks import check_pack

PACK = made_pack()
FIRST = PACK.questions[0]
REFERENCE = computation("reference", Role.REFERENCE)


def _refused(pack):
    with pytest.raises(ValueError, match=r"\w") as caught:
        check_pack(pack)
    return str(caught.value)


def _answered(name, answer):
    answers = {**PACK.answers[name], answer.id: answer}
    return replace(PACK, answers={**PACK.answers, name: answers})


def test_a_sound_pack_passes():
    check_pack(PACK)


@pytest.mark.parametrize(
    ("computations", "reason"),
    [
        ((), "must be the reference"),
        ((computation("a"), REFERENCE), "must be the reference"),
        ((REFERENCE, computation("b", Role.REFERENCE)), "must be the reference"),
        ((REFERENCE, computation("a"), computation("a")), "computation 'a' is there twice"),
        ((REFERENCE, computation("../a")), "a name has 1 to 80"),
        ((REFERENCE, computation("A")), "a name has 1 to 80"),
        ((REFERENCE, computation("")), "a name has 1 to 80"),
        ((REFERENCE, computation("a" * 81)), "a name has 1 to 80"),
        ((REFERENCE, computation("a", fault="rope:1.05")), "a direction names its fault"),
        ((REFERENCE, computation("a", Role.DIRECTION)), "a direction names its fault"),
        ((REFERENCE, computation("a", batch_size=0)), "batch size 0"),
    ],
)
def test_computations_that_do_not_fit_are_refused(computations, reason):
    assert reason in _refused(with_manifest(PACK, computations=computations))


def test_tasks_and_questions_must_fit():
    mmlu, gsm8k = PACK.manifest.tasks
    assert "task 'mmlu' is there twice" in _refused(with_manifest(PACK, tasks=(mmlu, mmlu, gsm8k)))
    assert "which is no task" in _refused(with_manifest(PACK, tasks=(mmlu,)))
    assert "the 7 questions of 'mmlu'" in _refused(with_manifest(PACK, tasks=(pack_task("mmlu", 7), gsm8k)))
    assert "the 0 questions of 'boolq'" in _refused(
        with_manifest(PACK, tasks=(mmlu, gsm8k, pack_task("boolq", 0)))
    )
    assert "neither questions nor texts" in _refused(made_pack([], []))


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (replace(letters(0), id="mmlu/other"), "is not called after its task and record"),
        (replace(letters(0), prompt=()), "has no tokens"),
        (letters(0, prompt=(1, -1)), "has no tokens, or such as are none"),
        (letters(0, prompt=(1, 1 << 31)), "has no tokens, or such as are none"),
        (replace(letters(0), choices=((1,), ())), "has no tokens"),
        (replace(letters(0), choices=((1,), (2,), (1,), (4,))), "two choices of the same tokens"),
        (replace(letters(0), max_new_tokens=4), "or both"),
        (replace(problem(0), max_new_tokens=0), "has neither choices nor tokens"),
        (replace(problem(0), max_new_tokens=-1), "has neither choices nor tokens"),
    ],
)
def test_questions_that_are_none_are_refused(question, reason):
    assert reason in _refused(made_pack([question], [], twins={}))


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (replace(text(0), id="0"), "is not called text/"),
        (replace(text(0), context=()), "has no tokens"),
        (replace(text(0), ids=()), "has no tokens"),
        (replace(text(0), ids=(-1,)), "has no tokens"),
    ],
)
def test_texts_that_are_none_are_refused(one, reason):
    assert reason in _refused(made_pack([letters(0)], [one], twins={}))


def test_texts_are_counted_and_each_is_there_once():
    assert "has 3 texts, and the manifest says 2" in _refused(with_manifest(PACK, texts=2))
    assert "'text/0' is there twice" in _refused(made_pack([letters(0)], [text(0), text(0)], twins={}))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (replace(answer_to(FIRST, 0), id="mmlu/none"), "is none of the pack's"),
        (replace(answer_to(FIRST, 0), logprobs=(-1.0,)), "has 1 log-probabilities for 4 choices"),
        (replace(answer_to(FIRST, 0), logprobs=(-1.0, -2.0, -3.0, -math.inf)), "not finite"),
        (replace(answer_to(FIRST, 0), logprobs=(-1.0, -2.0, -3.0, math.nan)), "not finite"),
        (replace(answer_to(FIRST, 0), correct=None), "is not scored"),
        (replace(answer_to(FIRST, 0), margin=-0.5), "has the margin -0.5"),
        (replace(answer_to(FIRST, 0), margin=math.nan), "has the margin nan"),
        (PackAnswer("gsm8k/gsm8k/0", (-1.0,), "0", True), "has 1 log-probabilities for 0 choices"),
        (PackAnswer("text/0", (-1.0,)), "has 1 log-probabilities for 3 tokens"),
        (PackAnswer("text/0", (-1.0,) * 3, correct=True), "is a text, and has an answer"),
    ],
)
@pytest.mark.parametrize("name", ["reference", "bf16-batch-1"])
def test_answers_that_are_none_are_refused(name, answer, reason):
    said = _refused(_answered(name, answer))
    assert reason in said
    assert f"answers/{name}.jsonl" in said


@pytest.mark.parametrize("missing", ["mmlu/anatomy/1", "text/2"])
def test_the_reference_answers_everything_and_a_twin_need_not(missing):
    left = {
        name: {key: answer for key, answer in answers.items() if key != missing}
        for name, answers in PACK.answers.items()
    }
    twin = "bf16-batch-1"
    check_pack(replace(PACK, answers={**PACK.answers, twin: left[twin]}))
    lacking = replace(PACK, answers={**PACK.answers, "reference": left["reference"]})
    assert f"the reference has no answer to {missing!r}" in _refused(lacking)


def test_the_reference_of_a_draft_need_not_tell_texts():
    questions = {one.id: PACK.reference[one.id] for one in PACK.questions}
    draft = replace(PACK, answers={**PACK.answers, "reference": questions})
    check_pack(with_manifest(draft, is_draft=True))
    assert "and 2 more" in _refused(draft)


def test_a_pack_of_texts_alone_is_one():
    check_pack(made_pack([], [text(0)], twins={"t": {"text/0": told(text(0))}}))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"question": "mmlu/anatomy/9"}, "is none of the pack's"),
        ({"text": None}, "has neither a text nor a conversation, or both"),
        ({"choices": (" A",)}, "has 1 choices as text and 4 as token ids"),
    ],
)
def test_questions_as_text_must_be_of_the_pack(change, reason):
    pack = with_wordings(PACK, 2)
    check_pack(pack)
    assert reason in _refused(replace(pack, wordings=(replace(pack.wordings[0], **change), pack.wordings[1])))


def test_questions_as_text_are_as_many_as_the_manifest_says_and_none_twice():
    pack = with_wordings(PACK, 2)
    assert "has 1 questions, and the manifest says 2" in _refused(replace(pack, wordings=pack.wordings[:1]))
    twice = replace(pack, wordings=(pack.wordings[0],) * 2)
    assert "is there twice" in _refused(twice)


def test_generated_tokens_are_of_generated_answers():
    chosen = PACK.reference[FIRST.id]
    assert "nothing was generated" in _refused(_answered("reference", replace(chosen, output=(1,))))
    said = PACK.reference["gsm8k/gsm8k/0"]
    assert "has no tokens" in _refused(_answered("reference", replace(said, output=(-1,))))
    check_pack(_answered("reference", replace(said, output=())))
    assert "is a text, and has an answer" in _refused(
        _answered("reference", replace(told(PACK.texts[0]), output=(1,)))
    )
