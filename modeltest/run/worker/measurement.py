"""Trials to measurements: the loop of every performance run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import isnan

from modeltest.api import (
    Completion,
    Engine,
    EngineError,
    EngineInfo,
    Interruption,
    Measurement,
    MeasurementTask,
    OutOfMemory,
    Prompt,
    RunSpec,
    SpecError,
    Tokenizing,
    TokenPrompt,
    Trial,
)
from modeltest.machine.host_memory import forget_resident_peak, resident_peak_bytes
from modeltest.plain.contracts import to_plain
from modeltest.run.planning.lora import adapters_of, with_adapters
from modeltest.run.record.identity import trial_name
from modeltest.run.worker.recovery import Recovery

LEAST_LOGPROB = -1e9
"""Stands for minus infinity, which JSON does not have."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the journal says of the trials of a resumed run; empty for a new one."""

    journalled: Iterable[Measurement] = ()
    """What was measured, in its order; it is told to the task again and not measured again."""

    given_up: Mapping[str, Interruption] = field(default_factory=dict)
    """The trials, by `trial_name`, that are not tried again, and why."""


def run_measurements(
    task: MeasurementTask,
    engine: Engine,
    info: EngineInfo,
    spec: RunSpec,
    *,
    measured: Measured | None = None,
    on_trial: Callable[[str], None] | None = None,
) -> Iterator[Measurement]:
    """Yield the measurement of each trial the task asks for, before the task is told of it.

    Those in the journal are told to the task first and not yielded. `on_trial` gets the `trial_name` of each
    trial before it is run.

    Raises: EngineError when the engine fails other than for lack of memory; DeviceError when it is not what
    it was after a trial that ran out of memory; SpecError when the journal is of other trials.
    """
    measured = measured or Measured()
    recovery = Recovery(engine, info)
    journalled = iter(measured.journalled)
    adapters = adapters_of(spec)
    trials = task.trials(spec, info)
    trial = next(trials, None)
    while trial is not None:
        trial = with_adapters(trial, adapters)
        measurement = next(journalled, None)
        if measurement is not None:
            _refuse_other_trial(trial, measurement)
            recovery.remember(trial, measurement)
        else:
            recovery.check()
            measurement = _given_up(trial, measured.given_up) or _run(trial, engine, on_trial)
            measurement = replace(measurement, memory_limit_bytes=info.memory_limit_bytes)
            recovery.take(trial, measurement)
            yield measurement
        trial = _trial_after(measurement, trials)
    if next(journalled, None) is not None:
        raise SpecError("the journal cannot be continued: it holds more trials than this run has")


def _run(trial: Trial, engine: Engine, on_trial: Callable[[str], None] | None) -> Measurement:
    if on_trial:
        on_trial(trial_name(trial))
    return measure(engine, trial)


def _given_up(trial: Trial, given_up: Mapping[str, Interruption]) -> Measurement | None:
    """Return the measurement of a trial that ended its worker: it failed, or did not fit."""
    found = given_up.get(trial_name(trial))
    if found is None:
        return None
    return replace(_unmeasured(trial), out_of_memory=found.out_of_memory, error=found.reason)


def _refuse_other_trial(trial: Trial, measurement: Measurement) -> None:
    same_place = (trial_name(trial), trial.phase) == (trial_name(measurement), measurement.phase)
    if not same_place or inputs_digest(trial) != measurement.inputs_sha256:
        raise SpecError(
            f"the journal cannot be continued: where it has trial {trial_name(measurement)} "
            f"({measurement.phase}), this run has {trial_name(trial)} ({trial.phase})"
            f"{' with other prompts' if same_place else ''}"
        )


def measure(engine: Engine, trial: Trial) -> Measurement:
    """Run one trial. A batch that does not fit is a measurement without completions, not an error."""
    measurement = _unmeasured(trial)
    engine.peak_memory_bytes()
    is_host_peak_new = forget_resident_peak()
    try:
        batches = list(engine.complete(trial.requests, batch_size=trial.batch_size))
    except OutOfMemory as problem:
        return replace(measurement, out_of_memory=True, error=str(problem))
    if len(batches) != 1 and any(request.max_new_tokens for request in trial.requests):
        raise EngineError(f"engine {engine.name!r} split a timed batch of {trial.batch_size} requests")
    # Before the engine is asked, which begins a new peak too.
    peak_host_memory_bytes = resident_peak_bytes() if is_host_peak_new else None
    return replace(
        measurement,
        completions=tuple(
            _with_text(completion, engine) if trial.keeps_text else _without_inputs(completion)
            for batch in batches
            for completion in batch
        ),
        peak_memory_bytes=engine.peak_memory_bytes(),
        peak_host_memory_bytes=peak_host_memory_bytes,
    )


def _unmeasured(trial: Trial) -> Measurement:
    return Measurement(
        trial.case_index,
        trial.batch_size,
        trial.trial,
        trial.phase,
        completions=(),
        inputs_sha256=inputs_digest(trial),
        prompts=trial.prompts,
    )


def _without_inputs(completion: Completion) -> Completion:
    """Leave out what the seed reproduces and the digest proves; it would dwarf the journal.

    So would choices, which may be the whole vocabulary. What is impossible is written as the least number.
    """
    logprobs = completion.choice_logprobs
    if any(isnan(value) for value in logprobs):
        return Completion(completion.request_id, error="a log-probability is not a number")
    return replace(
        completion,
        prompt_tokens=(),
        text=None,
        choice_tokens=(),
        choice_is_greedy=(),
        choice_logprobs=tuple(max(value, LEAST_LOGPROB) for value in logprobs),
    )


def _with_text(completion: Completion, engine: Engine) -> Completion:
    """Keep prompt and text, and leave out the times: this trial was not measured."""
    text = completion.text
    if isinstance(engine, Tokenizing) and completion.output_tokens:
        text = engine.tokenizer().decode(completion.output_tokens)
    return replace(completion, text=text, token_times_ns=())


def _trial_after(measurement: Measurement, trials: Generator[Trial, Measurement, None]) -> Trial | None:
    try:
        return trials.send(measurement)
    except StopIteration:
        return None


def inputs_digest(trial: Trial) -> str:
    """Return the sha256 over the prompts of `trial` in the order of its rows, one row a line.

    Token ids are written in decimal, separated by a blank; any other prompt as JSON.
    """
    digest = hashlib.sha256()
    for request in trial.requests:
        adapter = "" if request.adapter is None else f" {request.adapter}"
        digest.update(f"{_line(request.prompt)}{adapter}\n".encode())
    return digest.hexdigest()


def _line(prompt: Prompt) -> str:
    if isinstance(prompt, TokenPrompt):
        return " ".join(map(str, prompt.ids))
    return json.dumps(to_plain(prompt), ensure_ascii=False)
