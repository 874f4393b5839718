"""From whatever happens inside a command to one line and an exit status."""

import os
import signal
import subprocess
import sys

import pytest

from modeltest import cli
from modeltest.cli import main

COMMAND = [sys.executable, "-m", "modeltest"]


@pytest.fixture(autouse=True)
def signal_handlers():
    """Give pytest its handlers back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run(command, stdout):
    return subprocess.run(command, check=False, stdout=stdout, stderr=subprocess.PIPE, text=True)


def raising(problem):
    def command(**_):
        raise problem

    return command


def test_an_error_is_one_line_and_its_status(capsys):
    assert main(["fake", "sample_BoolQ", "4", "llama"]) == 2
    assert capsys.readouterr().err.startswith("error: word 5 is missing")


def test_a_defect_is_told_apart_from_an_invalid_run(monkeypatch, capsys):
    monkeypatch.setattr(cli.root, "main", raising(ZeroDivisionError("oh")))
    assert main(["list", "tasks"]) == 70
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-1] == "error: internal error: ZeroDivisionError: oh"


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_the_command_with_128_and_its_number(number, status, monkeypatch, capsys):
    monkeypatch.setattr(
        cli.root.get_command(None, "list"), "callback", lambda **_: os.kill(os.getpid(), number)
    )
    assert main(["list", "tasks"]) == status
    assert capsys.readouterr().err.strip() == "interrupted"


def test_a_terminal_that_is_gone_does_not_hide_the_signal(monkeypatch):
    monkeypatch.setattr(
        cli.root.get_command(None, "list"), "callback", lambda **_: os.kill(os.getpid(), signal.SIGHUP)
    )
    with open("/dev/full", "w", buffering=1) as full:  # noqa: PTH123
        monkeypatch.setattr("sys.stderr", full)
        assert main(["list", "tasks"]) == 128 + signal.SIGHUP
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())  # what is left in its buffer


def test_a_full_disk_behind_standard_output_is_one_line():
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = run([*COMMAND, "list", "tasks"], stdout=full)
    assert done.returncode == 3
    assert done.stderr == "error: cannot write the output: No space left on device\n"


def test_a_reader_that_goes_away_is_no_invalid_run():
    reader, writer = os.pipe()
    os.close(reader)
    done = run([*COMMAND, "list", "models"], stdout=writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")
