"""An engine needs a name and three methods; whatever else the core asks of it has a default."""

import pytest

from modeltest.api import (
    Capability,
    Completion,
    Engine,
    EngineInfo,
    EngineUsage,
    ModelInfo,
    Record,
    Request,
    RunSpec,
    TaskData,
)
from modeltest.run.worker.accuracy import run_accuracy
from modeltest.tasks.question_task import QuestionTask

INFO = ModelInfo("m", "m", "none", "", None, None, None, 128, 1, None)
SPEC = RunSpec("parrot", "full_Echo", "echo", "auto", "none", batch_sizes=((4,),))


class Parrot(Engine):
    """Says the last word of every prompt."""

    name = "parrot"

    def load(self, spec, model):
        return EngineInfo("parrot", "cpu", "float32", 256, (), None, {})

    def complete(self, requests, *, batch_size):
        for request in requests:
            words = request.prompt.text.split()
            yield [Completion(request.id, text=words[-1], prompt_tokens=(1,), output_tokens=(1,))]

    def close(self):
        pass


class Echo(QuestionTask):
    """Asks for the last word."""

    name, title, dataset, word = "echo", "Echo", "echo", "Echo"

    def prompt(self, record):
        return record.fields["question"]

    def answer(self, text, record):
        return text


def test_three_methods_make_an_engine():
    engine = Parrot()
    assert isinstance(engine, Engine)
    assert engine.capabilities == {Capability.GENERATE}
    assert engine.needs_weights
    engine.check(SPEC, INFO)
    assert engine.environment(SPEC, INFO) == {}
    assert engine.peak_memory_bytes() is None
    assert engine.usage() == EngineUsage()


@pytest.mark.parametrize("missing", ["load", "complete", "close"])
def test_none_of_the_three_may_be_missing(missing):
    methods = {
        name: value for name, value in vars(Parrot).items() if name not in (missing, "__abstractmethods__")
    }
    with pytest.raises(TypeError, match=missing):
        type("Half", (Engine,), {name: value for name, value in methods.items() if name[:2] != "__"})()


def test_it_answers_the_questions_of_a_task_of_two_methods():
    data = TaskData([Record("echo/0", "echo", {"question": "say yes", "answer": "yes"})], {}, {"echo": {}})
    (samples,) = run_accuracy(Echo(), Parrot(), data, SPEC)
    assert [sample.score.correct for sample in samples] == [True]
    assert isinstance(next(iter(Echo().requests(data, SPEC))), Request)
