"""The LoRA adapters that the words name, put on the requests of a run. Pure but for reading their file."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from modeltest.api import (
    AccuracyTask,
    Capability,
    Engine,
    HarnessTask,
    PrerequisiteError,
    Request,
    RunSpec,
    SpecError,
    Task,
    TaskData,
    Trial,
)
from modeltest.lora_requests import read_adapters

Adapters = Mapping[int, str]
"""The adapter of each request that has one, by its number: in the dataset, or in the batch of a timed run."""


def check_adapters(spec: RunSpec, task: Task, engine: Engine) -> None:
    """Refuse LoRA where the engine has none, or the task makes its requests itself (lm-evaluation-harness).

    Raises: SpecError for a file that cannot be used; PrerequisiteError.
    """
    if spec.lora is None:
        return
    if Capability.LORA not in engine.capabilities:
        raise PrerequisiteError(
            f"engine {engine.name!r} does not take the word lora; leave it out, or use pa_fp16 or pa_bf16 "
            "where MindIE is installed"
        )
    if isinstance(task, HarnessTask):
        raise PrerequisiteError(f"{spec.mode} asks its own questions, which have no adapters; leave lora out")
    read_adapters(spec.lora)


def adapters_of(spec: RunSpec) -> Adapters:
    """Return the adapters that `spec` names; none for most runs.

    Raises: SpecError.
    """
    return {} if spec.lora is None else read_adapters(spec.lora)


def asked_requests(
    task: AccuracyTask, data: TaskData, spec: RunSpec, adapters: Adapters
) -> Iterator[Request]:
    """Yield the requests of `task` with their adapters, numbered in the order of the dataset."""
    for number, request in enumerate(task.requests(data, spec)):
        yield replace(request, adapter=adapters[number]) if number in adapters else request


def check_numbers(spec: RunSpec, records: Collection[object]) -> None:
    """Refuse adapters of requests that this run does not ask, before a model is loaded.

    Raises: SpecError.
    """
    beyond = max(adapters_of(spec), default=-1)
    if beyond >= len(records):
        raise SpecError(
            f"{spec.lora} gives request {beyond} an adapter; this run asks {len(records)}, counted from 0"
        )


def with_adapters(trial: Trial, adapters: Adapters) -> Trial:
    """Return `trial` with the adapter of each row of its batch."""
    if not adapters:
        return trial
    rows = tuple(replace(request, adapter=adapters.get(row)) for row, request in enumerate(trial.requests))
    return replace(trial, requests=rows)
