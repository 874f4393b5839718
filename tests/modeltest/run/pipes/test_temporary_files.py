"""What a worker leaves among temporary files goes with it, however it and its supervisor end."""

import os
import signal
import sys
from pathlib import Path

import pytest
from run_processes import BOOLQ, await_end, children, option, run, start_slowly

from modeltest.api import PrerequisiteError
from modeltest.run.pipes.temporary_files import temporary_folder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="children are read from /proc")


@pytest.fixture
def place(tmp_path):
    made = tmp_path / "temporary"
    made.mkdir()
    return made


@pytest.fixture
def running(tmp_path, place):
    """Return a run that takes long, and its worker, which has left a file."""
    variables = {**os.environ, "TMPDIR": str(place)}
    words = [*BOOLQ, *option("prefill_ms_per_token=1000")]
    process = start_slowly(words, tmp_path / "runs", env=variables)
    try:
        (worker,) = children(process.pid)
        (folder,) = place.iterdir()
        assert f"TMPDIR={folder}".encode() in Path(f"/proc/{worker}/environ").read_bytes().split(b"\0")
        (folder / "left").write_text("by a library")
        yield process, worker
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize("words", [[], option("crash_at=boolq/9")])
def test_a_run_that_comes_to_its_end_leaves_nothing(tmp_path, place, words):
    output = tmp_path / "runs"
    run(*BOOLQ, *words, output=output, expect=bool(words), env={**os.environ, "TMPDIR": str(place)})
    assert list(place.iterdir()) == []


def test_a_worker_that_is_killed_leaves_nothing_to_its_successor(running, place):
    process, worker = running
    os.kill(worker, signal.SIGKILL)
    assert any(line.startswith("running") for line in process.stderr)
    assert not list(place.glob("*/left"))
    assert len(list(place.iterdir())) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_nothing(running, place, number):
    process, worker = running
    process.send_signal(number)
    process.wait(60)
    await_end([worker])
    assert list(place.iterdir()) == []


def test_no_room_for_temporary_files_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(PrerequisiteError, match="set TMPDIR"), temporary_folder():
        pass
