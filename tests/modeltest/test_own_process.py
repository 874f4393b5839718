"""Work in a process of its own: whatever that does, its starter goes on with a reason."""

import pytest

from modeltest.api import EngineError
from modeltest.own_process import OwnProcess, ProcessEnded, ProcessLimits

WORK = """
import os, time
from modeltest.api import EngineError
def prepare():
    print("libraries greet")
class PanicException(BaseException):
    pass
def answer(request):
    if request == "loop":
        while True: pass
    if request == "memory":
        return len(bytearray(1 << 40))
    if request == "crash":
        os.abort()
    if request == "panic":
        raise PanicException("called `Option::unwrap()` on a `None` value")
    if request == "refuse":
        raise EngineError("it is damaged")
    if request == "sleep":
        time.sleep(1000)
    print("noise")
    return [request, "done"]
"""
ENOUGH = ProcessLimits(cpu_s=60, memory_bytes=1 << 30)


@pytest.fixture
def process(tmp_path, monkeypatch):
    (tmp_path / "work_of_a_test.py").write_text(WORK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with OwnProcess("work_of_a_test") as started:
        yield started


def test_it_answers_as_often_as_it_is_asked_and_raises_what_the_work_raises(process):
    assert process.ask({"a": 1}, ENOUGH) == [{"a": 1}, "done"]
    with pytest.raises(EngineError, match=r"^it is damaged$"):
        process.ask("refuse", ENOUGH)
    with pytest.raises(ProcessEnded, match="PanicException: called `Option::unwrap"):
        process.ask("panic", ENOUGH)
    with pytest.raises(ProcessEnded, match="needs more memory than any such file does"):
        process.ask("memory", ENOUGH)
    assert process.ask(2, ENOUGH) == [2, "done"]


@pytest.mark.parametrize(
    ("asked", "limits", "reason"),
    [
        ("crash", ENOUGH, r"a library crashed over it \(SIGABRT\)"),
        ("loop", ProcessLimits(cpu_s=0.2, memory_bytes=1 << 30), "more processor time than any such file"),
        ("sleep", ProcessLimits(cpu_s=0.05, memory_bytes=1 << 30), "it was not done in"),
    ],
)
def test_what_ends_it_is_told_and_ends_nothing_else(process, asked, limits, reason):
    with pytest.raises(ProcessEnded, match=reason):
        process.ask(asked, limits)


def test_a_module_that_cannot_be_imported_ends_it(tmp_path):
    with OwnProcess("no_such_module_of_a_test") as process, pytest.raises(ProcessEnded, match="status 1"):
        process.ask(1, ENOUGH)
