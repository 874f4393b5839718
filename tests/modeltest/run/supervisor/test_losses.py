import signal

import pytest

from modeltest.api import (
    DatasetError,
    DeviceError,
    EngineError,
    Finding,
    FindingCode,
    ModelTestError,
    OutOfMemory,
    SpecError,
)
from modeltest.findings import sentence
from modeltest.run.supervisor.losses import (
    Flight,
    WorkerEnd,
    describe,
    failure_of,
    interruption,
    may_be_reloaded,
    succeeded,
)

AFTER_THREE = Finding(FindingCode.AFTER_SOME, {"done": 3, "total": None, "unit": "trials"})
SILENT = Finding(FindingCode.NO_HEARTBEAT, {"limit_s": 9.0})
KILLED = WorkerEnd(-signal.SIGKILL, is_started=True)
OOM_KILLED = WorkerEnd(-signal.SIGKILL, was_oom_killed=True, is_started=True)
HUNG = WorkerEnd(-signal.SIGTERM, hang=SILENT, is_started=True)
TRIAL = Flight(batch=("0/8/1",))
AGAIN = Flight(batch=("0/8/1",), is_retry=True)


@pytest.mark.parametrize(
    "end",
    [
        KILLED,
        HUNG,
        WorkerEnd(-signal.SIGSEGV),
        WorkerEnd(5, said=DeviceError("gone"), is_started=True),
        WorkerEnd(1, is_started=True),  # torchrun says 1 of a rank that was killed
    ],
)
def test_a_signal_a_hang_and_a_device_error_are_worth_another_worker(end):
    assert may_be_reloaded(end)


@pytest.mark.parametrize(
    "end",
    [
        WorkerEnd(1),  # not even started
        *(
            WorkerEnd(error.exit_code, said=error("no"), is_started=True)
            for error in (SpecError, DatasetError, EngineError, OutOfMemory)
        ),
        WorkerEnd(70, said=ModelTestError("internal error: ZeroDivisionError"), is_started=True),
    ],
)
def test_an_error_that_would_come_again_is_not(end):
    assert not may_be_reloaded(end)


def test_work_is_done_when_the_worker_says_so_however_it_exits():
    assert succeeded(WorkerEnd(0, is_done=True))
    assert succeeded(WorkerEnd(-signal.SIGSEGV, is_done=True))
    assert succeeded(
        WorkerEnd(-signal.SIGKILL, hang=Finding(FindingCode.NO_EXIT, {"limit_s": 60.0}), is_done=True)
    )
    assert not succeeded(WorkerEnd(0, is_started=True))


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (KILLED, "was killed by SIGKILL"),
        (OOM_KILLED, "was killed by SIGKILL (the kernel's out-of-memory killer)"),
        (WorkerEnd(-99), "was killed by signal 99"),
        (HUNG, "hung: no heartbeat for 9 s"),
        (WorkerEnd(3), "ended with status 3"),
        (WorkerEnd(5, said=DeviceError("bus")), "ended with an error of the device: bus"),
    ],
)
def test_what_happened_is_said(end, text):
    assert sentence(describe(end, AFTER_THREE)) == f"the worker {text} after 3 trials"


def lost(end, flight):
    return interruption(end, flight, time="t", done=3, where=AFTER_THREE)


def test_a_trial_is_tried_again_after_the_first_loss():
    found = lost(KILLED, TRIAL)
    assert found.suspects == ("0/8/1",)
    assert not found.given_up
    assert found.reason == "the worker was killed by SIGKILL after 3 trials"
    assert found.reason_code == describe(KILLED, AFTER_THREE)
    assert sentence(describe(KILLED, AFTER_THREE), "zh") == "在完成 3 次测量之后工作进程被 SIGKILL 终止"
    assert found.done == 3


def test_a_trial_the_kernel_killed_for_want_of_memory_is_not_tried_again():
    found = lost(OOM_KILLED, TRIAL)
    assert (found.given_up, found.out_of_memory) == (True, True)


def test_a_trial_that_was_killed_twice_does_not_fit():
    found = lost(KILLED, AGAIN)
    assert (found.given_up, found.out_of_memory) == (True, True)


@pytest.mark.parametrize("end", [HUNG, WorkerEnd(-signal.SIGSEGV), WorkerEnd(5, said=DeviceError("bus"))])
def test_a_trial_that_hung_or_crashed_twice_failed_and_is_not_called_out_of_memory(end):
    found = lost(end, AGAIN)
    assert (found.given_up, found.out_of_memory) == (True, False)


def test_a_hung_worker_that_had_to_be_killed_is_not_out_of_memory():
    end = WorkerEnd(-signal.SIGKILL, hang=SILENT, was_oom_killed=True)
    assert not lost(end, TRIAL).given_up


def test_questions_in_flight_are_counted_while_nobody_knows_which_it_was():
    found = lost(OOM_KILLED, Flight(taken=8))
    assert (found.in_flight, found.suspects, found.given_up) == (8, (), False)


def test_a_batch_asked_alone_that_ends_a_worker_again_is_given_up():
    found = lost(KILLED, Flight(taken=8, batch=("q1", "q2"), is_retry=True))
    assert (found.in_flight, found.suspects, found.given_up) == (0, ("q1", "q2"), True)


def test_the_error_has_the_status_a_shell_would_see():
    failure = failure_of(KILLED, where=AFTER_THREE, hint="h")
    assert failure.exit_code == 137
    assert str(failure) == "the worker was killed by SIGKILL after 3 trials; h"
    assert failure.finding == Finding(
        FindingCode.WITH_HINT, {"about": describe(KILLED, AFTER_THREE), "hint": "h"}
    )
    assert failure_of(WorkerEnd(3), where=AFTER_THREE, hint="").exit_code == 3
    assert failure_of(WorkerEnd(0), where=AFTER_THREE, hint="").exit_code == ModelTestError.exit_code
    assert failure_of(HUNG, where=AFTER_THREE, hint="").exit_code == EngineError.exit_code


@pytest.mark.parametrize(
    "number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE]
)
def test_a_library_that_crashes_is_an_error_of_the_engine(number):
    failure = failure_of(WorkerEnd(-number), where=AFTER_THREE, hint="h")
    assert failure.exit_code == 5
    assert str(failure) == f"the worker was killed by {number.name} after 3 trials; h"


def test_an_error_that_was_reported_is_raised_as_it_is():
    problem = SpecError("wrong word")
    assert failure_of(WorkerEnd(2, said=problem), where=AFTER_THREE, hint="h") is problem
