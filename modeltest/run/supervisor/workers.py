"""The worker processes of a supervisor: started, followed to the end of a run, and kept for the next one."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from modeltest.api import (
    Finding,
    GenerationOptions,
    HarnessTask,
    ModelTestError,
    Reusable,
    RunSpec,
    StartingRanks,
    TaskOptions,
)
from modeltest.cluster.place import TABLE_VARIABLE, node_of, node_variables
from modeltest.machine.shared_memory import SharedMemoryOf
from modeltest.run.nodes.ranks import worker_command
from modeltest.run.pipes.deadlines import EXIT_S, Deadlines, Limits
from modeltest.run.pipes.events import EventReader
from modeltest.run.pipes.next_runs import NextRunWriter
from modeltest.run.pipes.temporary_files import temporary_folder
from modeltest.run.pipes.variables import EVENTS, NEXT_RUNS, TRACE_FOLDER
from modeltest.run.planning.plan import Plan, can_go_on
from modeltest.run.record.directory import NEXT_FILE, PIPE_FILE
from modeltest.run.supervisor.engine_files import engine_files
from modeltest.run.supervisor.losses import WorkerEnd
from modeltest.run.supervisor.oom_killer import oom_kills
from modeltest.run.supervisor.stop_signals import check
from modeltest.run.supervisor.watch import Watch
from modeltest.run.supervisor.worker_process import has_ended, reap, start_worker, stop
from modeltest.start import without_current_directory

POLL_S = 0.2
"""How often a silent worker is checked for life."""

_LOOK_S = 1.0
"""How often a worker that loads is asked for its shared memory; it takes a few milliseconds."""


FREE_FIELDS: Mapping[type, frozenset[str]] = {
    RunSpec: frozenset(
        {
            "mode",
            "task",
            "split",
            "batch_sizes",
            "cases",
            "protocol",
            "seed",
            "subjects",
            "limit",
            "quick",
            "min_trials",
            "case_budget_s",
            "output_dir",
            "data_dir",
            "known_as",
        }
    ),
    TaskOptions: frozenset(
        {
            "shots",
            "context_tokens",
            "batch_ranges",
            "latency_limit_ms",
            "prefill_batch_size",
            "prefill_length",
            "prompt_source",
            "prompt_input",
            "logprobs",
            "logits",
            "lm_eval",
            "pack",
            "cut",
        }
    ),
    GenerationOptions: frozenset({"max_new_tokens", "input_texts", "input_file", "repeat", "stop"}),
}
"""What runs may differ in that share one loaded model: `Reusable.begin` is told of it, or no engine is.

Anything else asks for a load of its own, so that a field that is added to a spec does until it is named here.
What an engine makes variables of is in the key beside the fields.
"""

LoadKey = tuple[object, ...]


def load_key(plan: Plan) -> LoadKey | None:
    """Return what runs that can share one loaded model have in common; `None` when it cannot be shared.

    A run that samples begins where its seed says: only its equals share its worker.
    """
    if not isinstance(plan.engine, Reusable) or plan.spec.cluster is not None:
        return None
    spec, generation = plan.spec, plan.spec.options.generation
    seed = spec.seed if generation is not None and generation.sampling is not None else None
    written = tuple(plan.model.written.items())  # the fingerprint covers samples of the weights
    asked = tuple(_asked_of_load(spec))
    return plan.engine.name, plan.model.fingerprint, written, seed, *asked, *sorted(_of_plan(plan).items())


def _asked_of_load(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield every field that is not free, by its place in the spec; what has free fields, field by field."""
    for field in fields(value):
        if field.name in FREE_FIELDS.get(type(value), ()):
            continue
        inner = getattr(value, field.name)
        if type(inner) in FREE_FIELDS:
            yield from _asked_of_load(inner, f"{place}{field.name}.")
        elif inner is not None:
            yield f"{place}{field.name}", repr(inner)


