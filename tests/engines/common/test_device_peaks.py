from dataclasses import replace

import pytest

from engines.common import device_peaks
from engines.common.device_peaks import SIZES, measure_peaks, peaks_for
from modeltest.api import BandwidthPeak, BatchRange, Case, DevicePeaks, ProcessorUse, RunSpec, TaskOptions

SPEC = RunSpec("hf_fp32", "performance", "performance", "m", "w", cases=(Case(4, 4),))


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Whatever else the machine does."""
    monkeypatch.setattr(device_peaks.os, "getloadavg", lambda: (0.0, 0.0, 0.0))


@pytest.fixture
def small(monkeypatch):
    """Measure so little that it takes no time."""
    monkeypatch.setattr(device_peaks, "SIZES", SIZES[:2])
    monkeypatch.setattr(device_peaks, "SIDES", (16, 32))
    monkeypatch.setattr(device_peaks, "_ENOUGH_S", 1e-4)
    monkeypatch.setattr(device_peaks, "_CHUNK_S", 1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_every_size_has_a_rate_and_so_has_the_product_of_matrices(small, dtype):
    import torch

    peaks = measure_peaks("cpu", getattr(torch, dtype))
    assert [peak.size_bytes for peak in peaks.bandwidth] == list(SIZES[:2])
    assert all(peak.bytes_per_s > 1e6 for peak in peaks.bandwidth)
    assert peaks.flop_per_s > 1e6


def test_data_takes_only_its_share_of_free_memory(small, monkeypatch):
    monkeypatch.setattr(device_peaks, "free_bytes", lambda device: 4 * SIZES[0])
    assert device_peaks._sizes("cpu") == SIZES[:1]
    monkeypatch.setattr(device_peaks, "free_bytes", lambda device: 1)
    assert device_peaks._sizes("cpu") == SIZES[:1], "something must be measured"


def test_the_best_call_counts(monkeypatch):
    """Calls of 5, 4.1 and 4.5 ms: the second is the peak, whatever disturbed the others."""
    seconds = iter((0.005, 0.0041, 0.0045))
    monkeypatch.setattr(device_peaks, "_chunk_s", lambda device, work, calls: next(seconds))
    monkeypatch.setattr(device_peaks, "_ENOUGH_S", 0.012)
    assert device_peaks._best_s("cpu", [lambda: None]) == 0.0041


@pytest.mark.parametrize(("device", "load", "calls"), [("cpu", 0.1, 3), ("cpu", 9.0, 30), ("npu", 9.0, 3)])
def test_beside_other_work_the_cpu_is_timed_for_longer(monkeypatch, device, load, calls):
    timed = []
    monkeypatch.setattr(device_peaks.os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(device_peaks, "processor_use", lambda: ProcessorUse(2, 2))
    monkeypatch.setattr(device_peaks, "_chunk_s", lambda *_: timed.append(1) or 0.005)
    monkeypatch.setattr(device_peaks, "_ENOUGH_S", 0.0149)
    device_peaks._best_s(device, [lambda: None])
    assert len(timed) == calls


def test_short_calls_are_timed_together(monkeypatch):
    asked = []

    def chunk_s(device, work, calls):
        asked.append(calls)
        return calls * 0.001

    monkeypatch.setattr(device_peaks, "_chunk_s", chunk_s)
    monkeypatch.setattr(device_peaks, "_ENOUGH_S", 0.015)
    assert device_peaks._best_s("cpu", [lambda: None]) == 0.001
    assert asked == [1, 4, 4, 4, 4]


def test_pieces_are_read_in_turn_each_at_least_once(monkeypatch):
    read = []
    monkeypatch.setattr(device_peaks, "_chunk_s", lambda device, work, calls: read.append(work()) or 0.001)
    monkeypatch.setattr(device_peaks, "_ENOUGH_S", 0.0005)
    works = [lambda piece=piece: piece for piece in range(3)]
    assert device_peaks._best_s("cpu", works) == 0.001
    assert read == [0, 1, 2]


@pytest.mark.parametrize(("device", "pieces"), [("cpu", 4), ("meta", 1)])
def test_large_data_is_timed_in_pieces_on_the_cpu_alone(monkeypatch, device, pieces):
    import torch

    timed = []

    def best_s(_, works):
        timed.append(len(works))
        return 0.001

    monkeypatch.setattr(device_peaks, "_best_s", best_s)
    rate = device_peaks._bandwidth(device, torch.float32, 1 << 24)
    assert timed == [pieces] * 3
    assert rate == pytest.approx((1 << 24) / pieces / 0.001)


def test_a_run_that_times_nothing_measures_nothing(monkeypatch):
    monkeypatch.setattr(device_peaks, "measure_peaks", pytest.fail)
    assert peaks_for(replace(SPEC, cases=()), "cpu", None) == (None, ())
    search = replace(SPEC, options=TaskOptions(batch_ranges=(BatchRange(1, 8),)))
    assert peaks_for(search, "cpu", None) == (None, ())


def test_a_device_that_cannot_be_measured_is_noted_and_no_reason_to_fail(monkeypatch):
    def refuse(device, dtype):
        raise RuntimeError("\"addmm_impl_cpu_\" not implemented for 'Half'")

    monkeypatch.setattr(device_peaks, "measure_peaks", refuse)
    peaks, notes = peaks_for(SPEC, "cpu", None)
    assert peaks is None
    assert notes[0].startswith('peaks of the device are not known: RuntimeError: "addmm_impl_cpu_')


def test_a_defect_is_not_taken_for_a_device_that_cannot(monkeypatch):
    def fail(device, dtype):
        raise KeyError("defect")

    monkeypatch.setattr(device_peaks, "measure_peaks", fail)
    with pytest.raises(KeyError):
        peaks_for(SPEC, "cpu", None)


PEAKS = DevicePeaks(
    (BandwidthPeak(1000, 90.0), BandwidthPeak(4000, 100.0), BandwidthPeak(16000, 20.0)), flop_per_s=1.0
)


@pytest.mark.parametrize(
    ("size", "rate"),
    [
        (500, 100.0),  # no smaller size: the best of all
        (1500, 100.0),  # larger data was faster: calls cost more than reading
        (5000, 100.0),  # part of it may still be in the cache of 4000
        (16000, 20.0),
        (10**9, 20.0),
    ],
)
def test_the_peak_of_a_size_is_that_of_data_at_least_as_large_as_the_next_smaller(size, rate):
    assert PEAKS.bytes_per_s(size) == rate


def test_without_measurements_there_is_no_peak():
    assert DevicePeaks((), 1.0).bytes_per_s(1) is None
