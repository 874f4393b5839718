"""The directory of a demo checkpoint: whole or not at all, whatever ends the writing."""

import shutil
import subprocess
import sys

import pytest

from modeltest.api import PrerequisiteError, SpecError
from modeltest.demo.directory import check_space, written_beside

KILLED = """
import sys, time, pathlib
from modeltest.demo.directory import written_beside
with written_beside(pathlib.Path(sys.argv[1])) as draft:
    (draft / "half").write_text("x")
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def half_way(tmp_path):
    """Return a process that is writing `model`."""
    words = [sys.executable, "-c", KILLED, str(tmp_path / "model")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        yield process
        process.kill()


def drafts(folder):
    return [path for path in folder.iterdir() if path.name.startswith(".model.")]


def test_a_kill_leaves_no_directory_and_the_next_one_clears_up(half_way, tmp_path):
    half_way.kill()
    half_way.wait()
    assert not (tmp_path / "model").exists()
    assert len(drafts(tmp_path)) == 1
    with written_beside(tmp_path / "model") as draft:
        (draft / "whole").write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["whole"]


def test_what_another_process_is_writing_is_left_alone(half_way, tmp_path):
    (theirs,) = drafts(tmp_path)
    with written_beside(tmp_path / "model"):
        pass
    assert (theirs / "half").exists()


def test_folders_of_other_names_are_left_alone(tmp_path):
    for name in (".model.backup", ".model.0123456", ".other.01234567", ".model.0123456z"):
        (tmp_path / name).mkdir()
    with written_beside(tmp_path / "model"):
        pass
    assert len(list(tmp_path.iterdir())) == 5


def test_a_disk_that_fills_up_is_what_the_machine_lacks(tmp_path):
    def fill_up():
        with written_beside(tmp_path / "model") as draft:
            (draft / "half").write_text("x")
            raise OSError(28, "No space left on device")

    with pytest.raises(PrerequisiteError, match="No space left on device"):
        fill_up()
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_a_wrong_word(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SpecError, match="Not a directory"), written_beside(tmp_path / "file" / "model"):
        pytest.fail("there is nothing to write into")


def test_too_small_a_disk_is_told_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 5_000_000))
    with pytest.raises(PrerequisiteError, match=r"needs 600 MB, and its disk has 5 MB left"):
        check_space(tmp_path / "not" / "there" / "yet", 600_000_000)
    check_space(tmp_path, 5_000_000)
