"""What was run on what: the facts that let a reader ask for the same again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from modeltest.api import CERTIFICATE_FILE, AcceptanceSummary, ClientUse, RunResult, dtype_word
from modeltest.findings import in_every_language
from reports.page.formats import count, data_size, duration, percent, significant

_MACHINE = (
    "processor",
    "cpus",
    "cpus_online",
    "sockets",
    "cpu_governor",
    "memory_bytes",
    "memory_available_bytes",
    "swap_used_bytes",
    "load_1min",
    "system",
    "architecture",
    "python",
)
"""What is shown of the machine, in this order."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact: the key of its name, and its value."""

    key: str
    value: object
    is_code: bool = False
    name: str | None = None
    """What it is called in every language; then `key` is not looked up."""


@dataclass(frozen=True, slots=True)
class Group:
    """Facts about one thing."""

    key: str
    facts: tuple[Fact, ...]


def provenance(result: RunResult) -> list[Group]:
    """Return the known facts by what they are about."""
    groups = {
        "run.model": _model(result),
        "run.engine": _engine(result),
        "run.abilities": _abilities(result),
        "run.data": _data(result),
        "run.machine": _machine(result),
        "run.course": _course(result),
    }
    known = {
        key: tuple(fact for fact in facts if fact.value not in (None, "")) for key, facts in groups.items()
    }
    return [Group(key, facts) for key, facts in known.items() if facts]


def _model(result: RunResult) -> Iterator[Fact]:
    model, dtype = result.model, result.engine.dtype if result.engine else result.model.dtype
    yield Fact("run.name", model.label)
    yield Fact("run.type", model.model_type)
    yield Fact("run.path", model.path, is_code=True)
    yield Fact("run.checkpoint_dtype", model.dtype)
    yield Fact("run.precision", dtype_word(dtype, model.quantize))
    yield Fact("run.fingerprint", model.fingerprint, is_code=True)


def _engine(result: RunResult) -> Iterator[Fact]:
    yield Fact("run.word", result.spec.engine)
    yield Fact("run.adapter", result.adapter)
    for name, why in result.passed_over.items():
        yield Fact("run.passed_over", f"{name}: {why}")
    engine = result.engine
    if engine is None:
        return
    yield Fact("run.device", engine.device)
    yield Fact("run.dtype", engine.dtype)
    if engine.ranks:
        ranks = engine.ranks
        yield Fact("run.ranks", f"{ranks.world_size} = {ranks.replicas} x {ranks.split}, {ranks.backend}")
    yield Fact("run.context", None if engine.context_tokens is None else count(engine.context_tokens))
    yield Fact("run.implementations", _joined(engine.implementations))
    yield Fact("run.versions", _joined(engine.versions))
    for note in engine.notes:
        yield Fact("run.note", note)


def _abilities(result: RunResult) -> Iterator[Fact]:
    for ability in result.engine.abilities if result.engine else ():
        answer = {True: "✓", False: "✗", None: "?"}[ability.is_there]
        yield Fact("run.ability", f"{answer} {ability.seen}", name=ability.name)


def _data(result: RunResult) -> Iterator[Fact]:
    spec, dataset = result.spec, result.dataset
    if dataset is not None:
        yield Fact("run.dataset", f"{dataset.name}, {dataset.split}")
        yield Fact("run.n_rows", f"{count(dataset.records)} ({count(dataset.subjects)})")
        yield Fact("run.official", "✓" if dataset.official else "✗")
        yield Fact("run.sha256", dataset.sha256, is_code=True)
    if result.protocol_version is not None:
        yield Fact("run.protocol", f"{spec.protocol} {result.protocol_version}")
    for name, digest in result.task_files.items():
        yield Fact("run.task_file", f"{name} {digest}", is_code=True)
    if spec.options.shots is not None:
        yield Fact("run.shots", spec.options.shots)
    yield Fact("run.chat", "✓" if spec.chat else None)
    yield Fact("run.limit", spec.limit)
    yield Fact("run.seed", spec.seed)
    prompts = getattr(result.summary, "prompts_sha256", None)
    yield Fact("run.prompts_sha256", prompts, is_code=True)


def _machine(result: RunResult) -> Iterator[Fact]:
    for name in _MACHINE:
        value = result.machine.get(name)
        if name.endswith("_bytes") and isinstance(value, int | float):
            value = data_size(value)
        elif isinstance(value, float):
            value = significant(value, 3)
        yield Fact(f"machine.{name}", value)
    engine = result.engine
    if engine is not None and engine.processors is not None:
        yield Fact("machine.threads", f"{engine.processors.threads} / {engine.processors.cpus}")
    if engine is not None and engine.peaks is not None:
        fastest = max((peak.bytes_per_s for peak in engine.peaks.bandwidth), default=None)
        yield Fact("machine.peak_flop", f"{significant(engine.peaks.flop_per_s / 1e9, 4)} GFLOP/s")
        if fastest is not None:
            yield Fact("machine.peak_bandwidth", f"{significant(fastest / 1e9, 4)} GB/s")


def _course(result: RunResult) -> Iterator[Fact]:
    yield Fact("run.started", result.started)
    yield Fact("run.status", result.status)
    if isinstance(result.summary, AcceptanceSummary):
        yield Fact("run.certificate", CERTIFICATE_FILE, is_code=True)
    yield Fact("run.modeltest_version", result.modeltest_version)
    timing, usage = result.timing_s, result.usage
    yield Fact("run.load_time", duration(timing["load"]) if "load" in timing else None)
    yield Fact("run.run_time", duration(timing["run"]) if "run" in timing else None)
    if usage is not None:
        if usage.forward_s is not None and timing.get("run"):
            yield Fact("run.forward_share", percent(usage.forward_s / timing["run"], 1))
        for name in (
            "computed_tokens",
            "reused_tokens",
            "padding_tokens",
            "split_batches",
            "alone_rows",
            "held_times",
            "differing_times",
            "model_loads",
        ):
            value = getattr(usage, name)
            yield Fact(f"run.{name}", None if value is None else count(value))
        if usage.client is not None:
            yield from _client(usage.client)
        if usage.peak_memory_bytes is not None:
            yield Fact("run.peak_memory", data_size(usage.peak_memory_bytes))
    for stop in result.interruptions:
        codes = [stop.reason_code] if stop.reason_code else []
        (reason,) = in_every_language([stop.reason], codes)
        told = {name: f"{stop.time}: {text} ({count(stop.done)})" for name, text in reason.items()}
        yield Fact("run.interruption", told)


def _client(use: ClientUse) -> Iterator[Fact]:
    for name in ("requests", "retries", "cached_prompt_tokens", "reasoning_tokens", "thinking_answers"):
        value = getattr(use, name)
        yield Fact(f"run.{name}", None if value is None else count(value))
    for name in ("send_lag_ms", "loop_lag_ms"):
        value = getattr(use, name)
        yield Fact(f"run.{name}", None if value is None else f"{significant(value, 3)} ms")


def _joined(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
