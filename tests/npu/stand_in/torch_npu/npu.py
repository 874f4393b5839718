"""`torch.npu` of the stand-in, whose names and meanings are those of `torch.cuda`."""

import atexit
import json
import os
import time
from collections import Counter
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch

_device = torch.ops.stand_in_npu
_calls = Counter()


def start():
    """Bring the devices up, as the environment describes them."""
    memory_bytes = int(os.environ.get("STAND_IN_NPU_MEMORY_MB", "1024")) << 20
    largest_bytes = int(os.environ.get("STAND_IN_NPU_LARGEST_BLOCK_KB", memory_bytes >> 10)) << 10
    _device.configure(device_count(), memory_bytes, largest_bytes)
    calls_file = os.environ.get("STAND_IN_NPU_CALLS")
    if calls_file:
        atexit.register(_write_calls, Path(calls_file))


def _write_calls(path):
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(_calls) + "\n")


def _counted(function):
    def call(*arguments, **named):
        _calls[function.__name__] += 1
        return function(*arguments, **named)

    call.__name__ = function.__name__
    return call


def device_count():
    """Return how many devices are visible; a list that does not ascend shows none."""
    there = int(os.environ.get("STAND_IN_NPU_DEVICES", "1"))
    shown = os.environ.get("ASCEND_RT_VISIBLE_DEVICES")
    if shown is None:
        return there
    numbers = [int(part) for part in shown.split(",")]
    return len(numbers) if numbers == sorted(set(numbers)) and numbers[-1] < there else 0


def is_available():
    return device_count() > 0


def is_initialized():
    return True


def _is_in_bad_fork():
    return False


def current_device():
    return _device.current_device()


@_counted
def set_device(device):
    _device.set_device(_index(device))


@contextmanager
def device(which):
    before = current_device()
    _device.set_device(_index(which))
    yield
    _device.set_device(before)


def get_device_name(which=None):
    return os.environ.get("STAND_IN_NPU_NAME", "Ascend910B4")


def is_bf16_supported(including_emulation=True):
    return "310P" not in get_device_name()


@_counted
def set_compile_mode(*, jit_compile):
    assert jit_compile is False


@_counted
def synchronize(device=None):
    """Wait for the device; here everything is done when it has been called."""


@_counted
def empty_cache():
    _device.empty_cache(current_device())


@_counted
def manual_seed_all(seed):
    for index in range(device_count()):
        _device.seed(index, seed)


manual_seed = manual_seed_all


def get_rng_state(device="npu"):
    return torch.Generator(device).get_state()


def set_rng_state(new_state, device="npu"):
    torch.Generator(device).set_state(new_state)


def get_amp_supported_dtype():
    return [torch.float16, torch.bfloat16]


@_counted
def mem_get_info(device=None):
    _, reserved, _, _, capacity = _memory(device)
    return capacity - reserved, capacity


def memory_allocated(device=None):
    return _memory(device)[0]


def memory_reserved(device=None):
    return _memory(device)[1]


def max_memory_allocated(device=None):
    return _memory(device)[2]


@_counted
def reset_peak_memory_stats(device=None):
    _device.reset_peak(_index(device))


def memory_stats(device=None):
    allocated, reserved, peak, refused, _ = _memory(device)
    return {
        "allocated_bytes.all.current": allocated,
        "allocated_bytes.all.peak": peak,
        "reserved_bytes.all.current": reserved,
        "num_ooms": refused,
    }


class Event:
    """A moment of the device's queue. Its clock is not the host's: only differences mean anything."""

    def __init__(self, enable_timing=False, blocking=False):
        self._is_timed = enable_timing
        self._at_s = None
        _calls["Event"] += 1

    def record(self, stream=None):
        self._at_s = time.monotonic()

    def synchronize(self):
        _calls["Event.synchronize"] += 1

    def wait(self, stream=None):
        """Let a queue wait."""

    def query(self):
        return True

    def elapsed_time(self, later):
        if not (self._is_timed and later._is_timed):
            raise RuntimeError("both events must be created with enable_timing=True")
        if self._at_s is None or later._at_s is None:
            raise RuntimeError("both events must be recorded")
        return (later._at_s - self._at_s) * 1e3


class Stream:
    """A queue of the device; here there is one."""

    def __init__(self, device=None, priority=0):
        self.device = torch.device("npu", _index(device))

    def synchronize(self):
        synchronize()

    def wait_stream(self, other):
        """Let this queue wait for `other`."""

    def wait_event(self, event):
        """Let this queue wait for `event`."""

    def record_event(self, event=None):
        event = event or Event()
        event.record()
        return event


def current_stream(device=None):
    return Stream(device)


def stream(which):
    return nullcontext(which)


def _memory(device):
    return _device.memory(_index(device))


def _index(device):
    if device is None:
        return current_device()
    if isinstance(device, int):
        return device
    index = torch.device(device).index
    return current_device() if index is None else index
