"""An engine of a few lines for the tests of the performance tasks: it times batches by a formula."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from modeltest.api import (
    BatchRange,
    Case,
    Completion,
    EngineInfo,
    Measurement,
    MeasurementTask,
    Request,
    RunSpec,
    TaskOptions,
    Trial,
)

MS = 1_000_000
Answer = Callable[[Trial], Measurement]


@dataclass(frozen=True)
class PlayedEngine:
    """A step takes `step_ms` + `row_ms` per row; the prefill ten; above `memory` rows there is no room."""

    step_ms: float = 10.0
    row_ms: float = 1.0
    memory: float = float("inf")

    def __call__(self, trial: Trial) -> Measurement:
        if trial.batch_size > self.memory:
            measured = measurement(trial, step_ns=0, completions=())
            return replace(measured, out_of_memory=True, error="out of memory")
        return measurement(trial, step_ns=round((self.step_ms + self.row_ms * trial.batch_size) * MS))


def measurement(
    trial: Trial, *, step_ns: int, completions: tuple[Completion, ...] | None = None
) -> Measurement:
    if completions is None:
        completions = tuple(_completion(request, step_ns) for request in trial.requests)
    return Measurement(
        trial.case_index,
        trial.batch_size,
        trial.trial,
        trial.phase,
        completions,
        peak_memory_bytes=1000 * trial.batch_size + trial.trial,
        prompts=trial.prompts,
    )


def _completion(request: Request, step_ns: int) -> Completion:
    count = request.max_new_tokens
    times_ns = tuple(step_ns * (10 + index) for index in range(count))
    tokens = tuple(range(count))
    if request.only_end_timed:
        return Completion(request.id, output_tokens=tokens, end_ns=times_ns[-1])
    return Completion(request.id, output_tokens=tokens, token_times_ns=times_ns)


def play(
    task: MeasurementTask, spec: RunSpec, answer: Answer, *, info: EngineInfo | None = None
) -> tuple[list[Trial], list[Measurement]]:
    trials: list[Trial] = []
    measurements: list[Measurement] = []
    asked = task.trials(spec, info or engine_info())
    try:
        trial = next(asked)
        while True:
            trials.append(trial)
            measurements.append(answer(trial))
            trial = asked.send(measurements[-1])
    except StopIteration:
        return trials, measurements


def engine_info(
    *, vocabulary_size: int = 1000, special: tuple[int, ...] = (0, 2), context_tokens: int | None = 4096
) -> EngineInfo:
    return EngineInfo(
        *("played", "cpu", "float32", vocabulary_size, special, context_tokens, {}), times_end_alone=True
    )


def performance_spec(
    *cases: tuple[int, int],
    batch_sizes: tuple[tuple[int, ...], ...] = ((1,),),
    quick: bool = True,
    seed: int = 0,
) -> RunSpec:
    return RunSpec(
        engine="hf_fp32",
        mode="performance",
        task="performance",
        model="gpt2",
        weights="W",
        cases=tuple(Case(*case) for case in cases),
        batch_sizes=batch_sizes,
        quick=quick,
        seed=seed,
    )


def max_batch_spec(
    *cases: tuple[int, int],
    ranges: tuple[tuple[int, int], ...] = ((1, 64),),
    limit_ms: float | None = 50.0,
    quick: bool = True,
) -> RunSpec:
    return RunSpec(
        engine="hf_fp32",
        mode="performance_maxbs",
        task="performance_maxbs",
        model="gpt2",
        weights="W",
        cases=tuple(Case(*case) for case in cases),
        options=TaskOptions(
            batch_ranges=tuple(BatchRange(*each) for each in ranges), latency_limit_ms=limit_ms
        ),
        quick=quick,
    )
