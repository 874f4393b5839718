"""Directories of somebody else: where writing into them leads."""

import json
import os
import shutil
import signal

import pytest
from run_processes import BOOLQ, await_journal, end, read, resume, run_command, run_directory, start_slowly

from modeltest.api import SpecError
from modeltest.suite.state import read_suite


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """Return the directory of a run that was interrupted after some questions."""
    output = tmp_path_factory.mktemp("out")
    process = start_slowly(BOOLQ, output, step_ms=40)
    await_journal(output, 2)
    assert end(process, signal.SIGINT) == 130
    return run_directory(output)


@pytest.fixture
def directory(interrupted, tmp_path):
    return shutil.copytree(interrupted, tmp_path / "run")


@pytest.mark.parametrize("name", ["log.txt", "samples.jsonl", "partial", "report.html"])
def test_c2_nothing_is_written_through_a_link(directory, tmp_path, name):
    outside = tmp_path / "outside"
    if name == "partial":
        outside.mkdir()
    else:
        outside.write_text("mine\n")
    if name == "partial":
        shutil.rmtree(directory / name)
    (directory / name).unlink(missing_ok=True)
    (directory / name).symlink_to(outside)
    for words in (["--resume", str(directory)], ["report", str(directory)]):
        done = run_command(*words, expect=2)
        assert f"error: {directory / name} is a link, and ModelTest makes none" in done.stderr
    assert list(outside.iterdir()) == [] if name == "partial" else outside.read_text() == "mine\n"


def test_a_pipe_in_place_of_the_log_holds_nobody_up(directory):
    (directory / "log.txt").unlink()
    os.mkfifo(directory / "log.txt")
    assert f"{directory / 'log.txt'} is no file" in resume(directory, expect=2).stderr


def test_a_directory_without_links_goes_on(directory):
    resume(directory)


def test_c2_a_suite_writes_nowhere_but_into_its_own_folder(tmp_path):
    file = tmp_path / "nightly.yaml"
    task = "performance: {case: [16, 4], batch-size: 1, quick: true}"
    file.write_text(f"models: [none]\nengines: [fake]\ntasks:\n  - {task}\n")
    run_command("suite", str(file), "--output", str(tmp_path / "out"))
    suite = run_directory(tmp_path / "out")
    plain = read(suite, "suite.json")
    for name in ("../elsewhere", "/tmp/elsewhere", "..", "", "a" * 300, "a\0b"):
        plain["runs"][0]["name"] = name
        (suite / "suite.json").write_text(json.dumps(plain))
        with pytest.raises(SpecError, match="no name of a folder in"):
            read_suite(suite)
    done = run_command("suite", "--resume", str(suite), expect=2)
    assert f"names a run 'a\\x00b': no name of a folder in {suite}" in done.stderr