class Workers:
    """At most one worker at a time. With a `place` for its pipes it is kept for runs that share its model."""

    def __init__(self, limits: Limits | None = None, *, place: Path | None = None) -> None:
        self.loads = 0
        """How often a model was loaded."""

        self._limits = limits or Limits()
        self._place = place
        self._kept: _Worker | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def run(self, plan: Plan, watch: Watch, log: IO[bytes], *, trace_folder: Path | None = None) -> WorkerEnd:
        """Have a worker carry out the run of `watch` as far as it goes, and return how that ended.

        One that writes profiler traces into `trace_folder` shares no worker.
        """
        check()
        loads_before = watch.loads
        worker = self._take(plan, watch, log, trace_folder)
        try:
            end = worker.follow(
                watch, Deadlines(self._limits, has_batches=can_go_on(plan.task) and node_of(plan.spec) == 0)
            )
        except BaseException:
            worker.close()
            raise
        finally:
            self.loads += watch.loads - loads_before
        if watch.is_free:
            self._kept = worker
        else:
            worker.close()
        return end

    def end(self) -> None:
        """Let the worker that is kept end, if there is one."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.dismiss()

    def _take(self, plan: Plan, watch: Watch, log: IO[bytes], trace_folder: Path | None) -> _Worker:
        """Return a worker for the run: the one that is kept if it has the model, or a new one."""
        key = load_key(plan) if self._place and trace_folder is None else None
        kept = self._kept
        watch.begin_worker()
        if kept is not None and kept.key == key and not has_ended(kept.process):
            self._kept = None
            kept.go_on(watch.directory)
            return kept
        self.end()
        keep = _Keep(key, self._place) if key and self._place else None
        return _Worker(plan, watch.directory, log, self._limits, keep=keep, trace_folder=trace_folder)


@dataclass(frozen=True, slots=True)
class _Keep:
    """A worker that is kept: for which runs, and where its pipes lie meanwhile."""

    key: LoadKey
    place: Path


class _Worker:
    """One process and the pipes to it."""

    def __init__(
        self,
        plan: Plan,
        directory: Path,
        log: IO[bytes],
        limits: Limits,
        *,
        keep: _Keep | None,
        trace_folder: Path | None,
    ) -> None:
        self.key = keep.key if keep else None
        self._next: NextRunWriter | None = None
        self._closing = ExitStack()
        with ExitStack() as opened:
            of_files = {
                **opened.enter_context(temporary_folder()),
                **opened.enter_context(engine_files(plan.engine, plan.spec, directory)),
            }
            pipe = (keep.place if keep else directory) / PIPE_FILE
            pipe.unlink(missing_ok=True)  # of a supervisor that was killed
            self._reader = EventReader(pipe)
            opened.callback(pipe.unlink, missing_ok=True)
            opened.callback(self._reader.close)
            own = {**of_files, TRACE_FOLDER: str(trace_folder or "")}
            variables = _environment(plan, pipe, own)
            if keep is not None:
                self._next = NextRunWriter(keep.place / NEXT_FILE)
                opened.callback(self._next.close)
                variables[NEXT_RUNS] = str(keep.place / NEXT_FILE)
            is_alone = isinstance(plan.engine, StartingRanks)
            command = worker_command(directory, plan.spec, limits, is_alone=is_alone)
            self._kills_before = oom_kills() or 0
            self.process = start_worker(command, variables, log)
            self._shared = SharedMemoryOf(self.process.pid)
            self._closing = opened.pop_all()

    def go_on(self, directory: Path) -> None:
        """Tell the process, which waits for it, to carry out the run in `directory`."""
        assert self._next is not None
        self._kills_before = oom_kills() or 0
        self._next.send(directory)

    def follow(self, watch: Watch, deadlines: Deadlines) -> WorkerEnd:
        """Take in events until the process has ended, is overdue, or is free for another run."""
        hang = self._follow(watch, deadlines)
        if not watch.is_free:
            self._shared.look()  # its ranks may live on until they are killed with it
        ended = None if watch.is_free else stop(self.process) if hang else reap(self.process)
        return WorkerEnd(
            status=ended or 0,
            hang=hang,
            was_oom_killed=(oom_kills() or 0) > self._kills_before,
            said=watch.failure,
            is_done=watch.is_done,
            is_started=watch.is_started,
            rank=watch.lost_rank,
        )

    def dismiss(self) -> None:
        """Let the process end, and end it if it does not."""
        assert self._next is not None
        try:
            self._next.send(None)
            deadline = time.monotonic() + EXIT_S
            while not has_ended(self.process) and time.monotonic() < deadline:
                select.select([self._reader], [], [], POLL_S)
                for _ in self._reader.read():
                    pass  # its heartbeat goes on
                time.sleep(0.01)
            stop(self.process)
        finally:
            self.close()

    def close(self) -> None:
        """End the process if it lives, and remove the pipes."""
        if self.process.returncode is None:
            reap(self.process)
        self._shared.remove()
        self._closing.close()

    def _follow(self, watch: Watch, deadlines: Deadlines) -> Finding | None:
        """Return what the process did not do in time; `None` when it has ended or is free."""
        next_look = time.monotonic()
        try:
            while not has_ended(self.process):
                # Not later: an engine that has loaded has no names left, and what runs then may be timed.
                if not watch.is_loaded and time.monotonic() >= next_look:
                    self._shared.look()
                    next_look = time.monotonic() + _LOOK_S
                if select.select([self._reader], [], [], POLL_S)[0]:
                    self._take_in(watch, deadlines)
                    time.sleep(0.01)  # an open pipe without a writer is always readable
                if watch.is_free:
                    return None
                check()
                deadlines.tick(time.monotonic())
                if hang := deadlines.overdue():
                    return hang
            self._take_in(watch, deadlines)
            watch.is_free = False  # it was, and has ended since
        except BaseException:
            self._shared.look()
            with suppress(KeyboardInterrupt):  # a second one only ends the patience
                stop(self.process)
            with suppress(ModelTestError):  # what is raised already says more
                self._take_in(watch, deadlines)
            raise
        return None

    def _take_in(self, watch: Watch, deadlines: Deadlines) -> None:
        for event in self._reader.read():
            deadlines.hear(event["event"], event.get("name", ""))
            watch.handle(event)


def _environment(plan: Plan, pipe: Path, own: Mapping[str, str]) -> dict[str, str]:
    # A folder such as transformers/ in the current directory must not stand in for the package.
    fixed = {"PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1", EVENTS: str(pipe)}
    found = {name: value for name, value in os.environ.items() if name != TABLE_VARIABLE}
    of_node = node_variables(plan.spec, plan.table, os.environ)
    return without_current_directory({**found, **own, **_of_plan(plan), **of_node, **fixed})


def _of_plan(plan: Plan) -> Mapping[str, str]:
    """Return the variables that the run asks for: what the task says comes before what the engine does."""
    of_task = plan.task.environment(plan.spec) if isinstance(plan.task, HarnessTask) else {}
    of_engine = plan.variables
    if of_engine is None:
        of_engine = plan.engine.environment(plan.spec, plan.model)
    return {**of_engine, **of_task}
