from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

import pytest
import run_checks
from run_checks import ROOT, commands, environment, main


class Tools:
    """Stands in for the checks' tools."""

    def __init__(self) -> None:
        self.ran: list[list[str]] = []
        self.failing: set[str] = set()

    def run(self, command: Sequence[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        assert options["cwd"] == ROOT
        self.ran.append(list(command))
        return subprocess.CompletedProcess(command, int(bool(self.failing & set(command))))


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> Tools:
    stand_in = Tools()
    monkeypatch.setattr(run_checks.subprocess, "run", stand_in.run)
    return stand_in


def test_checks_are_those_of_the_project_in_order() -> None:
    assert list(commands([], cpus=1)) == [
        "ruff check",
        "ruff format",
        "mypy",
        "lint-imports",
        "trained model",
        "vllm environment",
        "pytest",
        "pytest on vllm",
    ]


def test_formatting_is_checked_never_changed() -> None:
    assert commands([], cpus=1)["ruff format"][-2:] == ["--check", "."]


@pytest.mark.parametrize(("cpus", "workers"), [(2, "2"), (64, "8")])
def test_workers_follow_the_machine_up_to_a_limit_and_take_over_from_each_other(
    cpus: int, workers: str
) -> None:
    assert commands([], cpus=cpus)["pytest"][3:] == ["-n", workers, "--dist", "worksteal"]


def test_one_core_needs_no_workers() -> None:
    assert commands([], cpus=1)["pytest"][3:] == []


def test_words_go_to_pytest_last_so_that_they_win() -> None:
    assert commands(["-n", "0", "-k", "a or b"], cpus=2)["pytest"][3:] == [
        "-n",
        "2",
        "--dist",
        "worksteal",
        "-n",
        "0",
        "-k",
        "a or b",
    ]
    assert "-k" not in commands(["-k", "x"], cpus=2)["mypy"]
    on_vllm = commands(["-n", "0", "-k", "a or b"], cpus=2)["pytest on vllm"]
    assert on_vllm[1:] == ["tests/vllm_environment.py", "pytest", "-n", "0", "-k", "a or b"]


def test_all_checks_run_when_all_pass(tools: Tools, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert len(tools.ran) == 8
    assert capfd.readouterr().out.splitlines()[-1] == "== all checks passed"


def test_every_check_runs_even_if_earlier_ones_fail(tools: Tools, capfd: pytest.CaptureFixture[str]) -> None:
    tools.failing = {"--check", "mypy"}
    assert main([]) == 1
    assert len(tools.ran) == 8
    told = capfd.readouterr().out.splitlines()
    assert told == [
        "== ruff check",
        "== ruff format",
        "== mypy",
        "== lint-imports",
        "== trained model",
        "== vllm environment",
        "== pytest",
        "== pytest on vllm",
        "== failed: ruff format, mypy",
    ]


def test_checks_have_no_network_and_keep_the_users_variables() -> None:
    variables = environment({"PATH": os.defpath, "OMP_NUM_THREADS": "64"})
    assert variables == {"PATH": os.defpath, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
