"""Results for the report tests: measurements computed by hand, summarized by the real tasks."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema

import reports
from modeltest.api import (
    BatchRange,
    Case,
    Completion,
    EngineInfo,
    Measurement,
    ModelInfo,
    RunResult,
    RunSpec,
    Summary,
    TaskOptions,
    Verdict,
)
from modeltest.tasks.performance import Performance
from modeltest.tasks.performance_maxbs import PerformanceMaxBatch

MS = 1_000_000
MODEL = ModelInfo("gpt2", "gpt2", "/weights", "gpt2", "float32", None, 1024, 128, 1, "f" * 64)
ENGINE = EngineInfo("hf", "cpu", "float32", 50257, (50256,), 1024, {"torch": "2.9"}, notes=("one thread",))


def run_result(
    spec: RunSpec, *, summary: Summary | None, measurements: Iterable[Measurement] = ()
) -> RunResult:
    return RunResult(
        spec=spec,
        started="2025-01-01T00:00:00+00:00",
        status="complete",
        model=MODEL,
        adapter="hf",
        engine=ENGINE,
        dataset=None,
        machine={},
        measurements=measurements,
        summary=summary,
        verdict=Verdict.VALID,
        modeltest_version="0.1.0",
    )


def batch(
    case: tuple[int, Case],
    batch_size: int,
    trial: int,
    *,
    prefill_ms: float,
    steps_ms: tuple[float, ...],
    phase: str = "",
) -> Measurement:
    """Return a static batch: all rows get their tokens together, the first after `prefill_ms`."""
    index, shape = case
    times = [round(prefill_ms * MS)]
    for step in steps_ms:
        times.append(times[-1] + round(step * MS))
    assert len(times) == shape.output_tokens
    name = f"{shape.shape}/b{batch_size}/t{trial}"
    rows = tuple(
        Completion(f"{name}/r{row}", output_tokens=tuple(range(len(times))), token_times_ns=tuple(times))
        for row in range(batch_size)
    )
    return Measurement(
        *(index, batch_size, trial, phase or ("measure" if trial else "warmup"), rows),
        peak_memory_bytes=5000,
        peak_host_memory_bytes=7000,
    )


def bare(case: tuple[int, Case], batch_size: int, trial: int, *, end_ms: float) -> Measurement:
    """Return a batch of which only the end was timed."""
    timed = batch(case, batch_size, trial, prefill_ms=1, steps_ms=(1,) * (case[1].output_tokens - 1))
    rows = tuple(replace(row, token_times_ns=(), end_ns=round(end_ms * MS)) for row in timed.completions)
    return replace(timed, phase="bare", completions=rows)


def out_of_memory(case_index: int, batch_size: int) -> Measurement:
    return Measurement(case_index, batch_size, 0, "warmup", (), out_of_memory=True, error="no room")


CASES = (Case(8, 3), Case(16, 2))


def performance_spec(*batch_sizes: int, engine: str = "hf_fp32", world_size: int = 1) -> RunSpec:
    return RunSpec(
        engine=engine,
        mode="performance",
        task="performance",
        model="gpt2",
        weights="W",
        cases=CASES,
        batch_sizes=(batch_sizes,),
        world_size=world_size,
        quick=True,
    )


def performance_run(*, engine: str = "hf_fp32", world_size: int = 1) -> RunResult:
    """Case 8x3 at batch 2: prefill 100 ms, E2E 120 ms, TPOT 10 ms; case 16x2: prefill 196 ms, then 4 ms."""
    spec = performance_spec(2, engine=engine, world_size=world_size)
    first, second = (0, CASES[0]), (1, CASES[1])
    measurements = [
        batch(first, 2, 0, prefill_ms=900, steps_ms=(90, 90)),
        batch(first, 2, 1, prefill_ms=900, steps_ms=(90, 90), phase="warmup"),
        batch(first, 2, 2, prefill_ms=99, steps_ms=(10, 9.8)),
        batch(first, 2, 3, prefill_ms=100, steps_ms=(8, 12)),
        bare(first, 2, 4, end_ms=119.4),
        batch(first, 2, 5, prefill_ms=101, steps_ms=(10, 10.2)),
        batch(second, 2, 0, prefill_ms=196, steps_ms=(4,)),
        batch(second, 2, 1, prefill_ms=196, steps_ms=(4,), phase="warmup"),
        batch(second, 2, 2, prefill_ms=196, steps_ms=(4,)),
        batch(second, 2, 3, prefill_ms=196, steps_ms=(4,)),
        bare(second, 2, 4, end_ms=200),
        batch(second, 2, 5, prefill_ms=196, steps_ms=(4,)),
    ]
    return run_result(
        spec,
        summary=Performance().summarize_measurements(measurements, spec),
        measurements=measurements,
    )


def out_of_memory_run() -> RunResult:
    """Batch 2 is sound in both cases; batch 4 does not fit in the first, is not measured in the second."""
    sound = performance_run()
    spec = performance_spec(2, 4)
    measurements = [*sound.measurements, out_of_memory(0, 4)]
    summary = Performance().summarize_measurements(measurements, spec)
    return replace(sound, spec=spec, summary=summary, measurements=measurements, verdict=Verdict.INVALID)


def max_batch_run(*, feasible: bool = True) -> RunResult:
    """Over [1, 8] within 10 ms: batch 1 takes 5 ms, 2 takes 8 ms, 3 takes 12 ms, 4 and more do not fit."""
    spec = replace(
        performance_spec(),
        engine="pa_fp16",
        mode="performance_maxbs",
        task="performance_maxbs",
        cases=CASES[:1],
        batch_sizes=(),
        world_size=8,
        options=TaskOptions(batch_ranges=(BatchRange(1, 8),), latency_limit_ms=10.0 if feasible else 1.0),
        quick=False,
    )
    steps = {1: 5.0, 2: 8.0, 3: 12.0}
    measurements: list[Measurement] = []
    asked = PerformanceMaxBatch().trials(spec, ENGINE)
    trial = next(asked, None)
    while trial is not None:
        step = steps.get(trial.batch_size)
        if step is None:
            measured = out_of_memory(0, trial.batch_size)
        else:
            case = (0, CASES[0])
            measured = batch(case, trial.batch_size, trial.trial, prefill_ms=40, steps_ms=(step, step))
        measurements.append(replace(measured, phase=trial.phase))
        try:
            trial = asked.send(measurements[-1])
        except StopIteration:
            trial = None
    return run_result(
        spec,
        summary=PerformanceMaxBatch().summarize_measurements(measurements, spec),
        measurements=measurements,
    )


def schema(name: str) -> dict[str, Any]:
    path = Path(reports.__file__).parent / "schemas" / f"{name}.schema.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def read_valid(path: Path, schema_name: str) -> dict[str, Any]:
    """Return the JSON of `path` after holding it against its schema."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema(schema_name)).validate(content)
    return content
