"""What killed processes leave in /dev/shm is removed, and nothing of anybody else's."""

import mmap
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from modeltest.machine.shared_memory import SHARED, SharedMemoryOf

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="no /dev/shm")

HOLD = """
import mmap, sys, time
held = []
for name in sys.argv[1:]:
    with open(name, "wb+") as file:
        file.truncate(4096)
        held.append(mmap.mmap(file.fileno(), 4096))
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def name():
    """Return a function that makes names in shared memory, removed after the test."""
    made = []

    def fresh(prefix: str) -> Path:
        made.append(SHARED / f"{prefix}{uuid.uuid4().hex}")
        return made[-1]

    yield fresh
    for path in made:
        path.unlink(missing_ok=True)


def _holding(*paths: Path) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, *map(str, paths)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def _kill(process: subprocess.Popen) -> None:
    process.kill()
    process.communicate()


def test_what_a_killed_process_had_mapped_is_removed(name):
    paths = [name("psm_"), name("sem.mp-"), name("vllm_dist_")]
    process = _holding(*paths)
    shared = SharedMemoryOf(process.pid)
    shared.look()
    _kill(process)
    assert all(path.exists() for path in paths)
    shared.remove()
    assert not any(path.exists() for path in paths)


def test_what_another_process_still_has_mapped_stays(name):
    path = name("psm_")
    process = _holding(path)
    shared = SharedMemoryOf(process.pid)
    shared.look()
    with path.open("rb+") as file, mmap.mmap(file.fileno(), 4096):
        _kill(process)
        shared.remove()
        assert path.exists()


def test_names_of_other_makers_stay(name):
    path = name("driver_")
    process = _holding(path)
    shared = SharedMemoryOf(process.pid)
    shared.look()
    _kill(process)
    shared.remove()
    assert path.exists()


def test_shared_memory_of_other_groups_stays(name):
    path = name("psm_")
    process = _holding(path)
    shared = SharedMemoryOf(os.getpgid(0))
    shared.look()
    _kill(process)
    shared.remove()
    assert path.exists()


def test_a_name_that_was_removed_and_made_again_is_not_the_groups(name):
    path = name("psm_")
    process = _holding(path)
    shared = SharedMemoryOf(process.pid)
    shared.look()
    path.unlink()
    shared.look()
    path.touch()
    _kill(process)
    shared.remove()
    assert path.exists()
