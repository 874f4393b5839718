"""A run from Python: silent, restorable, and the same as that of the command."""

import asyncio
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import modeltest
from modeltest.api import AccuracySummary, ModelTestError, RunStatus, SpecError, Verdict
from modeltest.options.asked import asked_by_words

BOOLQ = {"task": "boolq", "split": "sample", "engine": "fake", "model": "none", "limit": 5}
SLOW = {"task": "boolq", "split": "sample", "engine": "fake", "model": "none", "batch_size": 1}
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in SIGNALS]


def children() -> list[str]:
    """Return the processes that this one has started and that have not been waited for."""
    path = Path(f"/proc/{os.getpid()}/task")
    return [pid for task in path.iterdir() for pid in (task / "children").read_text().split()]


def test_a_run_is_returned_with_its_files_and_nothing_is_printed(tmp_path, capfd):
    before = handlers()
    run = modeltest.evaluate(**BOOLQ, output=tmp_path)
    assert capfd.readouterr() == ("", "")
    assert run.directory.parent == tmp_path
    assert (run.directory / "accuracy.json").is_file()
    assert run.status == RunStatus.COMPLETE
    assert isinstance(run.summary, AccuracySummary)
    assert run.summary.micro.total == 5
    assert handlers() == before
    assert modeltest.load_run(run.directory).summary == run.summary


def test_the_command_in_its_record_asks_for_the_same_again(tmp_path):
    run = modeltest.evaluate(**BOOLQ, output=tmp_path)
    assert run.result.command is not None
    program, name, *words = shlex.split(run.result.command)
    assert (program, name) == ("modeltest", "accuracy")
    assert asked_by_words(name, words) == modeltest.spec_of(**BOOLQ, output=tmp_path)


def test_progress_is_told_when_it_is_asked_for(tmp_path, capfd):
    run = modeltest.evaluate(**BOOLQ, output=tmp_path, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert f"run directory {run.directory}" in err


def test_a_run_with_a_bad_verdict_is_returned(tmp_path):
    run = modeltest.evaluate(**BOOLQ, output=tmp_path, engine_option="fail_every=1")
    assert run.verdict is Verdict.INVALID
    assert run.reasons


def test_a_timed_run_has_its_trials(tmp_path):
    run = modeltest.evaluate(
        "performance",
        case=(8, 4),
        batch_size=[1, 2],
        engine="fake",
        model="none",
        quick=True,
        output=tmp_path,
    )
    assert set(run.trials["batch_size"]) == {1, 2}
    assert run.token_latency["token_index"].max() == 3


def test_wrong_options_make_no_directory(tmp_path):
    with pytest.raises(SpecError, match="no option 'batchsize'"):
        modeltest.evaluate(**BOOLQ, output=tmp_path, batchsize=4)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_run_is_raised_and_can_be_read(tmp_path):
    with pytest.raises(ModelTestError, match="goes on from there"):
        modeltest.evaluate(**BOOLQ, batch_size=1, output=tmp_path, engine_option="crash_after=1")
    (directory,) = tmp_path.iterdir()
    assert modeltest.load_run(directory).status == RunStatus.FAILED


def interrupted(tmp_path, number=signal.SIGINT):
    """Return what a run raises that gets a signal once three questions are answered."""

    over = threading.Event()

    def send() -> None:
        while sum(path.read_bytes().count(b"\n") for path in tmp_path.glob("*/samples.jsonl")) < 3:
            if over.wait(0.01):
                return  # the run has failed: nobody is left to interrupt
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        with pytest.raises(modeltest.RunInterrupted) as raised:
            modeltest.evaluate(
                **SLOW, output=tmp_path, engine_option=["sleep=yes", "prefill_ms_per_token=0.1"]
            )
    finally:
        over.set()
        thread.join()
    return raised.value


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_worker_and_leaves_a_run_to_go_on_with(tmp_path, capfd, number):
    before, started_earlier = handlers(), set(children())
    stopped = interrupted(tmp_path, number)
    assert isinstance(stopped, KeyboardInterrupt)
    assert str(stopped.directory) in str(stopped)
    assert handlers() == before
    assert set(children()) <= started_earlier  # such as a browser that other tests share
    assert capfd.readouterr() == ("", "")
    begun = modeltest.load_run(stopped.directory)
    assert begun.status == RunStatus.PARTIAL
    asked = len(begun.samples)
    assert asked >= 3
    whole = modeltest.evaluate(resume=stopped.directory)
    assert whole.directory == stopped.directory
    assert whole.status == RunStatus.COMPLETE
    assert whole.samples["request_id"].is_unique
    assert whole.samples["request_id"].tolist()[:asked] == begun.samples["request_id"].tolist()


def test_going_on_refuses_options_that_ask_for_something_else(tmp_path):
    run = modeltest.evaluate(**BOOLQ, output=tmp_path)
    with pytest.raises(SpecError, match=r"asks for something else: .*seed"):
        modeltest.evaluate(**BOOLQ, seed=9, resume=run.directory)
    assert modeltest.evaluate(**BOOLQ, resume=run.directory).summary == run.summary


def test_what_is_no_run_cannot_be_gone_on_with(tmp_path):
    with pytest.raises(SpecError, match=r"is not a run: it has no run\.json"):
        modeltest.evaluate(resume=tmp_path)


def test_a_thread_may_run_and_leaves_the_handlers_alone(tmp_path):
    found = []
    before = handlers()
    during = []

    def work() -> None:
        found.append(modeltest.evaluate(**BOOLQ, output=tmp_path))

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        during.append(handlers())
        time.sleep(0.05)
    assert found[0].status == RunStatus.COMPLETE
    assert all(each == before for each in during)


def test_it_runs_inside_a_running_event_loop(tmp_path):
    async def cell() -> modeltest.Run:
        before = handlers()
        run = modeltest.evaluate(**BOOLQ, output=tmp_path)
        assert handlers() == before
        return run

    assert asyncio.run(cell()).status == RunStatus.COMPLETE


def test_ctrl_c_inside_an_event_loop_stops_the_run(tmp_path):
    async def cell() -> Path:
        return interrupted(tmp_path).directory

    assert modeltest.load_run(asyncio.run(cell())).status == RunStatus.PARTIAL


def test_a_program_keeps_its_own_answer_to_a_request_to_end(tmp_path):
    seen = []
    former = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    try:
        thread = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM))
        thread.start()
        run = modeltest.evaluate(**BOOLQ, output=tmp_path)
        thread.join()
    finally:
        signal.signal(signal.SIGTERM, former)
    assert seen == [signal.SIGTERM]
    assert run.status == RunStatus.COMPLETE


def test_nothing_of_an_engine_is_imported_into_the_program(tmp_path):
    script = (
        "import sys, modeltest\n"
        f"modeltest.evaluate(**{BOOLQ!r}, output={str(tmp_path)!r})\n"
        "print(sorted({'torch', 'transformers', 'pandas'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"
