import io

import pytest

from modeltest.run.supervisor import progress
from modeltest.run.supervisor.progress import BarProgress, LineProgress, Silence, aloud, progress_for, told


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0

        def perf_counter(self):
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_a_log_gets_a_line_every_ten_seconds_and_one_at_the_end(clock, capsys):
    lines = LineProgress()
    lines.phase("running")
    for second in range(1, 31):
        clock.now = float(second)
        lines.update(second * 10, 300, "questions", "")
    lines.close()
    assert capsys.readouterr().err.splitlines() == [
        "running ...",
        "100/300 questions, 10.0/s, 0:20 left",
        "200/300 questions, 10.0/s, 0:10 left",
        "300/300 questions, 10.0/s",
    ]


def test_work_of_unknown_length_is_counted(clock, capsys):
    lines = LineProgress()
    clock.now = 11.0
    lines.update(3, None, "trials", "64x32 batch 8 warmup")
    assert capsys.readouterr().err == "3 trials (64x32 batch 8 warmup)\n"


def test_a_rate_is_told_only_after_a_second(clock, capsys):
    lines = LineProgress()
    clock.now = 0.0001
    lines.update(24, 24, "questions", "")
    assert capsys.readouterr().err == "24/24 questions\n"


def test_a_rate_is_never_told_in_powers_of_ten(clock, capsys):
    lines = LineProgress()
    clock.now = 10.0
    lines.update(12345, 12345, "questions", "")
    assert capsys.readouterr().err == "12345/12345 questions, 1234/s\n"


class ClosedTerminal(io.StringIO):
    def isatty(self):
        return True

    def write(self, _text=""):
        raise OSError(5, "Input/output error")

    flush = write


@pytest.mark.parametrize("kind", [LineProgress, BarProgress])
def test_a_closed_terminal_does_not_end_the_run(kind, monkeypatch):
    monkeypatch.setattr("sys.stderr", ClosedTerminal())
    shown = kind()
    shown.line("one")
    shown.phase("loading")
    shown.phase("running")
    shown.update(1, 1, "questions", "")
    shown.close()


def test_long_waits_are_told_in_minutes(clock, capsys):
    lines = LineProgress()
    clock.now = 10.0
    lines.update(10, 1000, "questions", "")
    assert "16:30 left" in capsys.readouterr().err


def test_a_terminal_gets_a_bar_that_goes_away(capsys):
    bar = progress_for(True)
    assert isinstance(bar, BarProgress)
    bar.line("said [before] the bar")
    bar.phase("loading")
    bar.phase("running")
    bar.update(1, 2, "questions", "")
    bar.update(2, None, "trials", "")
    bar.close()
    assert "said [before] the bar" in capsys.readouterr().err


def test_anything_else_gets_lines():
    assert isinstance(progress_for(False), LineProgress)


def test_what_an_earlier_worker_did_tells_nothing_of_the_rate(clock, capsys):
    lines = LineProgress()
    lines.phase("running")
    lines.start(100)
    clock.now = 10.0
    lines.update(120, 140, "questions", "")
    assert capsys.readouterr().err.splitlines()[-1] == "120/140 questions, 2.0/s, 0:10 left"


def test_who_does_not_want_to_be_told_hears_nothing(capfd):
    silent = told(is_told=False)
    silent.phase("running")
    silent.start(0)
    silent.update(1, 2, "questions", "")
    silent.line("said")
    silent.close()
    assert capfd.readouterr() == ("", "")
    assert (aloud(silent, "now"), aloud(LineProgress(), "now")) == ("", "now")


def test_a_program_without_standard_error_may_ask_to_be_told(monkeypatch):
    monkeypatch.setattr(progress.sys, "stderr", None)
    assert isinstance(told(is_told=True), LineProgress)
    assert isinstance(told(is_told=False), Silence)
