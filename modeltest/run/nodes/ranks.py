"""Starting the ranks of this machine: one worker process each, under torchrun.

Started by the supervisor with RUN_DIRECTORY and SECONDS, this process is torchrun
and adds what that lacks: a port nobody else has, the roll call of several nodes, each rank's share of the
processors, an exit status that is rank 0's, and a report of a rank that was killed or a node that was lost.
With `nodes.py` it is the only part of the core that needs torch, in a process of its own.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modeltest.api import EngineError, ModelTestError, PrerequisiteError, RunResult, RunSpec
from modeltest.cluster.launch_lines import WORKER_MODULE, torchrun_words
from modeltest.cluster.place import Place, place_of
from modeltest.cluster.rank_table import RankTable, read_rank_table
from modeltest.machine.ports import is_free, no_port_error, ports_to_try
from modeltest.machine.rank_messages import SECRET_VARIABLE, fresh_secret, shared_secret
from modeltest.plain.contracts import to_plain
from modeltest.run.nodes.nodes import Card, NodeEnd, Nodes, call_roll, open_store
from modeltest.run.nodes.rank_store import serve
from modeltest.run.pipes.deadlines import RUNNING_PHASE, Limits
from modeltest.run.pipes.events import EventWriter
from modeltest.run.pipes.variables import EVENTS
from modeltest.run.record.directory import read_result
from modeltest.start import python_command
from modeltest.version import __version__

RANKS_VARIABLE = "MODELTEST_RANKS"
"""Set where torchrun started the worker for this run: a `RANK` of the user's shell is no sign of that."""

SHUTDOWN_S = 5
"""How long ranks that are asked to end may take before they are killed: the supervisor waits longer."""

LOOPBACK = "127.0.0.1"

_DONE_ALONE = 79
_SIGNALLED = 128
_PR_SET_PDEATHSIG = 1

_OWN_TO_A_NODE = ("weights", "output_dir", "data_dir", "lora", "engine_python")
"""Fields of a spec that name places of one machine."""


@dataclass(frozen=True, slots=True)
class RankEnd:
    """How one rank failed; `status` as `subprocess` has it: minus the signal for one that was killed."""

    rank: int | None
    """`None`: the launcher was asked to end, and all ranks with it."""

    status: int
    time_s: int = 0
    """When torchrun noticed it."""

    problem: str = ""
    """What the rank said of it."""

    def __str__(self) -> str:
        if self.rank is None:
            return "it was stopped"
        if self.status >= 0:
            return f"its rank {self.rank}: {self.problem or f'status {self.status}'}"
        return f"its rank {self.rank} was killed by {signal.Signals(-self.status).name}"


def worker_command(directory: Path, spec: RunSpec, limits: Limits, *, is_alone: bool = False) -> list[str]:
    """Return the command that carries out the run in `directory`, or this node's part of it.

    A worker that `is_alone` is one process for all ranks, and starts what it needs for them.
    """
    if spec.world_size == 1 or is_alone:
        return python_command(WORKER_MODULE, str(directory), python=spec.engine_python)
    patience = f"{limits.node_s:g}"
    return python_command("modeltest.run.nodes.ranks", str(directory), patience, python=spec.engine_python)


def own_rank() -> int:
    """Return the rank of this worker process; a worker that is alone is rank 0."""
    return int(os.environ["RANK"]) if has_launcher() else 0


def has_launcher() -> bool:
    """Say whether torchrun started this worker, beside others."""
    return RANKS_VARIABLE in os.environ


def end_with_launcher() -> None:
    """Let the kernel end this rank with the process that started it: torchrun gives it its own session."""
    if has_launcher() and sys.platform == "linux":
        launcher = int(os.environ[RANKS_VARIABLE])
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != launcher:  # it had died before
            os.kill(os.getpid(), signal.SIGKILL)


def tell_launcher(problem: str) -> None:
    """Write why this rank ends into the error file that torchrun reads, so that other nodes know too."""
    path = os.environ.get("TORCHELASTIC_ERROR_FILE")
    if has_launcher() and path:
        with suppress(OSError):
            Path(path).write_text(json.dumps({"message": problem, "timestamp": int(time.time())}))


def status_without_ranks() -> int:
    """Return the status of a rank 0 that is done without the others: torchrun then ends them."""
    return _DONE_ALONE if has_launcher() else 0


