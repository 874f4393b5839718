from pathlib import Path

import pytest

from engines.common import memory_limit
from engines.common.device import peak_memory_bytes
from engines.common.memory_limit import memory_limit_bytes

GIB = 1 << 30


def _proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **files: str) -> None:
    contents = {
        "/proc/self/status": "Name:\tpython\nVmRSS:\t 1048576 kB\n",
        "/proc/meminfo": "MemFree: 1 kB\nMemAvailable: 4194304 kB\n",
    }
    known = memory_limit._kib

    def kib(path: Path) -> dict[str, int]:
        copy = tmp_path / "copy"
        copy.write_text(contents[str(path)])
        return known(copy)

    for name, text in files.items():
        (tmp_path / name.replace("_", ".")).write_text(text)
    monkeypatch.setattr(memory_limit, "_kib", kib)
    monkeypatch.setattr(memory_limit, "_CGROUP", tmp_path)


def test_on_the_cpu_it_is_what_the_process_has_and_what_is_available(tmp_path, monkeypatch):
    _proc(tmp_path, monkeypatch)
    assert memory_limit_bytes("cpu") == 5 * GIB


def test_a_container_may_leave_less(tmp_path, monkeypatch):
    stat = f"anon 1\ninactive_file {GIB}\n"
    _proc(tmp_path, monkeypatch, memory_max=f"{3 * GIB}\n", memory_current=f"{2 * GIB}\n", memory_stat=stat)
    assert memory_limit_bytes("cpu") == 3 * GIB  # 1 of its own, 1 free, 1 of files that can go


def test_a_container_without_a_limit_leaves_everything(tmp_path, monkeypatch):
    _proc(tmp_path, monkeypatch, memory_max="max\n", memory_current="1\n", memory_stat="anon 1\n")
    assert memory_limit_bytes("cpu") == 5 * GIB


def test_a_system_that_does_not_tell_has_no_limit(monkeypatch):
    monkeypatch.setattr(memory_limit, "_kib", lambda path: {})
    assert memory_limit_bytes("cpu") is None


def test_the_limit_of_this_machine_is_above_the_peak_of_this_process():
    limit, peak = memory_limit_bytes("cpu"), peak_memory_bytes("cpu")
    assert limit is not None
    assert peak is None or limit > 0.5 * peak


def test_a_file_that_is_not_there_says_nothing(tmp_path):
    assert memory_limit._kib(tmp_path / "absent") == {}
