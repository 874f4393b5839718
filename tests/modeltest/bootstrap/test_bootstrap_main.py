from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from modeltest.bootstrap import __main__ as command
from modeltest.bootstrap.messages import NotReady

CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, Path, set[str]]]:
    calls: list[tuple[Path, Path, set[str]]] = []

    def ready(root: Path, venv: Path, extras: frozenset[str]) -> Path:
        calls.append((root, venv, set(extras)))
        return Path("/made/bin/python")

    monkeypatch.setattr(command, "ready_interpreter", ready)
    monkeypatch.delenv("MODELTEST_VENV", raising=False)
    return calls


@pytest.mark.parametrize(
    ("words", "extras"),
    [
        ([], {"endpoint", "hf", "report"}),
        (["quickstart"], {"endpoint", "hf", "report"}),
        (["test"], {"dev", "endpoint", "hf", "report"}),
        ([""], {"endpoint", "hf", "report"}),
    ],
)
def test_only_the_checks_ask_for_the_development_tools(
    asked: list[tuple[Path, Path, set[str]]],
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    extras: set[str],
) -> None:
    assert command.main(words) == 0
    assert asked == [(CHECKOUT, CHECKOUT / ".venv", extras)]
    assert capsys.readouterr() == ("/made/bin/python\n", "")


def test_environment_may_lie_elsewhere(
    asked: list[tuple[Path, Path, set[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELTEST_VENV", "/some where/env")
    command.main([])
    assert asked[0][1] == Path("/some where/env")


@pytest.mark.parametrize(("problem", "status"), [(NotReady("no pip here"), 3), (KeyboardInterrupt(), 130)])
def test_problem_is_one_message_and_a_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], problem: BaseException, status: int
) -> None:
    def fail(*_: object) -> None:
        raise problem

    monkeypatch.setattr(command, "ready_interpreter", fail)
    assert command.main(["quickstart"]) == status
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("run.sh: ")
    assert len(told.err.splitlines()) == 1


def test_environment_of_somebody_else_completes_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls: list[tuple[Path, set[str]]] = []
    monkeypatch.setattr(
        command, "complete_this_python", lambda root, extras: calls.append((root, set(extras)))
    )
    assert command.main([command.COMPLETE_THIS, "test"]) == 0
    assert command.main([command.COMPLETE_THIS, ""]) == 0
    assert calls == [
        (CHECKOUT, {"dev", "endpoint", "hf", "report"}),
        (CHECKOUT, {"endpoint", "hf", "report"}),
    ]
    assert capsys.readouterr().out == ""


def test_bootstrap_needs_nothing_but_the_standard_library() -> None:
    """Isolated, without site-packages: what a bare Python has."""
    code = (
        f"import sys; sys.path.insert(0, {str(CHECKOUT)!r});"
        "import modeltest.bootstrap.__main__;"
        "print(sorted({'torch', 'click', 'rich', 'packaging', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
