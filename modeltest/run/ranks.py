"""Starting the ranks of a run: one worker process each, under torchrun.

Started by the supervisor as `python -m modeltest.run.ranks N RUN_DIRECTORY`, this process is torchrun and
adds what that lacks: each rank's share of the processors, an exit status that is rank 0's, and word of a rank
that was killed. It is the only part of the core that needs torch, in a process of its own.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeltest.run.events import VARIABLE, EventWriter

RANKS_VARIABLE = "MODELTEST_RANKS"
"""Tells a worker that torchrun started it for us: a `RANK` in the user's environment means nothing."""

SHUTDOWN_S = 5
"""How long ranks that are asked to end may take before they are killed: the supervisor waits longer."""

_DONE_ALONE = 79
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class RankEnd:
    """How one rank failed; `status` as `subprocess` has it: minus the signal for one that was killed."""

    rank: int
    status: int
    time_s: int = 0
    """When torchrun noticed it."""


def worker_command(directory: Path, world_size: int) -> list[str]:
    """Return the command that carries out the run in `directory` with `world_size` ranks."""
    if world_size == 1:
        return [sys.executable, "-m", "modeltest.run.worker", str(directory)]
    return [sys.executable, "-m", "modeltest.run.ranks", str(world_size), str(directory)]


def own_rank() -> int:
    """Return the rank of this worker process; a worker that is alone is rank 0."""
    return int(os.environ["RANK"]) if RANKS_VARIABLE in os.environ else 0


def end_with_launcher() -> None:
    """Let the kernel end this rank with the process that started it: torchrun gives it its own session."""
    if RANKS_VARIABLE in os.environ and sys.platform == "linux":
        launcher = int(os.environ[RANKS_VARIABLE])
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != launcher:  # it had died before
            os.kill(os.getpid(), signal.SIGKILL)


def status_without_ranks() -> int:
    """Return the status of a rank 0 that is done without the others: torchrun then ends them."""
    return _DONE_ALONE if RANKS_VARIABLE in os.environ else 0


def rank_environment(environment: Mapping[str, str], world_size: int, *, cpus: int) -> dict[str, str]:
    """Return the variables of every rank; threads are shared out unless their number is set."""
    return {
        "OMP_NUM_THREADS": environment.get("OMP_NUM_THREADS") or str(max(1, cpus // world_size)),
        RANKS_VARIABLE: str(os.getpid()),
    }


def main(arguments: list[str]) -> int:
    """Run the ranks and return rank 0's exit status, or that of a rank that failed alone."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    torchrun: Any = run  # it has no types
    world_size, directory = int(arguments[0]), arguments[1]
    events = EventWriter(os.environ.get(VARIABLE))
    os.environ.update(rank_environment(os.environ, world_size, cpus=_cpus()))
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(SHUTDOWN_S))
    try:
        torchrun.run(torchrun.parse_args(_torchrun_arguments(world_size, directory)))
    except ChildFailedError as problem:
        sys.stderr.write(f"{problem}\n")
        end = decisive(
            [RankEnd(rank, failure.exitcode, failure.timestamp) for rank, failure in problem.failures.items()]
        )
        if end.status < 0:
            events.send("lost", rank=end.rank)
        return 0 if end.status == _DONE_ALONE else _end_like(end)
    except SignalException as asked_to_end:
        return 128 + int(asked_to_end.sigval)
    return 0


def decisive(ends: list[RankEnd]) -> RankEnd:
    """Return the end that explains the others: of a rank that was killed, else of the lowest.

    When a rank is killed, the others fail because they lose contact with it. When one fails, torchrun ends
    the others with SIGTERM and, after `SHUTDOWN_S`, with SIGKILL.
    """
    first_s = min(end.time_s for end in ends)
    own = [end for end in ends if end.time_s < first_s + SHUTDOWN_S - 1 and end.status != -signal.SIGTERM]
    killed = [end for end in own if end.status < 0]
    return min(killed or own or ends, key=lambda end: end.rank)


def _torchrun_arguments(world_size: int, directory: str) -> list[str]:
    return [
        *("--nnodes", "1", "--nproc-per-node", str(world_size)),
        # A port that is free is found; the name of this machine need not be known to any server.
        *("--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "--rdzv-id", str(os.getpid())),
        *("--local-addr", "127.0.0.1", "--max-restarts", "0"),
        *("-m", "modeltest.run.worker", directory),
    ]


def _end_like(end: RankEnd) -> int:
    """Return the status of `end`; one that was killed is followed by the same signal."""
    if end.status >= 0:
        return end.status
    if -end.status not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(-end.status, signal.SIG_DFL)
    os.kill(os.getpid(), -end.status)
    return 128 - end.status


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
