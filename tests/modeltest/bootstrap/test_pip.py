from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from modeltest.bootstrap import pip
from modeltest.bootstrap.pip import CommandFailed, pip_install, run_logged


@pytest.fixture(autouse=True)
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def run_python(code: str, cwd: Path) -> None:
    run_logged([sys.executable, "-c", code], cwd=cwd, what="the work", environment=os.environ)


def test_success_leaves_no_log_and_stdout_empty(
    tmp_path: Path, logs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run_python("print('chatter')", tmp_path)
    told = capfd.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == ["run.sh: the work ...", "run.sh: the work: done in 0 s"]
    assert list(logs.iterdir()) == []


def test_failure_names_the_log_and_its_errors(tmp_path: Path) -> None:
    code = "print('Collecting x'); print('ERROR: no such version'); raise SystemExit(1)"
    with pytest.raises(CommandFailed) as caught:
        run_python(code, tmp_path)
    assert (
        str(caught.value)
        == f"the work failed; the whole log is {caught.value.log}\n    ERROR: no such version"
    )
    assert "Collecting x" in caught.value.log_text()
    assert not caught.value.is_conflict


def test_failure_without_an_error_line_shows_the_last_lines(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="No module named pip") as caught:
        run_python("print('a\\nb\\nc'); raise SystemExit('No module named pip')", tmp_path)
    assert "\n    a" not in str(caught.value)


def test_conflict_is_recognized(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed) as caught:
        run_python("raise SystemExit('ERROR: ResolutionImpossible: for help visit')", tmp_path)
    assert caught.value.is_conflict


@pytest.mark.parametrize(("in_venv", "kept"), [(True, False), (False, True)])
def test_settings_that_send_packages_elsewhere_are_dropped_for_a_virtual_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_venv: bool, kept: bool
) -> None:
    monkeypatch.setenv("PIP_TARGET", "/elsewhere")
    seen = {}

    def remember(command: list[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        seen.update(options, command=command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(pip.subprocess, "run", remember)
    pip_install("python3", ["-e", "."], root=tmp_path, what="the work", in_venv=in_venv)
    assert ("PIP_TARGET" in seen["env"]) is kept
    assert seen["cwd"] == tmp_path
    assert seen["command"][:4] == ["python3", "-m", "pip", "install"]
    assert seen["command"][-2:] == ["-e", "."]
