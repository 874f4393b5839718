"""What vLLM would leave behind goes as soon as all have opened it."""

import mmap
import os
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from engines.vllm.leftovers import Scratch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="shared memory has names in /dev/shm")


@pytest.fixture
def scratch():
    made = Scratch()
    yield made
    made.remove()


@pytest.fixture
def mapped():
    """Return what makes shared memory of a name, mapped here, and the path of its name."""
    made, maps = [], []

    def make(name):
        path = Path("/dev/shm") / f"{name}{os.getpid()}"
        with path.open("w+b") as file:
            file.truncate(mmap.PAGESIZE)
            maps.append(mmap.mmap(file.fileno(), mmap.PAGESIZE))
        made.append(path)
        return path, maps[-1]

    yield make
    for each in maps:
        each.close()
    for path in made:
        path.unlink(missing_ok=True)


def test_shared_memory_loses_its_name_and_goes_on_working(scratch, mapped):
    path, memory = mapped("psm_")
    scratch.forget_shared_memory()
    assert not path.exists()
    memory[0] = 7
    assert memory[0] == 7


def test_shared_memory_of_others_keeps_its_name(scratch, mapped):
    drivers, _ = mapped("driver_")
    unmapped = Path("/dev/shm") / f"psm_other{os.getpid()}"
    unmapped.touch()
    try:
        scratch.forget_shared_memory()
        assert drivers.exists()
        assert unmapped.exists()
    finally:
        unmapped.unlink()


def test_buffers_of_ranks_that_have_died_go_by_the_file_through_which_they_met(scratch):
    with scratch.used():
        meeting = Path(tempfile.gettempdir()) / f"vllm_dist_{os.getpid()}"
    meeting.touch()
    buffer = Path("/dev/shm") / f"{meeting.name}-tp:0-cpushm_0"
    buffer.touch()
    scratch.forget_shared_memory()
    assert not buffer.exists()


def test_the_folder_is_used_while_vllm_loads_and_not_after(scratch):
    before = tempfile.gettempdir()
    with scratch.used():
        assert tempfile.gettempdir() == os.environ["VLLM_RPC_BASE_PATH"] != before
        folder = Path(tempfile.gettempdir())
    assert tempfile.gettempdir() == before
    assert "VLLM_RPC_BASE_PATH" not in os.environ
    scratch.remove()
    assert not folder.exists()


def test_who_is_asked_to_end_meanwhile_can_clear_away(scratch):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as end, scratch.used():
        os.kill(os.getpid(), signal.SIGTERM)
    assert end.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before
