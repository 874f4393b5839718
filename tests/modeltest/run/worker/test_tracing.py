"""Which trials are traced, with what, and that nothing of it can spoil a run."""

from dataclasses import replace
from pathlib import Path

import pytest

from engines.fake import FakeEngine
from modeltest.api import Case, EngineError, OutOfMemory, RunSpec
from modeltest.run.worker.measurement import run_measurements
from modeltest.run.worker.tracing import TRACED_TOKENS, trials_to_trace, write_traces
from modeltest.tasks.performance import Performance
from modeltest.tasks.performance_maxbs import PerformanceMaxBatch

SPEC = RunSpec(
    *("fake", "performance", "performance", "auto", "none"),
    cases=(Case(8, 4), Case(6, 32)),
    batch_sizes=((1, 4, 2),),
    quick=True,
)


class TracedFake(FakeEngine):
    """Records what it is asked, and whether that was under the profiler."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[bool, int, int]] = []
        self._is_traced = False

    def complete(self, requests, *, batch_size):
        requests = list(requests)
        self.asked.append((self._is_traced, batch_size, requests[0].max_new_tokens))
        yield from super().complete(requests, batch_size=batch_size)

    def traced(self, work, folder, name):
        self._is_traced = True
        work()
        self._is_traced = False
        return folder / f"{name}.json"


def _measured(spec, task=None, **options):
    """Return an engine that has measured `spec`, and the trials to trace then."""
    engine = TracedFake()
    info = engine.load(replace(spec, engine_options={k: str(v) for k, v in options.items()}), None)
    task = task or Performance()
    journal = list(run_measurements(task, engine, info, spec))
    engine.asked.clear()
    return engine, list(trials_to_trace(task, spec, info, journal))


def _trace(engine, trials, spec=SPEC):
    said = []
    write_traces(engine, trials, spec, Path("/traces"), run="run", tell=said.append)
    return said


def test_the_largest_measured_batch_of_each_case_is_traced():
    _, trials = _measured(SPEC)
    assert [(trial.case_index, trial.batch_size, trial.phase) for trial in trials] == [
        (0, 4, "measure"),
        (1, 4, "measure"),
    ]


def test_a_batch_that_did_not_fit_is_not_traced():
    _, trials = _measured(SPEC, out_of_memory_above=2)
    assert [trial.batch_size for trial in trials] == [2, 2]


def test_nothing_measured_leaves_nothing_to_trace():
    info = FakeEngine().load(SPEC, None)
    assert list(trials_to_trace(Performance(), SPEC, info, [])) == []


def test_a_search_is_traced_at_the_largest_batch_it_measured():
    from modeltest.api import BatchRange, TaskOptions

    spec = replace(
        SPEC,
        cases=(Case(8, 4),),
        batch_sizes=(),
        options=TaskOptions(batch_ranges=(BatchRange(1, 64),), latency_limit_ms=3.05),
    )
    _, trials = _measured(spec, PerformanceMaxBatch())
    # A step takes 1 + 0.1 x batch ms: 20 rows are the answer, and the warm-up of 21 was too slow.
    assert [trial.batch_size for trial in trials] == [20]


def test_few_tokens_are_generated_once_to_warm_up_and_once_under_the_profiler():
    engine, trials = _measured(SPEC)
    assert _trace(engine, trials) == [
        "trace of 8x4 batch 4: /traces/run_8x4_batch4.json",
        "trace of 6x32 batch 4: /traces/run_6x32_batch4.json",
    ]
    assert engine.asked == [
        (False, 4, 4),
        (True, 4, 4),
        (False, 4, TRACED_TOKENS),
        (True, 4, TRACED_TOKENS),
    ]


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (OutOfMemory("no\nroom"), "no room"),
        (EngineError("lost"), "lost"),
        (RuntimeError(""), "RuntimeError"),
    ],
)
def test_a_trace_that_fails_is_told_and_the_next_is_written(problem, text, capsys):
    engine, trials = _measured(SPEC)

    def traced(work, folder, name):
        if "8x4" in name:
            raise problem
        return folder / name

    engine.traced = traced
    assert _trace(engine, trials) == [
        f"no trace of 8x4 batch 4: {text}",
        "trace of 6x32 batch 4: /traces/run_6x32_batch4",
    ]
    assert "Traceback" in capsys.readouterr().err


def test_an_engine_without_a_profiler_says_so():
    _, trials = _measured(SPEC)
    assert _trace(FakeEngine(), trials) == ["no trace: engine fake has nothing to record"]
