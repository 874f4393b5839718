"""CI brings its browser along where it can, and runs the checks in any case."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ("bash", "dirname", "cat")
"""What the scripts need beside the stand-ins."""


class Machine:
    """A machine made of stand-ins: each writes down how it was called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls_file = folder / "calls.txt"
        self.bin = folder / "bin"
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(str(shutil.which(tool)))
        self.command("id", "echo 0")
        self.command("timeout", 'shift; exec "$@"')
        self.checkout = folder / "checkout"
        shutil.copytree(ROOT / ".ci", self.checkout / ".ci")
        (self.checkout / "run.sh").write_text(
            f'echo "run.sh $*" >> {self.calls_file}; echo "CI=$CI"; exit 7\n'
        )

    def command(self, name: str, body: str = ":") -> None:
        path = self.bin / name
        path.write_text(
            f'#!/bin/bash\n[[ {name} == apt-get ]] && echo "{name} $*" >> {self.calls_file}\n{body}\n'
        )
        path.chmod(0o755)

    def run(self, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.bin / "bash"), str(self.checkout / ".ci" / "run")],
            env={"PATH": str(self.bin), **variables},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def last_words(calls: list[str]) -> list[str]:
    return [
        " ".join(word for word in call.split() if not word.startswith(("-", "Acquire", "DPkg")))
        for call in calls
    ]


def test_a_missing_browser_is_downloaded_then_installed_then_the_checks_run(machine: Machine) -> None:
    machine.command("apt-get")
    done = machine.run()
    assert last_words(machine.calls()) == [
        "apt-get update",
        "apt-get install chromium",
        "apt-get install chromium",
        "run.sh test",
    ]
    downloading, installing = machine.calls()[1:3]
    assert "--download-only" in downloading
    assert "--no-download" in installing
    assert "Chromium was installed" in done.stdout
    assert done.returncode == 7, "the exit status is that of the checks"
    assert "CI=true" in done.stdout, "no test is left out for want of a network"


@pytest.mark.parametrize("name", ["chromium", "google-chrome"])
def test_a_browser_that_is_here_is_left_alone(machine: Machine, name: str) -> None:
    machine.command("apt-get")
    machine.command(name)
    assert f"{name} is installed" in machine.run().stdout
    assert machine.calls() == ["run.sh test"]


@pytest.mark.parametrize("failing", ["update", "--download-only", "--no-download"])
def test_without_a_network_the_checks_run_all_the_same(machine: Machine, failing: str) -> None:
    machine.command("apt-get", f'[[ " $* " != *" {failing} "* ]]')
    done = machine.run()
    assert machine.calls()[-1] == "run.sh test"
    assert "Chromium could not be installed" in done.stdout
    assert done.returncode == 7


def test_who_is_not_root_installs_nothing(machine: Machine) -> None:
    machine.command("apt-get")
    machine.command("id", "echo 1000")
    assert "takes root" in machine.run().stdout
    assert machine.calls() == ["run.sh test"]


def test_a_machine_without_apt_installs_nothing(machine: Machine) -> None:
    assert "apt-get" in machine.run().stdout
    assert machine.calls() == ["run.sh test"]


def test_a_browser_that_is_named_is_not_second_guessed(machine: Machine) -> None:
    machine.command("apt-get")
    machine.run(MODELTEST_CHROMIUM="")
    assert machine.calls() == ["run.sh test"]


def test_the_scripts_look_for_the_same_names_as_the_tests() -> None:
    from page_watch import NAMES

    assert f"for name in {' '.join(NAMES)}; do" in (ROOT / ".ci" / "install_chromium").read_text()


def test_the_scripts_are_executable() -> None:
    assert all(os.access(ROOT / ".ci" / name, os.X_OK) for name in ("run", "install_chromium"))
