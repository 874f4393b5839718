import pytest

from modeltest.api import (
    Completion,
    DeviceError,
    EngineError,
    EngineInfo,
    Measurement,
    OutOfMemory,
    Request,
    RunSpec,
    TokenPrompt,
    Trial,
)
from modeltest.run.worker.measurement import run_measurements
from modeltest.run.worker.recovery import ALLOWED_BYTES

SPEC = RunSpec(engine="e", mode="m", task="t", model="m", weights="w")


def info(device: str) -> EngineInfo:
    return EngineInfo("scripted", device, "none", 100, (), None, {})


def trial(batch_size: int) -> Trial:
    requests = [Request(f"b{batch_size}/r{row}", TokenPrompt((row,)), 8) for row in range(batch_size)]
    return Trial(0, batch_size, 0, "measure", tuple(requests))


class Sizes:
    """Measures the given batch sizes one after the other."""

    def __init__(self, *sizes: int) -> None:
        self.sizes = sizes

    def trials(self, spec, engine):
        for size in self.sizes:
            yield trial(size)


class Engine:
    """Fits four rows. `shift` is added to tokens, `leak` to the memory in use, after it ran out of memory."""

    name = "scripted"

    def __init__(self, *, shift: int = 0, leak: int = 0, broken: bool = False) -> None:
        self.after = (shift, leak, broken)
        self.shift, self.used, self.broken = 0, 1 << 30, False
        self.asked: list[tuple[int, int]] = []

    def complete(self, requests, *, batch_size):
        requests = list(requests)
        self.asked.append((len(requests), requests[0].max_new_tokens))
        if len(requests) > 4:
            shift, leak, self.broken = self.after
            self.shift += shift
            self.used += leak
            raise OutOfMemory("does not fit")
        if self.broken:
            raise EngineError("nothing works any more")
        yield [
            Completion(one.id, output_tokens=tuple(range(self.shift, self.shift + one.max_new_tokens)))
            for one in requests
        ]

    def peak_memory_bytes(self):
        return self.used


def sizes_of(engine, *sizes, device="npu"):
    return [one.batch_size for one in run_measurements(Sizes(*sizes), engine, info(device), SPEC)]


def test_after_an_out_of_memory_the_smallest_batch_that_fitted_is_asked_again_in_short():
    engine = Engine()
    assert sizes_of(engine, 2, 1, 4, 8, 3) == [2, 1, 4, 8, 3]
    assert engine.asked == [(2, 8), (1, 8), (4, 8), (8, 8), (1, 4), (3, 8)]


def test_an_engine_that_gives_other_tokens_is_reloaded():
    measured = run_measurements(Sizes(1, 8, 2), Engine(shift=1), info("npu"), SPEC)
    assert [next(measured).batch_size, next(measured).batch_size] == [1, 8]  # journalled before the check
    with pytest.raises(
        DeviceError, match=r"batch 8 ran out .* batch 1, which fitted before, gives other tok"
    ):
        next(measured)


def test_an_engine_that_keeps_memory_is_reloaded():
    with pytest.raises(DeviceError, match=r"1\d{3} MiB are in use, 1024 MiB were before"):
        sizes_of(Engine(leak=2 * ALLOWED_BYTES), 1, 8, 2)


def test_a_little_more_memory_is_nothing():
    assert sizes_of(Engine(leak=ALLOWED_BYTES), 1, 8, 2) == [1, 8, 2]


def test_memory_of_a_process_on_the_cpu_says_nothing():
    assert sizes_of(Engine(leak=1 << 40), 1, 8, 2, device="cpu") == [1, 8, 2]


def test_an_engine_that_fails_at_what_fitted_is_reloaded():
    with pytest.raises(DeviceError, match="batch 1, which fitted before, fails: nothing works any more"):
        sizes_of(Engine(broken=True), 1, 8, 2)


def test_nothing_is_asked_when_nothing_follows_or_nothing_fitted_before():
    engine = Engine()
    sizes_of(engine, 1, 8)
    assert engine.asked == [(1, 8), (8, 8)]
    engine = Engine()
    sizes_of(engine, 8, 2)
    assert engine.asked == [(8, 8), (2, 8)]


def test_a_result_of_an_earlier_worker_is_known_too():
    earlier = list(run_measurements(Sizes(1), Engine(), info("npu"), SPEC))
    from modeltest.run.worker.measurement import Measured

    engine = Engine(shift=1)
    measured = run_measurements(
        Sizes(1, 8, 2), engine, info("npu"), SPEC, measured=Measured(journalled=earlier)
    )
    assert isinstance(next(measured), Measurement)
    with pytest.raises(DeviceError, match="gives other tokens"):
        next(measured)
