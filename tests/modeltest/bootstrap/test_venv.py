from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from modeltest.bootstrap import venv as venv_module
from modeltest.bootstrap.messages import NotReady
from modeltest.bootstrap.pip import CommandFailed
from modeltest.bootstrap.venv import STAMP, State, digest_of, make_ready, state_of


class Installer:
    """Stands in for `python -m venv` and pip."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        self.log.write_text("ERROR: no network", encoding="utf-8")
        self.done: list[str] = []
        self.pip_fails = False
        self.venv_fails = False

    def run_logged(
        self, command: Sequence[str], *, cwd: Path, what: str, environment: Mapping[str, str]
    ) -> None:
        if self.venv_fails:
            raise CommandFailed(what, self.log)
        assert command[1:3] == ["-m", "venv"]
        self.done.append("venv")
        binaries = Path(command[3]) / "bin"
        binaries.mkdir()
        (binaries / "python").symlink_to(os.path.realpath(sys.executable))

    def pip_install(self, python: str, words: Sequence[str], *, root: Path, what: str, in_venv: bool) -> None:
        assert in_venv
        assert Path(python).exists()
        self.done.append(" ".join(words))
        if self.pip_fails:
            raise CommandFailed(what, self.log)


@pytest.fixture
def installer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installer:
    stand_in = Installer(tmp_path)
    monkeypatch.setattr(venv_module, "run_logged", stand_in.run_logged)
    monkeypatch.setattr(venv_module, "pip_install", stand_in.pip_install)
    return stand_in


RUN = "-c constraints.txt -e .[hf]"
CHECK = "-c constraints.txt -e .[dev,hf]"


def test_environment_is_made_under_the_constraints(root: Path, installer: Installer) -> None:
    assert make_ready(root, root / ".venv", {"hf"}) == root / ".venv" / "bin" / "python"
    assert installer.done == ["venv", RUN]


def test_made_environment_is_used_again(root: Path, installer: Installer) -> None:
    make_ready(root, root / ".venv", {"hf"})
    make_ready(root, root / ".venv", {"hf"})
    assert installer.done == ["venv", RUN]


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_are_installed_again(root: Path, installer: Installer, name: str) -> None:
    make_ready(root, root / ".venv", {"hf"})
    with (root / name).open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    make_ready(root, root / ".venv", {"hf"})
    assert installer.done == ["venv", RUN, RUN]


def test_another_extra_is_added_and_kept(root: Path, installer: Installer) -> None:
    make_ready(root, root / ".venv", {"hf"})
    make_ready(root, root / ".venv", {"dev", "hf"})
    make_ready(root, root / ".venv", {"hf"})
    (root / "constraints.txt").write_text("click==8.5.2\n", encoding="utf-8")
    make_ready(root, root / ".venv", {"hf"})
    assert installer.done == ["venv", RUN, CHECK, CHECK]


def test_environment_that_was_cut_off_is_made_anew(root: Path, installer: Installer) -> None:
    venv = root / ".venv"
    make_ready(root, venv, {"hf"})
    (venv / STAMP).write_text("", encoding="utf-8")
    (venv / "lib").mkdir()
    (venv / "lib" / "half.py").touch()
    (venv / "lib64").symlink_to("lib")
    make_ready(root, venv, {"hf"})
    assert installer.done == ["venv", RUN, "venv", RUN]
    assert sorted(entry.name for entry in venv.iterdir()) == ["bin", STAMP]


def test_first_installation_that_failed_is_made_anew(root: Path, installer: Installer) -> None:
    installer.pip_fails = True
    with pytest.raises(CommandFailed, match="no network"):
        make_ready(root, root / ".venv", {"hf"})
    installer.pip_fails = False
    make_ready(root, root / ".venv", {"hf"})
    assert installer.done == ["venv", RUN, "venv", RUN]


def test_later_installation_that_failed_keeps_the_environment(root: Path, installer: Installer) -> None:
    make_ready(root, root / ".venv", {"hf"})
    (root / "constraints.txt").write_text("click==8.5.2\n", encoding="utf-8")
    installer.pip_fails = True
    with pytest.raises(CommandFailed):
        make_ready(root, root / ".venv", {"hf"})
    installer.pip_fails = False
    make_ready(root, root / ".venv", {"hf"})
    assert installer.done == ["venv", RUN, RUN, RUN]


def test_environment_whose_python_is_gone_is_made_anew(root: Path, installer: Installer) -> None:
    make_ready(root, root / ".venv", {"hf"})
    (root / ".venv" / "bin" / "python").unlink()
    make_ready(root, root / ".venv", {"hf"})
    assert installer.done == ["venv", RUN, "venv", RUN]


def test_environment_whose_python_was_replaced_is_made_anew(
    root: Path, installer: Installer, tmp_path: Path
) -> None:
    make_ready(root, root / ".venv", {"hf"})
    newer = tmp_path / "python3.99"
    newer.touch()
    (root / ".venv" / "bin" / "python").unlink()
    (root / ".venv" / "bin" / "python").symlink_to(newer)
    make_ready(root, root / ".venv", {"hf"})
    assert installer.done == ["venv", RUN, "venv", RUN]


def test_environment_of_a_moved_checkout_is_installed_again(root: Path, installer: Installer) -> None:
    make_ready(root, root / ".venv", {"hf"})
    moved = root.with_name("moved")
    root.rename(moved)
    make_ready(moved, moved / ".venv", {"hf"})
    assert installer.done == ["venv", RUN, RUN]


def test_missing_venv_module_is_explained(root: Path, installer: Installer) -> None:
    installer.venv_fails = True
    with pytest.raises(NotReady, match="python3-venv"):
        make_ready(root, root / ".venv", {"hf"})


def test_environment_of_somebody_else_is_not_touched(root: Path, installer: Installer) -> None:
    venv = root / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").touch()
    (venv / "bin" / "python").touch()
    assert make_ready(root, venv, {"hf"}) is None
    assert installer.done == []
    assert not (venv / STAMP).exists()


def test_folder_that_is_no_environment_is_never_emptied(root: Path, installer: Installer) -> None:
    with pytest.raises(NotReady, match="not a working virtual environment"):
        make_ready(root, root, {"hf"})
    assert (root / "pyproject.toml").exists()
    assert installer.done == []


def test_file_in_the_place_of_the_environment_is_refused(root: Path, installer: Installer) -> None:
    (root / ".venv").touch()
    with pytest.raises(NotReady, match="not a working virtual environment"):
        make_ready(root, root / ".venv", {"hf"})


def test_empty_folder_is_taken(root: Path, installer: Installer) -> None:
    (root / ".venv").mkdir()
    make_ready(root, root / ".venv", {"hf"})
    assert installer.done == ["venv", RUN]


def test_run_that_waited_for_the_lock_finds_the_work_done(
    root: Path, installer: Installer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_ready(root, root / ".venv", {"hf"})
    monkeypatch.setattr(venv_module, "state_of", lambda *_: State.HALF_MADE)
    make_ready(root, root / ".venv", {"hf"})
    assert installer.done == ["venv", RUN]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"digest": "x"}', '{"digest": "x", "extras": 1}'])
def test_torn_stamp_means_half_made(root: Path, text: str) -> None:
    venv = root / ".venv"
    venv.mkdir()
    (venv / STAMP).write_text(text, encoding="utf-8")
    assert state_of(venv, frozenset({"hf"}), digest_of(root)) is State.HALF_MADE


def test_stamp_says_what_was_installed(root: Path, installer: Installer) -> None:
    make_ready(root, root / ".venv", {"dev", "hf"})
    stamp = json.loads((root / ".venv" / STAMP).read_text(encoding="utf-8"))
    assert stamp == {
        "digest": digest_of(root),
        "extras": ["dev", "hf"],
        "interpreter": os.path.realpath(sys.executable),
    }
