"""Ending a worker and everything it started."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from run_processes import await_end

from modeltest.run.supervisor.worker_process import GRACE_S, has_ended, reap, stop

DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(99)"
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; print(flush=True); time.sleep(99)"],
                         stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
"""


def started(code: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)


def test_a_worker_that_does_not_end_is_killed_at_the_second_interrupt():
    with started(DEAF) as process:
        process.stdout.readline()
        begin = time.monotonic()
        interrupt = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        interrupt.start()
        with pytest.raises(KeyboardInterrupt):
            stop(process)
        assert process.returncode == -signal.SIGKILL
        assert time.monotonic() - begin < GRACE_S / 2


def test_what_a_worker_started_ends_with_it():
    with started(f"{PARENT}\ntime.sleep(99)") as process:
        grandchild = int(process.stdout.readline())
        assert stop(process) == -signal.SIGTERM
        await_end([grandchild])


def test_what_a_dead_worker_left_behind_is_ended():
    with started(f"{PARENT}\nsys.stdout.close(); import os; os._exit(3)") as process:
        grandchild = int(process.stdout.readline())
        while not has_ended(process):
            time.sleep(0.01)
        assert process.returncode is None  # seen, and its status still to be taken
        assert reap(process) == 3
        await_end([grandchild])


def test_a_stopped_worker_hears_that_it_should_end():
    with started("print(flush=True); import time; time.sleep(99)") as process:
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        assert stop(process) == -signal.SIGTERM
        assert time.monotonic() - begin < GRACE_S / 2


def test_ending_a_worker_that_has_ended_gives_its_status():
    with started("raise SystemExit(7)") as process:
        process.wait()
        assert has_ended(process)
        assert stop(process) == 7