def rank_environment(environment: Mapping[str, str], local_size: int, *, cpus: int) -> dict[str, str]:
    """Return the variables of every rank; threads are shared out unless their number is set."""
    return {
        "OMP_NUM_THREADS": environment.get("OMP_NUM_THREADS") or str(max(1, cpus // local_size)),
        RANKS_VARIABLE: str(os.getpid()),
    }


def main(arguments: list[str]) -> int:
    """Run the ranks of this machine and return rank 0's exit status, or that of a rank that failed alone."""
    directory, patience_s = Path(arguments[0]), float(arguments[1])
    events = EventWriter(os.environ.get(EVENTS))
    try:
        result = read_result(directory)
        _require_torchrun(result.spec.world_size)
        place = place_of(result.spec, os.environ)
        if place is not None:
            nodes = _gather(place, result, events, patience_s)
            secret = nodes.store.seal.derived("ranks", ())
            end = _take_leave(nodes, _run_torchrun(place, directory, secret), events)
            if end is None and not place.is_first:
                events.send("done")
        else:
            place, store = _alone(result.spec)
            end = _run_torchrun(place, directory, fresh_secret())
            del store  # the port is held until here
    except ModelTestError as problem:
        sys.stderr.write(f"{problem}\n")
        events.send("error", type=type(problem).__name__, message=str(problem))
        return problem.exit_code
    if end is None:
        return 0
    if end.status < 0:
        events.send("lost", rank=end.rank)
    return _end_like(end)


def decisive(ends: list[RankEnd]) -> RankEnd:
    """Return the end that explains the others: of a rank that was killed, else of the lowest.

    When a rank is killed, the others fail because they lose contact with it. When one fails, torchrun ends
    the others with SIGTERM and, after `SHUTDOWN_S`, with SIGKILL.
    """
    first_s = min(end.time_s for end in ends)
    own = [end for end in ends if end.time_s < first_s + SHUTDOWN_S - 1 and end.status != -signal.SIGTERM]
    killed = [end for end in own if end.status < 0]
    return min(killed or own or ends, key=lambda end: end.rank or 0)


def facts_of(result: RunResult, table: RankTable) -> dict[str, Any]:
    """Return what must be the same on every node: all that is asked but the places of one machine."""
    spec = result.spec
    assert spec.cluster is not None
    same = replace(spec, cluster=replace(spec.cluster, rank_table="", rank_start=0))
    asked = {name: value for name, value in to_plain(same).items() if name not in _OWN_TO_A_NODE}
    return {
        "ModelTest": __version__,
        "engine plug-in": result.adapter,
        "weights (fingerprint)": result.model.fingerprint,
        "rank table": to_plain(table),
        **asked,
    }


def _require_torchrun(world_size: int) -> None:
    """Refuse several ranks where torch does not import: it may be missing, or a package that it loads broken.

    Raises: PrerequisiteError.
    """
    try:
        import torch.distributed.run  # noqa: F401
    except Exception as problem:  # torch_npu without CANN raises ImportError, RuntimeError or OSError
        reason = " ".join(f"{type(problem).__name__}: {problem}".split())
        raise PrerequisiteError(
            f"{world_size} ranks are started by torchrun, which does not import ({reason:.300}): install "
            "torch, source set_env.sh of CANN where that is missing, or give 1 chip"
        ) from problem


def _alone(spec: RunSpec) -> tuple[Place, Any]:
    """Return the place of a run's only machine, and the store that holds its port.

    The port is taken, not looked for: of two runs that begin at once each has its own.

    Raises: SpecError, PrerequisiteError.
    """
    for port in ports_to_try(os.environ):
        place = Place(0, 1, spec.world_size, LOOPBACK, port)
        if is_free(port):
            try:
                return place, serve(LOOPBACK, port)
            except (OSError, RuntimeError):
                continue  # another run was faster
    raise no_port_error(os.environ)


def _gather(place: Place, result: RunResult, events: EventWriter, patience_s: float) -> Nodes:
    """Return the nodes of the run when all are there.

    Raises: RollCallError, SpecError, PrerequisiteError.
    """
    assert result.spec.cluster is not None
    table = read_rank_table(result.spec.cluster.rank_table)
    addresses = [server.address for server in table.servers]
    waited_for = "the other nodes" if place.is_first else "node 0"
    events.send("phase", name=f"waiting for {waited_for} at {place.master_address}:{place.port}")
    secret = shared_secret(os.environ, place.nodes)
    store = open_store(place, table, secret, patience_s=patience_s)
    card = Card.of_this(place, facts_of(result, table))
    store = call_roll(store, place, card, addresses, patience_s=patience_s)
    nodes = Nodes(place, addresses, store)
    nodes.watch()
    if not place.is_first:  # nobody else here has anything to say
        events.send("phase", name=RUNNING_PHASE)
        events.start_heartbeat()
    return nodes


def _take_leave(nodes: Nodes, end: RankEnd | None, events: EventWriter) -> RankEnd | None:
    """Tell the other nodes how the ranks here ended and return it, or what it was because of another node."""
    if nodes.is_over:
        end = None
    nodes.say_end(NodeEnd(None) if end is None else NodeEnd(str(end), was_killed=end.status < 0))
    was_asked = end is not None and end.rank is None and nodes.lost is None
    if end is not None and end.status >= 0 and not was_asked and (explanation := nodes.explain()):
        events.send("node_lost", message=explanation.text, is_certain=explanation.is_certain)
        end = RankEnd(end.rank, EngineError.exit_code)
    nodes.leave()
    return end


def _run_torchrun(place: Place, directory: Path, secret: str) -> RankEnd | None:
    """Run the ranks of this machine and return how one failed, or `None` when all went well.

    `secret` is what they know each other by.
    """
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    torchrun: Any = run  # it has no types
    os.environ.update(rank_environment(os.environ, place.local_size, cpus=_cpus()))
    os.environ[SECRET_VARIABLE] = secret
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", str(SHUTDOWN_S))
    try:
        torchrun.run(torchrun.parse_args(torchrun_words(place, str(directory))))
    except ChildFailedError as problem:
        sys.stderr.write(f"{problem}\n")
        end = decisive(
            [
                RankEnd(rank, failure.exitcode, failure.timestamp, _said_in(failure.error_file_data))
                for rank, failure in problem.failures.items()
            ]
        )
        return None if end.status == _DONE_ALONE else end
    except SignalException as asked_to_end:
        return RankEnd(None, _SIGNALLED + int(asked_to_end.sigval))
    return None


def _said_in(error_file: Mapping[str, Any]) -> str:
    """Return what `tell_launcher` wrote; torchrun has an entry of its own where nothing was written."""
    return str(error_file["message"]) if "timestamp" in error_file else ""


def _end_like(end: RankEnd) -> int:
    """Return the status of `end`; one that was killed is followed by the same signal."""
    if end.status >= 0:
        return end.status
    if -end.status not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(-end.status, signal.SIG_DFL)
    os.kill(os.getpid(), -end.status)
    return _SIGNALLED - end.status


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
