"""Traces by torch's profiler, and by torch_npu's where there is a stand-in for it."""

import json
import sys
from types import ModuleType, SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from engines.common import profiling  # noqa: E402
from modeltest.api import PrerequisiteError  # noqa: E402


def _work():
    torch.ones(4, 8) @ torch.ones(8, 2)


def test_a_trace_on_the_cpu_is_a_chrome_trace_with_the_operations(tmp_path):
    path = profiling.traced("cpu", _work, tmp_path, "run_8x4_batch1")
    assert path == tmp_path / "run_8x4_batch1.json"
    events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    (product,) = [event for event in events if event.get("name") == "aten::mm"]
    assert product["args"]["Input Dims"][:2] == [[4, 8], [8, 2]]
    assert product["dur"] > 0
    assert list(tmp_path.iterdir()) == [path]


def test_a_trace_takes_the_place_of_an_older_one(tmp_path):
    (tmp_path / "a.json").write_text("old")
    assert json.loads(profiling.traced("cpu", _work, tmp_path, "a").read_text())["traceEvents"]


def test_what_the_work_raises_is_raised_and_nothing_is_left(tmp_path):
    def fail():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        profiling.traced("cpu", fail, tmp_path, "a")
    assert list(tmp_path.iterdir()) == []


def test_a_trace_that_cannot_be_written_is_an_error(tmp_path):
    with pytest.raises(PrerequisiteError, match=r"cannot write .*a\.json"):
        profiling.traced("cpu", _work, tmp_path / "nowhere", "a")


class FakeNpuProfiler(ModuleType):
    """The names of torch_npu.profiler that are used, recording how."""

    def __init__(self):
        super().__init__("torch_npu.profiler")
        self.ProfilerLevel = SimpleNamespace(Level0="level 0", Level1="level 1")
        self.AiCMetrics = SimpleNamespace(PipeUtilization="pipes")
        self.ProfilerActivity = SimpleNamespace(CPU="cpu", NPU="npu")
        self.said = []

    def _ExperimentalConfig(self, **settings):
        self.said.append(settings)
        return "settings"

    def tensorboard_trace_handler(self, folder):
        return f"into {folder}"

    def profile(self, **arguments):
        self.said.append(arguments)
        return self

    def __enter__(self):
        self.said.append("begin")

    def __exit__(self, *_):
        self.said.append("end")


@pytest.fixture
def npu(monkeypatch):
    profiler = FakeNpuProfiler()
    package = ModuleType("torch_npu")
    package.profiler = profiler
    monkeypatch.setitem(sys.modules, "torch_npu", package)
    monkeypatch.setitem(sys.modules, "torch_npu.profiler", profiler)
    monkeypatch.setattr(profiling, "synchronize", lambda device: profiler.said.append(f"wait for {device}"))
    return profiler


def test_on_an_npu_its_own_profiler_writes_a_folder(npu, tmp_path):
    path = profiling.traced("npu", lambda: npu.said.append("work"), tmp_path, "run")
    assert path == tmp_path / "run"
    assert npu.said == [
        {"profiler_level": "level 0", "aic_metrics": "pipes"},
        {
            "activities": ["cpu", "npu"],
            "on_trace_ready": f"into {tmp_path / 'run'}",
            "experimental_config": "settings",
        },
        "begin",
        "work",
        "wait for npu",
        "end",
    ]


def test_the_level_of_an_npu_trace_can_be_chosen(npu, tmp_path, monkeypatch):
    monkeypatch.setenv("PROFILING_LEVEL", "Level1")
    profiling.traced("npu", lambda: None, tmp_path, "run")
    assert npu.said[0]["profiler_level"] == "level 1"


def test_without_the_profiler_of_the_npu_the_host_is_recorded(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch_npu", None)
    monkeypatch.setattr(profiling, "synchronize", lambda device: None)
    assert profiling.traced("npu", _work, tmp_path, "run").suffix == ".json"
