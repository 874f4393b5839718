import hashlib
from itertools import islice

import pytest

from modeltest.api import (
    ChatPrompt,
    Completion,
    EngineError,
    ModelTestError,
    Record,
    Request,
    RunSpec,
    Score,
    SpecError,
    TaskData,
    TextPrompt,
    TokenPrompt,
    Turn,
)
from modeltest.run.record.identity import prompt_digest
from modeltest.run.worker.accuracy import Begun, refuse_other_prompts, run_accuracy

SPEC = RunSpec(engine="fake", mode="m", task="t", model="m", weights="w", batch_sizes=((2,),))
DATA = TaskData([Record(str(i), "s", {"q": f"question {i}"}) for i in range(4)], {}, {})


class Task:
    name = "t"

    def requests(self, data, spec):
        for record in data.records:
            yield Request(record.id, TextPrompt("", (), record.fields["q"]), max_new_tokens=1)

    def score(self, record, data, completion, spec):
        return Score(record.id, "s", "c", "A", predicted=completion.text, error=completion.error)


class ScriptedEngine:
    """Gives the batches it was told to, after taking all requests."""

    name = "scripted"

    def __init__(self, *batches):
        self._batches = batches

    def complete(self, requests, *, batch_size):
        self.asked = list(requests)
        yield from (
            [Completion(name, text=name, token_times_ns=(1,)) for name in batch] for batch in self._batches
        )


def _samples(engine):
    return [sample for batch in run_accuracy(Task(), engine, DATA, SPEC) for sample in batch]


def test_answers_are_matched_by_id_in_whatever_order_they_come():
    samples = _samples(ScriptedEngine(["3", "1"], ["0", "2"]))
    assert [sample.score.request_id for sample in samples] == ["3", "1", "0", "2"]
    assert all(sample.score.predicted == sample.score.request_id for sample in samples)


def test_a_request_never_answered_is_failed_not_forgotten():
    samples = _samples(ScriptedEngine(["0", "2"]))
    failed = {sample.score.request_id: sample.score.error for sample in samples if sample.score.error}
    assert failed == {"1": "the engine gave no answer", "3": "the engine gave no answer"}


@pytest.mark.parametrize("batches", [[["0", "9"]], [["0"], ["0"]]])
def test_an_answer_that_was_not_asked_for_ends_the_run(batches):
    with pytest.raises(EngineError, match="was not asked or was answered already"):
        _samples(ScriptedEngine(*batches))


def test_times_are_left_out_of_the_journal_of_questions():
    assert _samples(ScriptedEngine(["0"]))[0].completion.token_times_ns == ()


def test_each_sample_carries_the_digest_of_its_prompt():
    sample = _samples(ScriptedEngine(["1"]))[0]
    assert sample.prompt_sha256 == hashlib.sha256(b"question 1").hexdigest()


def test_a_prompt_digest_tells_the_kinds_of_prompts_apart():
    prompts = [
        TextPrompt("a", ("b",), "c"),
        TextPrompt("abd", (), "c"),
        ChatPrompt((), (), (Turn("user", "abc"),)),
        ChatPrompt((), (), (Turn("system", "abc"),)),
        TokenPrompt((1, 2)),
        TokenPrompt((12,)),
    ]
    assert len({prompt_digest(prompt) for prompt in prompts}) == len(prompts)
    assert prompt_digest(prompts[0]) == prompt_digest(TextPrompt("abc", (), ""))


def test_a_request_that_is_no_record_s_is_a_defect_of_the_task():
    class Wrong(Task):
        def requests(self, data, spec):
            yield Request("other", TextPrompt("", (), "q"), max_new_tokens=1)

    with pytest.raises(ModelTestError, match="asked 'other'"):
        list(run_accuracy(Wrong(), ScriptedEngine(), DATA, SPEC))


def test_a_task_may_read_the_records_more_than_once():
    class Twice(Task):
        def requests(self, data, spec):
            assert len(data.records) == len(list(data.records)) == 4
            return super().requests(data, spec)

    samples = [s for batch in run_accuracy(Twice(), ScriptedEngine(list("0123")), DATA, SPEC) for s in batch]
    assert not any(sample.score.error for sample in samples)


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_log_probabilities_that_are_not_finite_fail_the_question(value):
    class Broken:
        name = "broken"

        def complete(self, requests, *, batch_size):
            yield [Completion(request.id, choice_logprobs=(-1.0, value)) for request in requests]

    samples = _samples(Broken())
    assert len(samples) == 4
    assert all("not finite" in sample.completion.error for sample in samples)
    assert all(sample.completion.choice_logprobs == () for sample in samples)
    assert all(sample.score.error for sample in samples)


class BatchEngine:
    """Answers batch by batch and keeps what it was asked, one list per call."""

    name = "batches"

    def __init__(self):
        self.calls = []

    def complete(self, requests, *, batch_size):
        remaining = iter(requests)
        self.calls.append([])
        while batch := list(islice(remaining, batch_size)):
            self.calls[-1].append([request.id for request in batch])
            yield [Completion(request.id, text=request.id) for request in batch]


def _going_on(engine, begun, on_batch=None):
    batches = run_accuracy(Task(), engine, DATA, SPEC, begun=begun, on_batch=on_batch)
    return {sample.score.request_id: sample.score.error for batch in batches for sample in batch}


def test_answered_questions_are_not_asked_again():
    engine = BatchEngine()
    assert set(_going_on(engine, Begun(answered={"0", "2"}))) == {"1", "3"}
    assert engine.calls == [[["1", "3"]]]


def test_questions_given_up_are_failed_without_being_asked():
    engine = BatchEngine()
    found = _going_on(engine, Begun(given_up={"1": "the worker was killed"}))
    assert found == {"0": None, "1": "the worker was killed", "2": None, "3": None}
    assert engine.calls == [[["0", "2"], ["3"]]]


def test_what_was_in_flight_is_asked_one_batch_at_a_time_and_said_before():
    engine, asked = BatchEngine(), []
    _going_on(engine, Begun(answered={"0"}, in_flight=2), lambda taken, alone: asked.append((taken, alone)))
    assert engine.calls == [[["1", "2"]], [["3"]]]
    assert asked == [(2, ()), (2, ["1", "2"]), (4, ())]


def test_how_much_the_engine_has_taken_is_said_before_it_takes_it():
    asked = []
    _going_on(BatchEngine(), Begun(), lambda taken, alone: asked.append((taken, alone)))
    assert asked == [(2, ()), (4, ())]


def test_prompts_of_a_journal_must_be_those_of_the_task():
    answered = {sample.score.request_id: sample.prompt_sha256 for sample in _samples(BatchEngine())}
    refuse_other_prompts(Task(), DATA, SPEC, answered)
    refuse_other_prompts(Task(), DATA, SPEC, {"3": answered["3"]})
    with pytest.raises(SpecError, match="question '1' was asked with another prompt"):
        refuse_other_prompts(Task(), DATA, SPEC, {**answered, "1": answered["2"]})
    with pytest.raises(SpecError, match="answers '9', which this run does not ask"):
        refuse_other_prompts(Task(), DATA, SPEC, {**answered, "9": "00"})
