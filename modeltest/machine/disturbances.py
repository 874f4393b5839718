"""What about the machine will make the times of a run noisy, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from modeltest.api import EngineInfo, Finding, FindingCode, ProcessorUse

Facts = Mapping[str, str | int | float | None]

BUSY_SHARE = 0.25
"""More load than this per processor before a run means that others work too."""

LITTLE_MEMORY = 0.1
"""Less available memory than this share of all of it means that pages may be swapped."""

_PINNING = frozenset({"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY"})


def disturbances(machine: Facts, engine: EngineInfo | None) -> tuple[Finding, ...]:
    """Return each condition that disturbs timing on the cpu; none for an accelerator.

    A fact that the host does not tell is no disturbance.
    """
    if engine is None or engine.device != "cpu":
        return ()
    found = [*_of_host(machine)]
    if engine.processors is not None:
        found += [*_of_threads(machine, engine.processors), *_of_quota(machine, engine.processors)]
    return tuple(found)


def _of_host(machine: Facts) -> Iterator[Finding]:
    load, cpus = _number(machine, "load_1min"), _number(machine, "cpus")
    if load is not None and cpus and load > BUSY_SHARE * cpus:
        yield Finding(FindingCode.MACHINE_BUSY, {"load": load, "cpus": cpus})
    governor = machine.get("cpu_governor")
    if governor is not None and governor != "performance":
        yield Finding(FindingCode.GOVERNOR_CHANGES_CLOCK, {"governor": governor})
    available, memory = _number(machine, "memory_available_bytes"), _number(machine, "memory_bytes")
    if available is not None and memory and available < LITTLE_MEMORY * memory:
        swapped = _number(machine, "swap_used_bytes") or 0.0
        yield Finding(
            FindingCode.LITTLE_MEMORY,
            {"available_bytes": available, "memory_bytes": memory, "swapped_bytes": swapped},
        )


def _of_threads(machine: Facts, use: ProcessorUse) -> Iterator[Finding]:
    if use.threads > use.cpus:
        yield Finding(FindingCode.THREADS_TAKE_TURNS, {"threads": use.threads, "cpus": use.cpus})
    sockets = _number(machine, "sockets")
    is_bound = use.cpus < (_number(machine, "cpus_online") or 0) or _PINNING & use.settings.keys()
    if sockets is not None and sockets > 1 and use.threads > 1 and not is_bound:
        yield Finding(FindingCode.THREADS_WANDER, {"sockets": sockets})


def _of_quota(machine: Facts, use: ProcessorUse) -> Iterator[Finding]:
    quota = _number(machine, "cpu_quota")
    if quota is not None and quota < use.threads:
        fewer = max(1, int(quota))
        yield Finding(FindingCode.CPU_QUOTA, {"threads": use.threads, "quota": quota, "fewer": fewer})


def _number(machine: Facts, name: str) -> float | None:
    value = machine.get(name)
    return float(value) if isinstance(value, (int, float)) else None
