"""What is asked of a cut checkpoint, and what is read of the answers."""

import pytest

from modeltest.api import (
    AnswersSummary,
    Capability,
    Completion,
    CutOptions,
    ModelInfo,
    RunSpec,
    Sample,
    SequentialTask,
    SpecError,
    TaskOptions,
)
from modeltest.locate.cut_answers import LocateCut, logprobs_told, places_told
from modeltest.registry import load_task

TEXTS = (tuple(range(10, 17)), (1, 2, 3))
TASK = LocateCut()
MODEL = ModelInfo("m", "m", "/w", "m", None, None, None, 128, 1, None)
BOTH = [True, False]


def asking(*, each_token, texts=TEXTS):
    options = TaskOptions(cut=CutOptions(texts, each_token=each_token))
    return RunSpec("fake", "locate_cut", "locate_cut", "auto", "/w", options=options)


def answered(spec):
    """Return the samples of an engine that tells minus the id for each token."""
    inquiry = TASK.open(spec, frozenset(), MODEL)
    (window,) = list(inquiry.windows())
    samples = []
    for request in window:
        (ids,) = request.choices
        logprobs = tuple(-float(each) for each in ids)
        told = Completion(
            request.id,
            choice_logprobs=(sum(logprobs),),
            token_logprobs=(logprobs,) if request.each_token else (),
        )
        samples.append(Sample(inquiry.score(told), told, "0" * 64))
    assert len(window) == inquiry.most
    return window, samples


def test_it_is_an_installed_task_of_its_kind_without_words():
    task = load_task("locate_cut")
    assert isinstance(task, SequentialTask)
    assert task.modes == ()


def test_every_token_but_the_first_of_a_text_is_told_at_once():
    spec = asking(each_token=True)
    window, samples = answered(spec)
    assert [(request.prompt.ids, request.choices) for request in window] == [
        ((10,), ((11, 12, 13, 14, 15, 16),)),
        ((1,), ((2, 3),)),
    ]
    assert logprobs_told(reversed(samples), spec.options.cut) == [-11, -12, -13, -14, -15, -16, -2, -3]
    assert places_told(spec.options.cut) == list(range(8))
    assert TASK.requires(spec) == {Capability.TOKEN_LOGPROBS}


def test_an_engine_that_tells_choices_alone_is_asked_for_some_tokens_one_by_one():
    spec = asking(each_token=False)
    window, samples = answered(spec)
    assert [(request.prompt.ids, request.choices) for request in window] == [
        ((10,), ((11,),)),
        ((10, 11, 12, 13, 14), ((15,),)),
        ((1,), ((2,),)),
    ]
    assert not any(request.each_token for request in window)
    assert logprobs_told(samples, spec.options.cut) == [-11, -15, -2]
    assert places_told(spec.options.cut) == [0, 4, 6]
    assert TASK.requires(spec) == {Capability.CHOICE_LOGPROBS}


@pytest.mark.parametrize("each_token", BOTH)
def test_answers_are_counted(each_token):
    spec = asking(each_token=each_token)
    _, samples = answered(spec)
    found = TASK.summarize_answers(samples, spec, MODEL)
    assert found == AnswersSummary(answered=len(samples), expected=len(samples), failed=0)
    assert TASK.summarize_answers([], spec, MODEL).expected == len(samples)


def test_tokens_that_were_not_told_are_a_failure():
    inquiry = TASK.open(asking(each_token=True), frozenset(), MODEL)
    score = inquiry.score(Completion("text/1", choice_logprobs=(-1.0,), token_logprobs=((-1.0,),)))
    assert score.error == "the engine told 1 log-probabilities for the 2 tokens of a text"
    assert inquiry.score(Completion("text/1", error="lost")).error == "lost"


@pytest.mark.parametrize("each_token", BOTH)
def test_a_missing_or_failed_answer_is_refused(each_token):
    spec = asking(each_token=each_token)
    _, (first, *others) = answered(spec)
    with pytest.raises(SpecError, match="text/0"):
        logprobs_told(others, spec.options.cut)
    failed = Completion(first.completion.request_id, error="lost")
    with pytest.raises(SpecError, match="not answered"):
        logprobs_told([Sample(first.score, failed, ""), *others], spec.options.cut)


def test_a_run_without_texts_is_refused():
    with pytest.raises(SpecError, match="modeltest locate"):
        TASK.check(RunSpec("fake", "locate_cut", "locate_cut", "auto", "/w"))
