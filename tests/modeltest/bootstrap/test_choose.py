from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fake_site import Site

from modeltest.bootstrap import choose
from modeltest.bootstrap.choose import Route, ready_interpreter, route
from modeltest.bootstrap.installed import Installation
from modeltest.bootstrap.messages import NotReady

HERE = Installation(Path("/checkout"), is_this_checkout=True, is_complete=True)
HERE_LACKING = Installation(Path("/checkout"), is_this_checkout=True, is_complete=False)
OTHER = Installation(Path("/elsewhere"), is_this_checkout=False, is_complete=True)
OTHER_LACKING = Installation(Path("/elsewhere"), is_this_checkout=False, is_complete=False)


@pytest.mark.parametrize(
    ("found", "has_torch", "checking", "expected"),
    [
        (HERE, True, False, Route.AS_IS),
        (HERE, False, True, Route.AS_IS),
        (HERE_LACKING, False, False, Route.IN_PLACE),
        (OTHER, True, False, Route.AS_IS),
        (OTHER, True, True, Route.VENV),
        (OTHER_LACKING, False, False, Route.VENV),
        (OTHER_LACKING, True, False, Route.IN_PLACE),
        (None, True, False, Route.IN_PLACE),
        (None, True, True, Route.IN_PLACE),
        (None, False, False, Route.VENV),
    ],
)
def test_route(found: Installation | None, has_torch: bool, checking: bool, expected: Route) -> None:
    assert route(found, has_torch=has_torch, in_our_venv=False, checking=checking) is expected


@pytest.mark.parametrize("found", [None, HERE, HERE_LACKING, OTHER])
def test_python_of_our_own_environment_is_kept_up_by_its_stamp(found: Installation | None) -> None:
    assert route(found, has_torch=True, in_our_venv=True, checking=False) is Route.VENV


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What would have been installed where."""
    done: list[str] = []

    def in_place(root: Path, extras: frozenset[str]) -> None:
        done.append(f"in place {sorted(extras)}")

    def venv(root: Path, place: Path, extras: frozenset[str]) -> Path:
        done.append(f"venv {place.name} {sorted(extras)}")
        return place / "bin" / "python"

    monkeypatch.setattr(choose, "complete_this_python", in_place)
    monkeypatch.setattr(choose, "make_ready", venv)
    monkeypatch.delenv("MODELTEST_PYTHON", raising=False)
    return done


def test_installed_modeltest_is_used_without_any_extra(
    root: Path,
    site: Site,
    calls: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    site.add_editable(root)
    site.add("click", "8.5.1")
    site.be_all_there_is(monkeypatch)
    assert ready_interpreter(root, root / ".venv", {"hf"}) == Path(sys.executable)
    assert calls == []
    assert capsys.readouterr() == ("", "")


def test_checks_need_the_development_tools_too(
    root: Path, site: Site, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add_editable(root)
    site.add("click", "8.5.1")
    site.be_all_there_is(monkeypatch)
    ready_interpreter(root, root / ".venv", {"hf", "dev"})
    assert calls == ["in place ['dev', 'hf']"]


def test_modeltest_from_elsewhere_is_named(
    root: Path,
    site: Site,
    calls: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    site.add("llm-modeltest", "0.0.9")
    (site.folder / "modeltest").mkdir()
    (site.folder / "modeltest" / "__init__.py").touch()
    site.be_all_there_is(monkeypatch)
    ready_interpreter(root, root / ".venv", {"hf"})
    told = capsys.readouterr().err
    assert told == f"run.sh: using the ModelTest installed in {site.folder}, not this checkout\n"
    assert calls == []


def test_torch_without_modeltest_is_completed_in_place(
    root: Path, site: Site, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.add("torch", "2.1.0")
    site.be_all_there_is(monkeypatch)
    assert ready_interpreter(root, root / ".venv", {"hf"}) == Path(sys.executable)
    assert calls == ["in place ['hf']"]


def test_bare_python_gets_a_virtual_environment(
    root: Path, site: Site, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.be_all_there_is(monkeypatch)
    assert ready_interpreter(root, root / ".venv", {"hf"}) == root / ".venv" / "bin" / "python"
    assert calls == ["venv .venv ['hf']"]


def foreign(root: Path, script: str) -> Path:
    """Make a virtual environment of somebody else whose Python is `script`."""
    venv = root / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").touch()
    python = venv / "bin" / "python"
    python.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    python.chmod(0o755)
    return venv


def test_somebody_elses_environment_that_is_complete_is_used_without_starting_it(
    root: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv = foreign(root, "exit 9")
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    packages = Site(venv / "lib" / version / "site-packages")
    packages.add_editable(root)
    for name, found in [
        ("click", "8.5"),
        ("torch", "2.1"),
        ("transformers", "4.44"),
        ("sentencepiece", "0.2"),
    ]:
        packages.add(name, found)
    site.be_all_there_is(monkeypatch)
    assert ready_interpreter(root, venv, {"hf"}) == venv / "bin" / "python"


@pytest.mark.parametrize(("extras", "word"), [({"hf"}, ""), ({"hf", "dev"}, "test")])
def test_somebody_elses_environment_completes_itself(
    root: Path, site: Site, monkeypatch: pytest.MonkeyPatch, extras: set[str], word: str
) -> None:
    venv = foreign(root, 'printf "%s|" "$PWD" "$@" > words')
    site.be_all_there_is(monkeypatch)
    ready_interpreter(root, venv, extras)
    words = (root / "words").read_text(encoding="utf-8")
    assert words == f"{root}|-m|modeltest.bootstrap|--complete-this|{word}|"


def test_somebody_elses_environment_that_cannot_be_completed_is_named(
    root: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    venv = foreign(root, "exit 3")
    site.be_all_there_is(monkeypatch)
    with pytest.raises(NotReady, match="MODELTEST_VENV"):
        ready_interpreter(root, venv, {"hf"})


def test_environment_of_another_version_than_asked_for_is_mentioned(
    root: Path,
    site: Site,
    calls: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (root / ".venv" / "lib" / "python3.1" / "site-packages").mkdir(parents=True)
    site.be_all_there_is(monkeypatch)
    monkeypatch.setenv("MODELTEST_PYTHON", sys.executable)
    ready_interpreter(root, root / ".venv", {"hf"})
    assert "another version than MODELTEST_PYTHON" in capsys.readouterr().err
