"""The interpreter of an engine gets what ModelTest needs there, whatever else is wrong with it is said."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fake_site import Site

from modeltest.bootstrap import __main__ as command
from modeltest.bootstrap import engine_python, in_place
from modeltest.bootstrap.engine_python import (
    ENGINE_ALONE,
    complete_engine_python,
    complete_this_engine_python,
)
from modeltest.bootstrap.in_place import COMPLETE_THIS
from modeltest.bootstrap.messages import NotReady

NAMES_IT = "MODELTEST_ENGINE_PYTHON or --engine-python names it"
ENGINE = {"torch": "2.13.0", "vllm": "0.32.0", "transformers": "5.19.0", "click": "7.0"}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """What pip would have been asked for, without the file of constraints."""
    asked: list[list[str]] = []

    def pip(python: str, words: list[str], *, root: Path, what: str) -> None:
        assert python == sys.executable
        asked.append(list(words[2:] if words[0] == "-c" else words))

    monkeypatch.setattr(in_place, "pip_install", pip)
    monkeypatch.setattr(in_place, "_lock_file", lambda: tmp_path / "lock")
    return asked


@pytest.fixture
def engine_site(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    for name, version in ENGINE.items():
        site.add(name, version)
    site.be_all_there_is(monkeypatch)
    return site


def _script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_only_what_has_no_version_there_is_added_and_no_extra(
    root: Path, engine_site: Site, installed: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "pyproject.toml").write_text(
        (root / "pyproject.toml").read_text().replace('"click>=8.1"', '"click>=8.1", "jsonlines>=4.0"')
    )
    complete_this_engine_python(root)
    assert installed[0][0] == "jsonlines>=4.0"
    assert not any("click" in word or "sentencepiece" in word for words in installed for word in words)
    assert installed[-1] == ["--no-deps", "-e", "."]
    assert "left as it is: click 7.0 (asked for: >=8.1)" in capsys.readouterr().err


def test_nothing_is_done_where_this_checkout_is_whole(
    root: Path, engine_site: Site, installed: list[list[str]]
) -> None:
    (root / "pyproject.toml").write_text(
        (root / "pyproject.toml").read_text().replace(", \"tomli>=2.0; python_version < '3.0'\"", "")
    )
    engine_site.add_editable(root)
    complete_this_engine_python(root)
    assert installed == []


def test_a_whole_modeltest_of_another_place_is_left_there(
    root: Path,
    engine_site: Site,
    installed: list[list[str]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "modeltest").mkdir(parents=True)
    (elsewhere / "modeltest" / "__init__.py").touch()
    engine_site.add_editable(elsewhere)
    complete_this_engine_python(root)
    assert installed == []
    assert f"{sys.executable} keeps its own ModelTest, in {elsewhere}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ("nothing", f"nothing cannot be started: No such file or directory; {NAMES_IT}"),
        ("text", f"text cannot be started: Exec format error; {NAMES_IT}"),
        ("talks", f"talks is no Python; {NAMES_IT}"),
        ("old", f"old is Python 3.9; engines need 3.10 or newer; {NAMES_IT}"),
        ("fails", f"fails could not be completed; {NAMES_IT}"),
    ],
)
def test_what_cannot_be_completed_is_named(made: str, told: str, root: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    (tmp_path / "text").chmod(0o755)
    _script(tmp_path / "talks", "echo hello")
    _script(tmp_path / "old", "printf 3.9")
    _script(tmp_path / "fails", "case $1 in -I) printf 3.11 ;; *) exit 3 ;; esac")
    with pytest.raises(NotReady) as raised:
        complete_engine_python(root, tmp_path / made)
    assert str(raised.value) == f"{tmp_path}/{told}"


def test_one_that_does_not_answer_is_given_up(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_python, "_START_S", 0.2)
    with pytest.raises(NotReady, match=r"hangs did not answer within 0\.2 s"):
        complete_engine_python(root, _script(tmp_path / "hangs", "exec sleep 300"))


def test_it_is_asked_to_complete_itself_from_this_checkout(root: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    text = f'case $1 in -I) printf 3.11 ;; *) printf "%s|" "$PWD" "$@" > {notes} ;; esac'
    complete_engine_python(root, _script(tmp_path / "python", text))
    assert notes.read_text().split("|")[:-1] == [
        str(root),
        "-m",
        "modeltest.bootstrap",
        COMPLETE_THIS,
        ENGINE_ALONE,
    ]


@pytest.mark.parametrize(
    ("words", "completed"),
    [(["hf"], True), (["accuracy"], True), ([], False), (["test"], False), ([""], True)],
)
def test_commands_complete_it_and_the_checks_do_not(
    words: list[str], completed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[Path] = []
    monkeypatch.setattr(command, "ready_interpreter", lambda *_: Path(sys.executable))
    monkeypatch.setattr(command, "complete_engine_python", lambda _, python: done.append(python))
    monkeypatch.setenv("MODELTEST_ENGINE_PYTHON", "~/env/bin/python")
    assert command.main(words) == 0
    assert done == [Path("~/env/bin/python").expanduser()] * completed


def test_the_word_for_an_engine_completes_the_running_python_without_extras(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[Path] = []
    monkeypatch.setattr(command, "complete_this_engine_python", done.append)
    assert command.main([COMPLETE_THIS, ENGINE_ALONE]) == 0
    assert len(done) == 1
