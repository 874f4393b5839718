"""What a run is called in a history: its model, its task with what changes the question, its engine."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from modeltest.api import UNSET_DEGREE, Parallel, RunResult, RunSpec, TaskOptions
from modeltest.plain.contracts import to_plain

EARLIER_NAME = "name by its shape"
"""The fact of a run that says what its model was called before models were told by their weights."""

_NAMED_SUBJECTS = 2
_DIGEST_LENGTH = 8


def model_of(result: RunResult) -> str:
    """Return the model, with its quantisation: another one's numbers are not its history."""
    return " ".join(part for part in (result.model.label, result.model.quantize) if part)


def earlier_name_of(result: RunResult) -> str | None:
    """Return what an earlier version would have called the model; `None` of a run of such a version."""
    if not result.model.identity:
        return None
    return " ".join(part for part in (result.model.name, result.model.quantize) if part)


def task_of(spec: RunSpec) -> str:
    """Return the mode and every option that makes it another question: `full_MMLU 5-shot, lm-eval`."""
    return ", ".join((_mode(spec), *_options(spec)))


def engine_of(result: RunResult) -> str:
    """Return the engine word, the engine that served it, a fault put in, and how many chips shared work."""
    spec = result.spec
    word = spec.engine if result.adapter in (None, spec.engine) else f"{spec.engine} ({result.adapter})"
    ranks = result.engine.ranks if result.engine else None
    chips = ranks.world_size if ranks else max(1, spec.world_size)
    fault = result.engine.implementations.get("fault") if result.engine else None
    return " ".join(
        (word, *([fault] if fault else []), *([f"x{chips}"] if chips > 1 else []), *_degrees(spec.parallel))
    )


def device_of(result: RunResult) -> str:
    """Return the kind of device: `npu`, whichever of them it was."""
    device = result.engine.device if result.engine else result.spec.device
    return (device or "").partition(":")[0]


def history_key(*names: str) -> str:
    """Return a short name for a history, unique and fit for a file name and an address."""
    plain = "-".join(filter(None, (re.sub(r"[^0-9a-z]+", "-", name.lower()).strip("-") for name in names)))
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{plain[:80]}-{digest}"


def _mode(spec: RunSpec) -> str:
    if spec.options.lm_eval is not None:
        return f"{spec.mode} {' '.join(spec.options.lm_eval.tasks)}"
    return spec.mode + ("" if spec.options.shots is None else f" {spec.options.shots}-shot")


def _options(spec: RunSpec) -> Iterator[str]:
    if spec.protocol != "modeltest":
        yield spec.protocol
    if spec.chat:
        yield "chat"
    if spec.subjects:
        yield _subjects(spec.subjects)
    if spec.limit is not None:
        yield f"limit {spec.limit}"
    if spec.quick:
        yield "quick"
    yield from _prompt_options(spec.options)


def _prompt_options(options: TaskOptions) -> Iterator[str]:
    if options.prompt_source is not None:
        padded = " padded" if options.prompt_source.padding else ""
        yield f"prompts of {options.prompt_source.dataset}{padded}"
    for prompts in (options.prompt_input, options.generation):
        if prompts is not None:
            yield f"prompts {_digest(to_plain(prompts))}"
    if options.prefill_batch_size is not None:
        yield f"prefill batch {options.prefill_batch_size}"
    if options.prefill_length is not None:
        yield f"prefill length {options.prefill_length}"


def _subjects(subjects: tuple[str, ...]) -> str:
    if len(subjects) <= _NAMED_SUBJECTS:
        return " and ".join(subjects)
    return f"{len(subjects)} subjects {_digest(sorted(subjects))}"


def _degrees(parallel: Parallel) -> Iterator[str]:
    for name, degree in to_plain(parallel).items():
        if degree not in (UNSET_DEGREE, 1):
            yield f"{name}{degree}"


def _digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:_DIGEST_LENGTH]
