"""What about the machine will make the times of a run noisy, and what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from modeltest.api import EngineInfo, ProcessorUse

Facts = Mapping[str, str | int | float | None]

BUSY_SHARE = 0.25
"""More load than this per processor before a run means that others work too."""

LITTLE_MEMORY = 0.1
"""Less available memory than this share of all of it means that pages may be swapped."""

_PINNING = frozenset({"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY", "KMP_AFFINITY"})


def disturbances(machine: Facts, engine: EngineInfo | None) -> tuple[str, ...]:
    """Return a sentence for each condition that disturbs timing on the cpu; none for an accelerator.

    A fact that the host does not tell is no disturbance.
    """
    if engine is None or engine.device != "cpu":
        return ()
    found = [*_of_host(machine)]
    if engine.processors is not None:
        found += [*_of_threads(machine, engine.processors), *_of_quota(machine, engine.processors)]
    return tuple(found)


def _of_host(machine: Facts) -> Iterator[str]:
    load, cpus = _number(machine, "load_1min"), _number(machine, "cpus")
    if load is not None and cpus and load > BUSY_SHARE * cpus:
        yield (
            f"the load was {load:.1f} on {cpus:.0f} processors before the run: end other work, "
            "or wait a minute after a run before"
        )
    governor = machine.get("cpu_governor")
    if governor is not None and governor != "performance":
        yield (
            f"the cpu governor is {governor}, which changes clock rates: "
            "cpupower frequency-set -g performance"
        )
    available, memory = _number(machine, "memory_available_bytes"), _number(machine, "memory_bytes")
    if available is not None and memory and available < LITTLE_MEMORY * memory:
        swapped = (_number(machine, "swap_used_bytes") or 0) / 2**30
        yield (
            f"{available / 2**30:.1f} of {memory / 2**30:.0f} GiB of memory were available before the run "
            f"({swapped:.1f} GiB were swapped out): end what needs it"
        )


def _of_threads(machine: Facts, use: ProcessorUse) -> Iterator[str]:
    if use.threads > use.cpus:
        yield (f"{use.threads} threads take turns on {use.cpus} processors: OMP_NUM_THREADS={use.cpus}")
    sockets = _number(machine, "sockets")
    is_bound = use.cpus < (_number(machine, "cpus_online") or 0) or _PINNING & use.settings.keys()
    if sockets is not None and sockets > 1 and use.threads > 1 and not is_bound:
        yield (
            f"threads may wander between {sockets:.0f} sockets: numactl --cpunodebind=0 --membind=0, "
            "or OMP_PROC_BIND=close"
        )


def _of_quota(machine: Facts, use: ProcessorUse) -> Iterator[str]:
    quota = _number(machine, "cpu_quota")
    if quota is not None and quota < use.threads:
        yield (
            f"{use.threads} threads share the time of {quota:g} processors, all that the container's limit "
            f"allows, and stand still when it is used up: OMP_NUM_THREADS={max(1, int(quota))}, or a higher "
            "limit (docker run --cpus)"
        )


def _number(machine: Facts, name: str) -> float | None:
    value = machine.get(name)
    return float(value) if isinstance(value, (int, float)) else None
