from dataclasses import replace
from itertools import islice

import pytest

from modeltest.api import Completion, EngineError, Request, Score, SpecError, TextPrompt, TokenPrompt
from modeltest.run.record.identity import request_digest
from modeltest.run.worker.accuracy import Begun
from modeltest.run.worker.inquiry import run_inquiry

WINDOWS = (("a", "b", "c"), ("d", "e"), ("f",))


def request(name):
    return Request(name, TokenPrompt((ord(name),)), choices=((1,), (2,)))


class Windows:
    """Asks window after window, and keeps the samples that each was answered with."""

    def __init__(self, *windows):
        self._windows = windows or WINDOWS
        self.most = sum(map(len, self._windows))
        self.sent = []

    def windows(self):
        for window in self._windows:
            samples = yield [request(name) for name in window]
            self.sent.append([sample.score.request_id for sample in samples])

    def score(self, completion):
        return Score(completion.request_id, "s", "c", "A", error=completion.error)


class BatchEngine:
    """Answers batch by batch, and keeps what it was asked, one list per call; `but` these."""

    name = "batches"

    def __init__(self, *, but=(), is_backwards=False):
        self.calls = []
        self._but = but
        self._is_backwards = is_backwards

    def complete(self, requests, *, batch_size):
        remaining = iter(requests)
        self.calls.append([])
        while batch := list(islice(remaining, batch_size)):
            self.calls[-1].append("".join(one.id for one in batch))
            answers = [completion(one.id) for one in batch if one.id not in self._but]
            yield answers[::-1] if self._is_backwards else answers


def completion(name, **fields):
    values = {"prompt_tokens": (1, 2), "choice_tokens": ((1,), (2,)), "token_times_ns": (1,)}
    return Completion(name, choice_logprobs=(-1.0, -2.0), token_logprobs=((-1.0,),), **values, **fields)


def samples_of(inquiry, engine, *, answered=None, begun=None, on_batch=None):
    batches = run_inquiry(
        inquiry,
        engine,
        batch_size=2,
        answered=answered or {},
        begun=begun or Begun(),
        on_batch=on_batch or (lambda taken, batch: None),
    )
    return [sample for batch in batches for sample in batch]


def test_a_window_is_asked_when_the_one_before_is_answered():
    inquiry, engine = Windows(), BatchEngine()
    samples = samples_of(inquiry, engine)
    assert engine.calls == [["ab", "c"], ["de"], ["f"]]
    assert [sample.score.request_id for sample in samples] == list("abcdef")


def test_a_window_is_answered_in_the_order_it_was_asked_whatever_the_engine_s():
    inquiry = Windows()
    samples = samples_of(inquiry, BatchEngine(is_backwards=True))
    assert [sample.score.request_id for sample in samples] == list("bacedf")
    assert inquiry.sent == [["a", "b", "c"], ["d", "e"], ["f"]]


def test_a_journal_keeps_log_probabilities_and_no_tokens_or_times():
    sample = samples_of(Windows("a"), BatchEngine())[0]
    assert sample.completion == Completion("a", choice_logprobs=(-1.0, -2.0), token_logprobs=((-1.0,),))
    assert sample.prompt_sha256 == request_digest(request("a"))


def test_a_request_never_answered_is_failed_at_the_end_of_its_window():
    inquiry = Windows()
    samples = samples_of(inquiry, BatchEngine(but="ad"))
    assert [sample.score.request_id for sample in samples] == list("bcaedf")
    failed = {sample.score.request_id: sample.score.error for sample in samples if sample.score.error}
    assert failed == dict.fromkeys("ad", "the engine gave no answer")
    assert inquiry.sent[0] == ["a", "b", "c"]


@pytest.mark.parametrize("names", [["a", "x"], ["a", "a"], ["d"]])
def test_an_answer_that_was_not_asked_for_ends_the_run(names):
    class Wrong:
        name = "wrong"

        def complete(self, requests, *, batch_size):
            yield [completion(name) for name in names]

    with pytest.raises(EngineError, match="was not asked or was answered already"):
        samples_of(Windows(), Wrong())


