"""Trials to measurements: the loop of every performance run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator
from dataclasses import replace

from modeltest.api import (
    Completion,
    Engine,
    EngineError,
    EngineInfo,
    Measurement,
    MeasurementTask,
    OutOfMemory,
    Prompt,
    RunSpec,
    Tokenizing,
    TokenPrompt,
    Trial,
    to_plain,
)
from modeltest.api.host_memory import forget_resident_peak, resident_peak_bytes


def run_measurements(
    task: MeasurementTask, engine: Engine, info: EngineInfo, spec: RunSpec
) -> Iterator[Measurement]:
    """Yield the measurement of each trial the task asks for, before the task is told of it.

    Raises: EngineError when the engine fails other than for lack of memory.
    """
    trials = task.trials(spec, info)
    trial = next(trials, None)
    while trial is not None:
        measurement = replace(measure(engine, trial), memory_limit_bytes=info.memory_limit_bytes)
        yield measurement
        trial = _trial_after(measurement, trials)


def measure(engine: Engine, trial: Trial) -> Measurement:
    """Run one trial. A batch that does not fit is a measurement without completions, not an error."""
    measurement = Measurement(
        trial.case_index,
        trial.batch_size,
        trial.trial,
        trial.phase,
        completions=(),
        inputs_sha256=inputs_digest(trial),
        prompts=trial.prompts,
    )
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


def _without_inputs(completion: Completion) -> Completion:
    """Leave out what the seed reproduces and the digest proves; it would dwarf the journal."""
    return replace(completion, prompt_tokens=(), text=None)


def _with_text(completion: Completion, engine: Engine) -> Completion:
    """Keep what was asked and said, and leave out the times: the engine was not asked to hurry."""
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
        digest.update(_line(request.prompt).encode() + b"\n")
    return digest.hexdigest()


def _line(prompt: Prompt) -> str:
    if isinstance(prompt, TokenPrompt):
        return " ".join(map(str, prompt.ids))
    return json.dumps(to_plain(prompt), ensure_ascii=False)
