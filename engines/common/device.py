"""The device layer: everything that differs between cpu, cuda and npu, in one place.

torch is imported inside the functions: the supervisor reads engine classes without it.
"""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from engines.common import npu
from modeltest.api import PrerequisiteError, ProcessorUse, SpecError
from modeltest.machine.host_memory import forget_resident_peak, resident_peak_bytes
from modeltest.machine.interfaces import LOOPBACK_INTERFACE, at_interface

DEVICES = ("npu", "cuda", "cpu")
"""In the order of preference when none is demanded."""

_CPU_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OMP_PROC_BIND",
    "OMP_PLACES",
    "GOMP_CPU_AFFINITY",
    "KMP_AFFINITY",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
)


@dataclass(frozen=True, slots=True)
class ChosenDevice:
    """The device of a run, and what a reader should know of why it is not another."""

    name: str
    notes: tuple[str, ...] = ()


def choose_device(demanded: str | None, *, default: str | None = None) -> ChosenDevice:
    """Return the demanded device, else `default`, else the best one present.

    Raises: SpecError for an unknown name; PrerequisiteError when the demanded device is absent. There is
    no silent fallback: an npu whose torch_npu does not work is noted.
    """
    wanted = demanded or default
    if wanted is None:
        return _best_device()
    if wanted not in DEVICES:
        raise SpecError(f"unknown device {wanted!r}; available: {', '.join(DEVICES)}")
    if reason := _obstacle(wanted):
        others = ", ".join(name for name in DEVICES if name != wanted and not _obstacle(name))
        raise PrerequisiteError(
            f"device {wanted} is demanded but not usable here: {reason}; usable: {others}"
        )
    return ChosenDevice(wanted)


def prepare_device(device: str) -> None:
    """Make this process, which has loaded no model yet, ready to compute on `device` and no other."""
    if device == "npu":
        npu.prepare()
    else:
        npu.keep_out()


def refuse_dtype(device: str, dtype: str) -> None:
    """Refuse a dtype that `device` does not compute, before a checkpoint is loaded in it.

    Raises: PrerequisiteError.
    """
    if device == "npu":
        npu.refuse_dtype(dtype)


def use_device(device: str, index: int, *, of: int) -> None:
    """Make device number `index` of `of` this process's own; all processes share a cpu.

    Raises: PrerequisiteError when there are fewer.
    """
    if device == "cpu":
        return
    count = _module(device).device_count()
    if count < of:
        raise PrerequisiteError(
            f"{of} ranks need {of} {device} devices, {count} can be used here: ask for at most {count}"
        )
    _module(device).set_device(index)


def describe_device(device: str) -> str:
    """Return what this process computes on, in a few words."""
    import torch

    if device == "cpu":
        return f"cpu, {torch.get_num_threads()} threads"
    module = _module(device)
    number = module.current_device()
    return f"{device}:{number} {module.get_device_name(number)}"


def rank_variables(demanded: str | None, *, is_alone: bool = True) -> dict[str, str]:
    """Return the variables with which ranks find each other, and no device but `demanded`.

    `is_alone`: all of them are on this machine; else the run has said on which network they meet.
    """
    found = at_interface(LOOPBACK_INTERFACE, os.environ) if is_alone else {}
    if demanded == "cpu":
        # transformers splits a model over the accelerator torch finds, whatever is asked for.
        found["CUDA_VISIBLE_DEVICES"] = ""
    return found


def synchronize(device: str) -> None:
    """Wait until everything submitted to `device` is done."""
    if device != "cpu":
        _module(device).synchronize()


def give_back_free_memory(device: str) -> None:
    """Let the system have what the allocator of the cpu holds and nothing uses; elsewhere do nothing.

    glibc keeps what is freed, which is faster (see the variables of a worker of `hf`), and loses sight of
    pieces between blocks that stay: by and by of as much as is in use. Other C libraries keep little.
    """
    if device == "cpu" and (trim := _malloc_trim()) is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    library = ctypes.CDLL(None)
    return getattr(library, "malloc_trim", None)