def test_log_probabilities_that_are_not_finite_fail_the_question():
    class Broken:
        name = "broken"

        def complete(self, requests, *, batch_size):
            for one in requests:
                nan = float("nan")
                told = (-1.0, nan) if one.id == "a" else (-1.0,)
                yield [Completion(one.id, choice_logprobs=(-1.0,), token_logprobs=(told,))]

    first, second = samples_of(Windows("ab"), Broken())
    assert "not finite: nan" in first.score.error
    assert first.completion.token_logprobs == ()
    assert second.score.error is None


def test_no_window_asks_nothing():
    engine = BatchEngine()
    inquiry = Windows()
    inquiry._windows = ()
    assert samples_of(inquiry, engine) == []
    assert engine.calls == []


def journalled(*names):
    return {sample.score.request_id: sample for sample in samples_of(Windows(names), BatchEngine())}


def test_what_the_journal_answers_is_not_asked_again_and_the_inquiry_gets_it():
    inquiry, engine = Windows(), BatchEngine()
    samples = samples_of(inquiry, engine, answered=journalled(*"abcd"))
    assert engine.calls == [["e"], ["f"]]
    assert [sample.score.request_id for sample in samples] == ["e", "f"]
    assert inquiry.sent == [["a", "b", "c"], ["d", "e"], ["f"]]


def test_a_journal_of_everything_asks_nothing():
    engine = BatchEngine()
    assert samples_of(Windows(), engine, answered=journalled(*"abcdef")) == []
    assert engine.calls == []


def test_a_journal_of_another_prompt_is_refused():
    answered = journalled("a")
    other = {"a": replace(answered["a"], prompt_sha256="0" * 64)}
    with pytest.raises(SpecError, match="question 'a' was asked with another prompt"):
        samples_of(Windows(), BatchEngine(), answered=other)


def test_a_journal_of_what_is_not_asked_is_refused():
    with pytest.raises(SpecError, match="it answers 'z', which this run does not ask"):
        samples_of(Windows(), BatchEngine(), answered=journalled("z"))


def test_how_much_the_engine_has_taken_is_said_before_it_takes_it_over_all_windows():
    said = []
    samples_of(Windows(), BatchEngine(), on_batch=lambda taken, batch: said.append((taken, list(batch))))
    assert said == [(2, []), (3, []), (5, []), (6, [])]


def test_what_was_in_flight_is_asked_one_batch_at_a_time_over_the_windows_and_said_before():
    said, engine = [], BatchEngine()
    samples_of(
        Windows(),
        engine,
        answered=journalled("a"),
        begun=Begun(answered={"a"}, in_flight=3),
        on_batch=lambda taken, batch: said.append((taken, list(batch))),
    )
    assert engine.calls == [["bc"], ["d"], ["e"], ["f"]]
    assert said == [(2, ["b", "c"]), (3, ["d"]), (4, []), (5, [])]


def test_what_is_given_up_is_failed_without_being_asked():
    inquiry, engine = Windows(), BatchEngine()
    samples = samples_of(inquiry, engine, begun=Begun(given_up={"b": "killed", "f": "killed"}))
    assert engine.calls == [["ac"], ["de"]]
    assert {s.score.request_id: s.score.error for s in samples if s.score.error} == {
        "b": "killed",
        "f": "killed",
    }
    assert inquiry.sent == [["a", "b", "c"], ["d", "e"], ["f"]]


def test_an_inquiry_may_end_by_what_it_was_answered():
    class UntilEnough(Windows):
        def windows(self):
            for names in WINDOWS:
                samples = yield [request(name) for name in names]
                if any(sample.score.request_id == "b" for sample in samples):
                    return

    engine = BatchEngine()
    assert len(samples_of(UntilEnough(), engine)) == 3
    assert engine.calls == [["ab", "c"]]


def test_the_token_ids_of_a_prompt_stay_where_it_was_text():
    worded = Request("t", TextPrompt("", (), "so?"), choices=(" A", " B"))

    class Worded(Windows):
        def windows(self):
            yield [request("a"), worded]

    found = samples_of(Worded(("a", "t")), BatchEngine())
    kept = {sample.completion.request_id: sample.completion for sample in found}
    assert (kept["a"].prompt_tokens, kept["a"].choice_tokens) == ((), ())
    assert (kept["t"].prompt_tokens, kept["t"].choice_tokens) == ((1, 2), ((1,), (2,)))
