"""What every accuracy task must honour, as a class of tests for pytest.

class TestMine(TaskContract):
    @pytest.fixture
    def asked(self):
        return Asked(MyTask(), DATA, spec)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from modeltest.api import (
    AccuracySummary,
    AccuracyTask,
    Capability,
    Completion,
    Finish,
    Request,
    RunSpec,
    Sample,
    Score,
    SelfChecking,
    SpecError,
    TaskData,
)
from modeltest.run.record.identity import prompt_digest


@dataclass(frozen=True, slots=True)
class Asked:
    """A task with data that has at least one record, and what is asked of it."""

    task: AccuracyTask
    data: TaskData
    spec: RunSpec


def completion_of(request: Request) -> Completion:
    """Return an answer to `request`: the first choice, or a text of one letter."""
    if request.choices:
        logprobs = tuple(-1.0 - number for number in range(len(request.choices)))
        greedy = tuple(number == 0 for number in range(len(request.choices)))
        return Completion(request.id, prompt_tokens=(1,), choice_logprobs=logprobs, choice_is_greedy=greedy)
    return Completion(request.id, text=" A", prompt_tokens=(1,), output_tokens=(2,), finish=Finish.STOP)


class TaskContract:
    """The contract of `modeltest.api.AccuracyTask`: derive a test class that has the fixture `asked`."""

    def test_it_is_an_accuracy_task(self, asked: Asked) -> None:
        """It has the methods of one, a name, a title and the words that ask for it."""
        assert isinstance(asked.task, AccuracyTask)
        assert asked.task.name
        assert asked.task.title
        assert all(mode.task == asked.task.name for mode in asked.task.modes)
        assert asked.task.requires(asked.spec) <= set(Capability)

    def test_what_is_asked_of_it_can_be(self, asked: Asked) -> None:
        """It takes what the fixture asks, and refuses a protocol that it does not know."""
        asked.task.check(asked.spec)
        with pytest.raises(SpecError):
            asked.task.check(replace(asked.spec, protocol="no such protocol"))

    def test_every_record_is_asked_once_and_alike_whenever_it_is(self, asked: Asked) -> None:
        """Every record gives one request under its id, and the same one at each time."""
        first, second = (list(asked.task.requests(asked.data, asked.spec)) for _ in range(2))
        assert [request.id for request in first] == [record.id for record in asked.data.records]
        assert first == second
        assert len({prompt_digest(request.prompt) for request in first}) == len(first)

    def test_an_answer_is_scored_alike_whenever_it_is(self, asked: Asked) -> None:
        """A score is that of its record, right or wrong, and contradicts nothing of itself."""
        for score, completion in self._scores(asked):
            assert score.error is None
            assert score.correct in (True, False)
            if isinstance(asked.task, SelfChecking):
                found = asked.task.contradiction(asked.spec, score, completion.choice_logprobs)
                assert found is None, found

    def test_a_failed_request_is_failed_and_not_wrong(self, asked: Asked) -> None:
        """A completion with an error gives a score with an error."""
        record = next(iter(asked.data.records))
        failed = Completion(record.id, error="out of memory")
        score = asked.task.score(record, asked.data, failed, asked.spec)
        assert (score.request_id, score.correct, score.error) == (record.id, None, "out of memory")

    def test_it_sums_up_whatever_the_order_of_the_samples(self, asked: Asked) -> None:
        """Every question counts, in any order, and failed ones stay in the denominator."""
        samples = [Sample(score, completion, "0" * 64) for score, completion in self._scores(asked)]
        summary = asked.task.summarize(samples, asked.data.subjects)
        assert summary == asked.task.summarize(samples[::-1], asked.data.subjects)
        if isinstance(summary, AccuracySummary):
            assert summary.micro.total == len(samples)
            assert summary.micro.correct == sum(sample.score.correct is True for sample in samples)

    def test_nothing_is_kept_between_calls(self, asked: Asked) -> None:
        """Requests that are asked for while others are read are those of their own call."""
        interleaved = zip(
            asked.task.requests(asked.data, asked.spec),
            asked.task.requests(asked.data, asked.spec),
            strict=True,
        )
        assert all(one == other for one, other in interleaved)

    def _scores(self, asked: Asked) -> list[tuple[Score, Completion]]:
        found = []
        requests = asked.task.requests(asked.data, asked.spec)
        for record, request in zip(asked.data.records, requests, strict=True):
            completion = completion_of(request)
            score = asked.task.score(record, asked.data, completion, asked.spec)
            assert score == asked.task.score(record, asked.data, completion, asked.spec)
            assert (score.request_id, score.subject) == (record.id, record.subject)
            found.append((score, completion))
        return found