def empty_cache(device: str) -> None:
    """Give cached memory of `device` back."""
    if device == "cpu":
        give_back_free_memory(device)
    else:
        _module(device).empty_cache()


def seed_everything(device: str, seed: int) -> None:
    """Seed torch on the host and on `device`."""
    import torch

    torch.manual_seed(seed)
    if device != "cpu":
        _module(device).manual_seed_all(seed)


def peak_memory_bytes(device: str) -> int | None:
    """Return the peak memory since the last call and start anew.

    Of the device; on the cpu the resident set of the process, where the kernel lets it be reset.
    """
    if device != "cpu":
        module = _module(device)
        peak: int = module.max_memory_allocated()
        module.reset_peak_memory_stats()
        return peak
    peak = resident_peak_bytes()
    return peak if forget_resident_peak() else None


def is_out_of_memory(problem: BaseException) -> bool:
    """Say whether `problem` means that host or device memory ran out, in any of its disguises."""
    if isinstance(problem, MemoryError) or type(problem).__name__ == "OutOfMemoryError":
        return True
    text = str(problem).lower()
    return isinstance(problem, RuntimeError) and any(sign in text for sign in _CPU_OUT_OF_MEMORY)


@dataclass(slots=True)
class StepClock:
    """Times the tokens of one batch: starts when made, `mark` after each step's token.

    On the cpu a mark reads the host clock. On an accelerator a mark records a device event, so that timing
    does not synchronise within the trial; the events are laid out from the first token, whose arrival on
    the host is the anchor.
    """

    device: str
    _begin_ns: int = field(init=False)
    _times_ns: list[int] = field(init=False, default_factory=list)
    _events: list[Any] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        synchronize(self.device)
        self._begin_ns = time.perf_counter_ns()

    def mark(self) -> None:
        """Note that one more token of every row is there."""
        if self.device == "cpu":
            self._times_ns.append(time.perf_counter_ns() - self._begin_ns)
            return
        event = _module(self.device).Event(enable_timing=True)
        event.record()
        if not self._events:
            event.synchronize()
            self._times_ns.append(time.perf_counter_ns() - self._begin_ns)
        self._events.append(event)

    def end_ns(self) -> int:
        """Return the time since the start; waits for the device."""
        synchronize(self.device)
        return time.perf_counter_ns() - self._begin_ns

    def times_ns(self) -> tuple[int, ...]:
        """Return the time of each token since the start, in ns; waits for the device."""
        if self.device == "cpu" or not self._events:
            return tuple(self._times_ns)
        synchronize(self.device)
        first, anchor_ns = self._events[0], self._times_ns[0]
        return tuple(anchor_ns + round(first.elapsed_time(event) * 1e6) for event in self._events)


def processor_use() -> ProcessorUse:
    """Return how many threads torch uses, on how many processors, and what was set about it."""
    import torch

    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    settings = {name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ}
    return ProcessorUse(threads=torch.get_num_threads(), cpus=cpus, settings=settings)


def versions(device: str, packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of `packages` and of what drives `device`, where installed."""
    from importlib.metadata import PackageNotFoundError, version

    wanted = [*packages, *(["torch_npu"] if device == "npu" else [])]
    found = {}
    for name in wanted:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _module(device: str) -> Any:
    """Return `torch.cuda` or `torch.npu`, which mirror each other."""
    import torch

    return getattr(torch, device)


def _best_device() -> ChosenDevice:
    is_expected = npu.is_installed()
    obstacles = {name: _obstacle(name) for name in DEVICES}
    best = next(name for name in DEVICES if obstacles[name] is None)
    if not is_expected or best == "npu":
        return ChosenDevice(best)
    return ChosenDevice(best, (f"on {best}, not on an npu: {obstacles['npu']}",))


def _obstacle(device: str) -> str | None:
    """Return why `device` cannot be used here, or `None`."""
    if device == "npu":
        return npu.obstacle()
    if device == "cuda":
        try:
            return None if _module(device).is_available() else "torch finds no CUDA device"
        except ImportError:
            return "torch is not installed"
    return None
