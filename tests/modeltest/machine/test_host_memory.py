from pathlib import Path

import pytest

from modeltest.machine import host_memory
from modeltest.machine.host_memory import forget_resident_peak, resident_peak_bytes

_SIZE = 64 << 20


def test_a_forgotten_peak_does_not_come_back() -> None:
    if not forget_resident_peak():
        pytest.skip("this kernel does not let a process begin a new peak")
    before = resident_peak_bytes()
    block = bytearray(b"x") * _SIZE
    largest = resident_peak_bytes()
    assert largest - before > _SIZE // 2
    del block
    assert forget_resident_peak()
    assert resident_peak_bytes() < largest


def test_without_proc_the_peak_is_that_of_getrusage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_memory, "_STATUS", tmp_path / "absent")
    monkeypatch.setattr(host_memory, "_CLEAR", tmp_path / "absent" / "clear_refs")
    assert resident_peak_bytes() > 1 << 20
    assert not forget_resident_peak()
