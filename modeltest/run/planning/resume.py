"""Whether a run that was stopped may go on: with the same words, weights, rules, data and device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from math import ceil
from pathlib import Path
from typing import Any

from modeltest.api import (
    AUTO_WORLD_SIZE,
    MOST_ACCEPTED,
    DatasetInfo,
    EngineInfo,
    Finding,
    FindingCode,
    Interruption,
    MeasurementTask,
    ModelInfo,
    ModelTestError,
    RunResult,
    RunSpec,
    ServedModel,
    SpecError,
    gone_on_with,
    mean_distance,
    other_weights,
)
from modeltest.findings import sentence
from modeltest.grammar.modes import device_of
from modeltest.machine.machine import describe_machine
from modeltest.models.checkpoint import fingerprint_before
from modeltest.plain.contracts import to_plain
from modeltest.run.planning.plan import Plan, can_go_on, protocol_version
from modeltest.task_files.named import digests
from modeltest.version import __version__

_MACHINE_FACTS = ("architecture", "processor", "cpus")
"""What must not change between the trials of one measurement."""

_ENGINE_FACTS = (
    "engine",
    "device",
    "dtype",
    "vocabulary_size",
    "special_token_ids",
    "context_tokens",
    "versions",
)
_DATASET_FACTS = ("name", "split", "sha256", "records", "subjects")
_SHOWN_CHARACTERS = 80

NOT_THERE = "not there"
"""Stands for the digest of a file that only one of the two has."""


def refuse_other_words(directory: Path, spec: RunSpec, asked: Mapping[str, object]) -> None:
    """Refuse fields of a `RunSpec` that were asked for and are not those of the run in `directory`.

    Where a new run would be made is no part of what is asked; a world size left open is any, a device left
    open is that of the engine word.

    Raises: SpecError naming what differs.
    """
    differing = [
        _difference(name, getattr(spec, name), value)
        for name, value in asked.items()
        if value != getattr(spec, name)
        and name != "output_dir"
        and not (name == "world_size" and value == AUTO_WORLD_SIZE)
        and not (name == "device" and value is None and spec.device == device_of(spec.engine))
    ]
    if differing:
        raise SpecError(
            f"the run in {directory} asks for something else: {'; '.join(differing)}; "
            "give --resume without words to go on with it, or the words without --resume for a new run"
        )


def asked_by(spec: RunSpec) -> dict[str, object]:
    """Return every field of `spec` by its name."""
    return {field.name: getattr(spec, field.name) for field in fields(spec)}


def refuse_other_run(directory: Path, result: RunResult, plan: Plan) -> None:
    """Refuse to go on where model, rules, adapter or, for a measurement, the machine have changed.

    Raises: SpecError.
    """
    if not can_go_on(plan.task):
        raise SpecError(
            f"{directory} is a run of another harness, which keeps no journal and cannot be gone on with; "
            f"start it again: {result.command or 'with the same words'}"
        )
    then: dict[str, object] = {
        "ModelTest": result.modeltest_version,
        "protocol version": result.protocol_version,
        "engine plug-in": result.adapter,
        **_checkpoint_of(result.model),
    }
    now: dict[str, object] = {
        "ModelTest": __version__,
        "protocol version": protocol_version(plan),
        "engine plug-in": plan.engine.name,
        **(_checkpoint_of(plan.model) if result.model.files else _as_before(result, plan)),
    }
    then |= _task_files(result.task_files)
    now |= _task_files(digests(plan.spec) if plan.spec.task_file else result.task_files)
    then |= _written_of(result.model, other=plan.model)
    now |= _written_of(plan.model, other=result.model)
    for name in now.keys() - then.keys():
        then[name] = NOT_THERE
    for name in then.keys() - now.keys():
        now[name] = NOT_THERE
    if isinstance(plan.task, MeasurementTask):
        machine = describe_machine()
        then |= {name: result.machine.get(name) for name in _MACHINE_FACTS}
        now |= {name: machine.get(name) for name in _MACHINE_FACTS}
    _refuse(directory, then, now)


def _task_files(digests: Mapping[str, str]) -> dict[str, object]:
    return {f"task file {name}": digest for name, digest in digests.items()}


def _checkpoint_of(model: ModelInfo) -> dict[str, object]:
    """Return the digests of a checkpoint's files, each under the name that a refusal gives it."""
    if not model.files:
        return {"weights (fingerprint)": model.fingerprint}
    return {f"{name} of the checkpoint": digest for name, digest in model.files.items()}


