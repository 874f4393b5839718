"""Signals while reports are drawn: nothing is broken off in the middle, and nothing that was done is lost."""

import os
import shutil
import signal
import subprocess
import sys

import pytest
from run_processes import BOOLQ, read, resume, run, run_directory

from modeltest.run.supervisor.stop_signals import (
    Stopped,
    check,
    hold_signals,
    interrupt_behind,
    raise_signals,
)

pytest.importorskip("matplotlib")

# Signals arrive in the middle of matplotlib: at the first drawing, or at each of them.
SIGNALLED_RUN = """
import os, signal, sys
import matplotlib.figure
drawn, calls = matplotlib.figure.Figure.draw, []
def signalled(*words):
    calls.append(1)
    if len(calls) <= {times}:
        os.kill(os.getpid(), {number})
    return drawn(*words)
matplotlib.figure.Figure.draw = signalled
from modeltest.cli import main
sys.exit(main())
"""


def run_with_signals(output, number, *, times):
    script = SIGNALLED_RUN.format(number=int(number), times=times)
    return subprocess.run(
        [sys.executable, "-c", script, *BOOLQ, "--output", str(output)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    output = tmp_path_factory.mktemp("undisturbed")
    run(*BOOLQ, output=output)
    return run_directory(output)


def names(directory):
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_b7_a_signal_while_reports_are_drawn_waits_until_they_are_whole(
    tmp_path, undisturbed, number, status
):
    done = run_with_signals(tmp_path, number, times=1)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert "the reports are being written; the next signal leaves them out" in done.stderr
    assert done.stderr.splitlines()[-1] == "interrupted"
    directory = run_directory(tmp_path)
    result = read(directory)
    assert (result["status"], result["error"], result["verdict"]) == ("complete", None, "VALID")
    assert names(directory) == names(undisturbed)
    assert result["summary"] == read(undisturbed)["summary"]


def test_b7_a_second_signal_leaves_the_reports_out_and_resume_writes_them(tmp_path, undisturbed):
    done = run_with_signals(tmp_path, signal.SIGINT, times=99)
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    directory = run_directory(tmp_path)
    result = read(directory)
    assert (result["status"], result["error"]) == ("partial", "interrupted after 24 of 24 questions")
    assert "`modeltest run --resume" in done.stderr
    told = resume(directory).stderr
    assert "going on after 24 questions" in told
    assert read(directory)["status"] == "complete"
    assert read(directory)["summary"] == read(undisturbed)["summary"]
    assert set(names(directory)) == set(names(undisturbed))


def test_b7_an_interrupt_that_a_library_made_another_error_of_is_still_one(tmp_path, undisturbed):
    script = SIGNALLED_RUN.format(number=int(signal.SIGTERM), times=99).replace(
        "    return drawn", "        raise ValueError('Invalid bounding box')\n    return drawn"
    )
    shutil.copytree(undisturbed, tmp_path / "run")
    done = subprocess.run(
        [sys.executable, "-c", script, "report", str(tmp_path / "run")],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (143, False), done.stderr


INTERRUPTED_IMPORT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job has it ignored
class Interrupting:
    def find_spec(name, path=None, target=None):
        if name == "modeltest.cli.root":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting)
from modeltest.__main__ import main
sys.exit(main())
"""


def test_b7_ctrl_c_while_the_command_is_imported_ends_it_in_one_line():
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IMPORT], check=False, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_the_first_signal_is_kept_and_the_second_is_raised():
    with hold_signals() as signals:
        check()
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.number == signal.SIGTERM
        with signals.shielded():
            os.kill(os.getpid(), signal.SIGINT)
        assert not signals.is_hurried
        with pytest.raises(Stopped) as kept:
            check()
        assert kept.value.number == signal.SIGTERM
        with pytest.raises(Stopped) as raised:
            os.kill(os.getpid(), signal.SIGHUP)
        assert raised.value.number == signal.SIGHUP
        assert signals.is_hurried


def test_a_block_inside_another_shares_its_signals_and_the_handlers_come_back():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with raise_signals(), hold_signals() as outer:
        with hold_signals() as inner:
            os.kill(os.getpid(), signal.SIGINT)
        assert inner is outer
        assert outer.interrupt is not None
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]


def test_an_interrupt_is_found_behind_what_was_made_of_it():
    problem = ValueError("a library's own")
    problem.__context__ = KeyError()
    problem.__context__.__cause__ = Stopped(signal.SIGTERM)
    assert interrupt_behind(problem).number == signal.SIGTERM
    assert interrupt_behind(ValueError()) is None


def test_a_first_signal_is_answered_aloud_only_where_there_is_an_answer(capfd):
    for answer in ("", "reports are written"):
        with hold_signals() as held, held.answering(answer):
            os.kill(os.getpid(), signal.SIGTERM)
        assert held.number == signal.SIGTERM
        assert capfd.readouterr().err == (f"{answer}\n" if answer else "")


def test_what_a_program_does_at_a_request_to_end_stays_but_ctrl_c_stops_the_run():
    seen = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda arrived, _: seen.append(arrived))
    try:
        with hold_signals() as held:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
        assert held.number == signal.SIGINT
        assert seen == [signal.SIGTERM]
        os.kill(os.getpid(), signal.SIGINT)
        assert seen == [signal.SIGTERM, signal.SIGINT]
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def test_a_signal_that_is_ignored_stays_ignored():
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with hold_signals() as held:
            os.kill(os.getpid(), signal.SIGHUP)
        assert held.number is None
    finally:
        signal.signal(signal.SIGHUP, former)
