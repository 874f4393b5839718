"""A task of one class with two methods asks, scores and sums up as the larger ones do."""

import pytest

from modeltest.api import (
    AccuracyTask,
    Capability,
    Completion,
    Finish,
    Record,
    RunSpec,
    Sample,
    SelfChecking,
    SpecError,
    TaskData,
    TaskOptions,
)
from modeltest.tasks.question_task import QuestionTask

DATA = TaskData(
    records=[Record("sums/0", "sums", {"question": "1 + 1", "answer": "2"})],
    shots={"sums": [Record("sums/dev/0", "sums", {"question": "2 + 2", "answer": "4"})]},
    subjects={"sums": {"category": "arithmetic"}},
)


class Sums(QuestionTask):
    """Sums of two numbers."""

    name = "sums"
    title = "Sums"
    dataset = "sums"
    word = "Sums"
    takes_shots = True
    max_new_tokens = 4

    def prompt(self, record):
        return f"{record.fields['question']} ="

    def answer(self, text, record):
        return text.strip() or None


def spec(**fields) -> RunSpec:
    return RunSpec("fake", "full_Sums", "sums", "auto", "none", **fields)


def scored(text: str | None, **more):
    completion = Completion("sums/0", text=text, prompt_tokens=(1,), output_tokens=(1,), **more)
    return Sums().score(DATA.records[0], DATA, completion, spec())


def test_it_is_an_accuracy_task_whose_journal_checks_itself():
    task = Sums()
    assert isinstance(task, AccuracyTask)
    assert isinstance(task, SelfChecking)
    assert task.requires(spec()) == {Capability.GENERATE}


def test_its_modes_are_made_of_its_word():
    assert [(mode.word, mode.task, mode.split) for mode in Sums.modes] == [
        ("full_Sums", "sums", "full"),
        ("sample_Sums", "sums", "sample"),
    ]
    assert [word.value for word in Sums.modes[0].arguments] == ["shots", "batch"]


def test_worked_examples_stand_before_the_question():
    (request,) = Sums().requests(DATA, spec(options=TaskOptions(shots=1)))
    assert request.prompt.text == "2 + 2 = 4\n\n1 + 1 ="
    assert (request.id, request.max_new_tokens) == ("sums/0", 4)
    with pytest.raises(SpecError, match="2 shots asked for, but 'sums' has 1 examples"):
        list(Sums().requests(DATA, spec(options=TaskOptions(shots=2))))


@pytest.mark.parametrize(
    ("text", "finish", "correct", "no_answer", "truncated"),
    [
        (" 2", Finish.STOP, True, False, False),
        (" 3", Finish.STOP, False, False, False),
        (" ", Finish.STOP, False, True, False),
        (" ", Finish.LENGTH, False, False, True),
    ],
)
def test_right_is_the_expected_answer(text, finish, correct, no_answer, truncated):
    score = scored(text, finish=finish)
    assert (score.correct, score.no_answer, score.truncated) == (correct, no_answer, truncated)
    assert score.category == "arithmetic"
    assert Sums().contradiction(spec(), score, ()) is None


def test_a_failed_request_is_failed_and_not_wrong():
    score = scored(None, error="out of memory")
    assert (score.correct, score.error) == (None, "out of memory")


def test_an_unknown_protocol_is_refused():
    with pytest.raises(SpecError, match="available: modeltest"):
        Sums().check(spec(protocol="lm-eval"))


def test_it_sums_up_by_subject_and_category():
    completion = Completion("sums/0", text=" 2", prompt_tokens=(1,), output_tokens=(1,))
    samples = [Sample(scored(" 2"), completion, "0" * 64)]
    summary = Sums().summarize(samples, DATA.subjects)
    assert (summary.micro.correct, summary.micro.total) == (1, 1)
    assert set(summary.categories) == {"arithmetic"}
