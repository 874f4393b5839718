import os
import platform
import subprocess
import sys
import types

import pytest
import torch

from engines.common.device import (
    ChosenDevice,
    StepClock,
    choose_device,
    empty_cache,
    is_out_of_memory,
    peak_memory_bytes,
    prepare_device,
    seed_everything,
    synchronize,
    use_device,
)
from modeltest.api import PrerequisiteError, SpecError


class FakeEvent:
    """A device event whose clock runs 1 ms a record."""

    recorded = 0

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing
        self.at_ms = 0.0

    def record(self) -> None:
        FakeEvent.recorded += 1
        self.at_ms = float(FakeEvent.recorded)

    def synchronize(self) -> None:
        pass

    def elapsed_time(self, later: "FakeEvent") -> float:
        return later.at_ms - self.at_ms


@pytest.fixture
def npu(monkeypatch):
    """A `torch.npu` that answers as the real one, and records what is called."""
    import torch

    calls = []
    surface = types.SimpleNamespace(
        is_available=lambda: True,
        device_count=lambda: 1,
        set_compile_mode=lambda jit_compile: calls.append("set_compile_mode"),
        synchronize=lambda: calls.append("synchronize"),
        empty_cache=lambda: calls.append("empty_cache"),
        manual_seed_all=lambda seed: calls.append(f"seed {seed}"),
        max_memory_allocated=lambda: 123,
        reset_peak_memory_stats=lambda: calls.append("reset"),
        Event=FakeEvent,
    )
    monkeypatch.setattr(torch, "npu", surface, raising=False)
    monkeypatch.setitem(sys.modules, "torch_npu", types.ModuleType("torch_npu"))
    return calls


def test_the_best_device_present_is_chosen(npu):
    assert choose_device(None) == ChosenDevice("npu")


def test_without_an_accelerator_the_cpu_is_chosen(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert choose_device(None) == ChosenDevice("cpu")


def test_the_default_holds_until_a_device_is_demanded(npu):
    assert choose_device(None, default="cpu").name == "cpu"
    assert choose_device("npu", default="cpu").name == "npu"


def test_an_absent_device_is_no_silent_fallback(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(
        PrerequisiteError,
        match="cuda is demanded but not usable here: torch finds no CUDA device; usable: cpu",
    ):
        choose_device("cuda")


def test_an_unknown_device_is_a_wrong_word():
    with pytest.raises(SpecError, match="unknown device 'tpu'; available: npu, cuda, cpu"):
        choose_device("tpu")


def test_an_npu_that_does_not_work_is_no_silent_fallback_either(monkeypatch):
    class Broken:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "torch_npu":
                raise ImportError("libhccl.so: cannot open shared object file")

    monkeypatch.delitem(sys.modules, "torch_npu", raising=False)
    monkeypatch.setattr("engines.common.npu.is_installed", lambda: True)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(PrerequisiteError, match=r"npu is demanded but not usable here: .*libhccl.so"):
        choose_device("npu")
    chosen = choose_device(None)
    assert chosen.name == "cpu"
    (note,) = chosen.notes
    assert note.startswith("on cpu, not on an npu: torch_npu")


def test_an_npu_is_prepared_and_other_devices_are_kept_apart_from_it(npu, monkeypatch):
    prepare_device("npu")
    assert npu == ["set_compile_mode"]
    monkeypatch.setitem(sys.modules, "torch_npu", None)
    prepare_device("cpu")
    assert sys.modules["torch_npu"] is None


def test_the_accelerator_s_own_calls_are_used(npu):
    synchronize("npu")
    empty_cache("npu")
    seed_everything("npu", 7)
    assert peak_memory_bytes("npu") == 123
    assert npu == ["synchronize", "empty_cache", "seed 7", "reset"]


def test_the_cpu_needs_none_of_them(npu):
    synchronize("cpu")
    empty_cache("cpu")
    assert npu == []


def test_peak_memory_of_the_cpu_is_that_since_the_last_call():
    if peak_memory_bytes("cpu") is None:
        pytest.skip("this kernel does not reset the peak")
    block = bytearray(200 << 20)
    del block
    high = peak_memory_bytes("cpu")
    assert high - peak_memory_bytes("cpu") > 100 << 20


PIECES_BETWEEN_BLOCKS = """
from engines.common.device import give_back_free_memory
from modeltest.machine.memory_limit import resident_bytes

blocks = [bytes(60_000) for _ in range(4000)]
kept = blocks[::100]
del blocks
held = resident_bytes()
give_back_free_memory("cpu")
print(held - resident_bytes())
"""


def test_the_cpu_s_allocator_gives_back_what_lies_free_between_blocks_in_use():
    if "glibc" not in platform.libc_ver():
        pytest.skip("another C library")
    kept = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 32)}
    words = [sys.executable, "-c", PIECES_BETWEEN_BLOCKS]
    given_back = subprocess.run(words, env={**os.environ, **kept}, stdout=subprocess.PIPE, check=True)
    assert int(given_back.stdout) > 100 << 20  # of 240 MB


@pytest.mark.parametrize(
    "problem",
    [
        MemoryError(),
        RuntimeError("NPU out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("Device out of memory (OOM)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        type("OutOfMemoryError", (RuntimeError,), {})("CUDA: tried"),
    ],
)
def test_memory_that_ran_out_is_recognised(problem):
    assert is_out_of_memory(problem)


@pytest.mark.parametrize(
    "problem", [ValueError("req: 3 out of memory, need block"), RuntimeError("bad shape")]
)
def test_other_failures_are_not_memory(problem):
    assert not is_out_of_memory(problem)


def test_the_cpu_clock_counts_up_from_its_making():
    clock = StepClock("cpu")
    for _ in range(3):
        clock.mark()
    times = clock.times_ns()
    assert len(times) == 3
    assert 0 < times[0] <= times[1] <= times[2] < 1e9


def test_a_device_clock_lays_its_events_out_from_the_first_token(npu):
    clock = StepClock("npu")
    for _ in range(3):
        clock.mark()
    first, second, third = clock.times_ns()
    assert (second - first, third - first) == (1_000_000, 2_000_000)
    assert npu.count("synchronize") == 2


def test_b5_ranks_that_are_more_than_the_devices_are_told_how_many_there_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(PrerequisiteError) as raised:
        use_device("cuda", 0, of=2)
    assert str(raised.value) == "2 ranks need 2 cuda devices, 1 can be used here: ask for at most 1"