def _written_of(model: ModelInfo, *, other: ModelInfo) -> dict[str, object]:
    """Return when weights were written whose digest is that of the `other`, which covers samples of them."""
    same = (name for name in model.files if model.files[name] == other.files.get(name))
    both = (name for name in same if name in model.written and name in other.written)
    return {f"the time of the last writing of {name} of the checkpoint": model.written[name] for name in both}


def _as_before(result: RunResult, plan: Plan) -> dict[str, object]:
    """Return what a run that recorded no files can be held against: config.json and weights."""
    known = result.model.fingerprint is not None and plan.engine.needs_weights
    return {"weights (fingerprint)": fingerprint_before(plan.spec) if known else plan.model.fingerprint}


def refuse_other_dataset(directory: Path, then: DatasetInfo | None, now: DatasetInfo) -> None:
    """Refuse to go on with other questions; what is not recorded yet cannot differ.

    Raises: SpecError.
    """
    if then is not None:
        _refuse(directory, _facts(then, _DATASET_FACTS), _facts(now, _DATASET_FACTS))


def refuse_other_engine(directory: Path, then: EngineInfo | None, now: EngineInfo, *, is_timed: bool) -> None:
    """Refuse to go on with another device, dtype or version, weights of a server or, for times, threads.

    What is not recorded yet cannot differ.

    Raises: SpecError.
    """
    if then is None:
        return
    names = (*_ENGINE_FACTS, "processors") if is_timed else _ENGINE_FACTS
    _refuse(directory, _facts(then, names), _facts(now, names))
    if then.served and now.served and (difference := other_weights(then.served, now.served)):
        raise other_run_error(directory, difference + _how_to_accept(then.served, now.served))


def _how_to_accept(then: ServedModel, now: ServedModel) -> str:
    if len(then.logprobs) != len(now.logprobs) or then.name != now.name or not then.logprobs:
        return ""
    distance = mean_distance(then.logprobs, now.logprobs)
    if not distance <= MOST_ACCEPTED:
        return ""
    enough = ceil(distance * 100) / 100
    return f" (or, if you know that the weights are the same, go on with --accept-distance {enough:g})"


def accepting(directory: Path, result: RunResult, distance: float) -> RunResult:
    """Return the run of a served model with the distance at which its user says that weights are the same.

    Raises: SpecError where there is no such distance.
    """
    served = result.engine.served if result.engine else None
    if result.engine is None or served is None or not served.logprobs:
        raise SpecError(
            f"--accept-distance is for a run that asked a server with log-probabilities; {directory} is none"
        )
    if not 0 < distance <= MOST_ACCEPTED:
        raise SpecError(
            f"--accept-distance must be above 0 and at most {MOST_ACCEPTED:g}, not {distance:g}: what is "
            "farther apart is not the same weights"
        )
    return replace(result, engine=replace(result.engine, served=replace(served, accepted=distance)))


def as_at_begin(then: EngineInfo | None, now: EngineInfo) -> EngineInfo:
    """Return the engine of a run that is gone on with: a server's model stays the one of its begin."""
    if then is None or then.served is None or now.served is None:
        return now
    served = gone_on_with(then.served, now.served)
    notes = now.notes
    if served.accepted is not None:
        apart = ", ".join(f"{distance:.2g}" for distance in served.distances)
        notes += (
            f"gone on with at {apart} between fixed prompts in the mean: up to {served.accepted:g} its user "
            "has said that the weights are the same",
        )
    return replace(now, served=served, notes=notes)


def other_run_error(directory: Path, difference: str) -> ModelTestError:
    """Return the error that says why the journal of `directory` cannot be continued."""
    return SpecError(
        f"the journal in {directory} cannot be continued: {difference}; start a new run, "
        "or bring back what it was made with"
    )


def unrecorded_interruption(*, time: str, done: int) -> Interruption:
    """Return the record of a supervisor that was killed and could write none."""
    reason = Finding(FindingCode.SUPERVISOR_VANISHED)
    return Interruption(time, sentence(reason), done, reason_code=reason)


def _facts(value: DatasetInfo | EngineInfo, names: tuple[str, ...]) -> dict[str, object]:
    return {name: to_plain(getattr(value, name)) for name in names}


def _refuse(directory: Path, then: Mapping[str, object], now: Mapping[str, object]) -> None:
    differing = [_difference(name, then[name], now[name]) for name in then if then[name] != now[name]]
    if differing:
        raise other_run_error(directory, "; ".join(differing))


def _difference(name: str, then: Any, now: Any) -> str:
    return f"{name} was {_short(then)}, now it is {_short(now)}"


def _short(value: Any) -> str:
    text = str(to_plain(value))
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
