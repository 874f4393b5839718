"""Results of runs made by hand, for the tests of comparisons."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from made_answers import sample

from modeltest.api import (
    AccuracySummary,
    Case,
    Completion,
    DatasetInfo,
    EngineInfo,
    Measurement,
    ModelInfo,
    PrecisionOutput,
    PrecisionSummary,
    RunResult,
    RunSpec,
    Sample,
    TaskOptions,
    Verdict,
)
from modeltest.near_ties import NearTies
from modeltest.summary import summarize_accuracy
from modeltest.tasks.performance import Performance

MODEL = ModelInfo("llama", "tiny", "/w", "llama", "float32", None, 4096, 128, 1, "f" * 64)
ENGINE = EngineInfo("hf", "cpu", "float32", 100, (), 4096, {"torch": "2.13"})
MACHINE = {"processor": "P", "cpus": 2, "architecture": "x86_64", "memory_bytes": 1, "load_1min": 0.0}
DATASET = DatasetInfo("boolq", "full", "/d", "a" * 64, True, 2, 1)


def run_result(spec: RunSpec, **fields: Any) -> RunResult:
    """Return a complete, VALID run of `spec`."""
    values: dict[str, Any] = {
        "started": "2026-01-01T00:00:00+00:00",
        "status": "complete",
        "model": MODEL,
        "adapter": "hf",
        "engine": ENGINE,
        "dataset": None,
        "machine": MACHINE,
        "verdict": Verdict.VALID,
        "modeltest_version": "1",
        **fields,
    }
    return RunResult(spec=spec, **values)


def accuracy_summary(
    samples: Iterable[Sample], subjects: Mapping[str, Mapping[str, str]], *, near_tie_margin: float = 0.001
) -> AccuracySummary:
    """Return the summary that a run ends with, its near-ties noted."""
    noted = NearTies(samples, margin=near_tie_margin)
    return noted.noted_in(summarize_accuracy(noted, subjects))


def accuracy_result(samples: Iterable[Sample] | None = None, **fields: Any) -> RunResult:
    """Return an accuracy run with these samples: two right answers where none are given."""
    samples = tuple(samples or (sample("s/0", "yes"), sample("s/1", "yes")))
    spec = RunSpec("hf_fp32", "full_BoolQ", "boolq", "llama", "/w", batch_sizes=((8,),))
    values = {"dataset": replace(DATASET, records=len(samples)), "protocol_version": "1", **fields}
    return run_result(spec, samples=samples, summary=accuracy_summary(samples, {}), **values)


def performance_result(step_ms: float = 10.0, **fields: Any) -> RunResult:
    """Return a performance run of one case, three trials of one row."""
    case = Case(8, 3)
    spec = RunSpec(
        *("hf_fp32", "performance", "performance", "llama", "/w"),
        batch_sizes=((1,),),
        cases=(case,),
        quick=True,
    )
    measurements = []
    for trial in range(5):
        step_ns = round(step_ms * 1e6 * (0.99, 0.99, 1.0, 1.01, 1.0)[trial])
        times = tuple(100_000_000 + step_ns * index for index in range(3))
        row = Completion("r", output_tokens=(1, 2, 3), token_times_ns=times)
        measurements.append(Measurement(0, 1, trial, "measure" if trial > 1 else "warmup", (row,)))
    summary = Performance().summarize_measurements(measurements, spec)
    return run_result(spec, measurements=tuple(measurements), summary=summary, **fields)


def precision_result(
    tokens: tuple[int, ...] = (5, 6, 7), logprobs: tuple[float, ...] | None = None, **fields: Any
) -> RunResult:
    """Return a precision run of one prompt."""
    case = Case(2, 3)
    spec = RunSpec(
        *("hf_fp32", "precision_single", "precision_single", "llama", "/w"),
        batch_sizes=((1,),),
        cases=(case,),
        options=TaskOptions(prompt_input="[1,2]"),
    )
    output = PrecisionOutput(*(case, 1, 0, (1, 2), tokens, logprobs, "text", 1, 0, None, Verdict.VALID, ()))
    return run_result(spec, summary=PrecisionSummary((output,)), **fields)


def with_spec(result: RunResult, **fields: Any) -> RunResult:
    """Return `result` asked for with other fields."""
    return replace(result, spec=replace(result.spec, **fields))
