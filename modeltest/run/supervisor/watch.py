"""What a supervisor learns of its workers, event by event."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from modeltest.api import (
    DatasetInfo,
    DeviceError,
    EngineError,
    EngineInfo,
    EngineUsage,
    Finding,
    FindingCode,
    Interruption,
    ModelInfo,
    ModelTestError,
    RankLost,
    RunResult,
    error_by_name,
)
from modeltest.cluster.place import node_of
from modeltest.plain.contracts import from_plain
from modeltest.run.pipes.events import Event
from modeltest.run.planning.trust import resume_command
from modeltest.run.record.directory import write_result
from modeltest.run.supervisor.losses import Flight
from modeltest.run.supervisor.progress import Progress


class Watch:
    """Follows the events of a run's workers and keeps `run.json` up to date with them."""

    def __init__(self, directory: Path, result: RunResult, progress: Progress, *, done: int = 0) -> None:
        self.directory = directory
        self.result = result
        self.progress = progress
        self.done = done
        """Questions or trials in the journal."""

        self.loads = 0
        """How often a model was loaded for the run."""

        self.where = Finding(FindingCode.BEFORE_FIRST_BATCH)
        """How far the run has come, as the end of a sentence."""
        if done:
            self._note_done(None, "questions or trials")
        self.begin_worker()

    def begin_worker(self) -> None:
        """Forget what belongs to one worker: another is started."""
        self.failure: ModelTestError | None = None
        self.lost_rank: int | None = None
        self.is_started = self.is_loaded = self.is_done = self.is_free = False
        self._flight = Flight()
        self._done_before: int | None = None

    @property
    def flight(self) -> Flight:
        """What the worker has begun and not finished; `taken` counts only what is not answered."""
        answered = self.done - (self._done_before or 0)
        return replace(self._flight, taken=max(0, self._flight.taken - answered))

    def handle(self, event: Event) -> None:
        """Take in one event; what a reader of `run.json` should see at once is written."""
        self.is_started = True
        handler = getattr(self, f"_take_{event['event']}", None)
        if handler is not None:
            handler(event)

    def interrupt(self, interruption: Interruption) -> None:
        """Record that the run was stopped before its end."""
        interruptions = (*self.result.interruptions, interruption)
        self.result = replace(self.result, interruptions=interruptions)
        write_result(self.directory, self.result)

    def _take_loaded(self, event: Event) -> None:
        engine = from_plain(EngineInfo, event["engine"])
        self.is_loaded = True
        self.loads += event["is_new"]
        if self.result.engine is None:
            for line in (describe_engine(engine), *describe_abilities(engine)):
                self.progress.line(line)
        self.result = replace(self.result, engine=engine, model=_named(self.result.model, engine))
        write_result(self.directory, self.result)

    def _take_dataset(self, event: Event) -> None:
        self.result = replace(self.result, dataset=from_plain(DatasetInfo, event["dataset"]))

    def _take_findings(self, event: Event) -> None:
        findings = tuple(from_plain(Finding, each) for each in event["findings"])
        self.result = replace(self.result, findings=findings)

    def _take_usage(self, event: Event) -> None:
        self.result = replace(self.result, usage=from_plain(EngineUsage, event["usage"]))

    def _take_timing(self, event: Event) -> None:
        timing_s = {**self.result.timing_s, event["name"]: event["seconds"]}
        self.result = replace(self.result, timing_s=timing_s)

    def _take_phase(self, event: Event) -> None:
        self.progress.phase(event["name"])

    def _take_note(self, event: Event) -> None:
        self.progress.line(event["text"])

    def _take_in_flight(self, event: Event) -> None:
        self._flight = Flight(event["taken"], tuple(event["batch"]), event["is_retry"])

    def _take_progress(self, event: Event) -> None:
        self.done = event["done"]
        if self._done_before is None:
            self._done_before = self.done
            self.progress.start(self.done)
        self.progress.update(self.done, event["total"], event["unit"], event.get("note", ""))
        self._flight = Flight(self._flight.taken)
        if self.done:
            self._note_done(event["total"] or None, event["unit"])

    def _note_done(self, total: int | None, unit: str) -> None:
        self.where = Finding(FindingCode.AFTER_SOME, {"done": self.done, "total": total, "unit": unit})

    def _take_error(self, event: Event) -> None:
        failure = error_by_name(event["type"])(event["message"])
        # A device that failed on one rank explains what the others say after it.
        is_explained = isinstance(self.failure, DeviceError)
        if self.failure is None or not (is_explained or isinstance(failure, RankLost)):
            self.failure = failure

    def _take_lost(self, event: Event) -> None:
        self.lost_rank = event["rank"]
        if isinstance(self.failure, RankLost):  # what others say of a rank that was killed
            self.failure = None

    def _take_node_lost(self, event: Event) -> None:
        if event["is_certain"] or self.failure is None or isinstance(self.failure, RankLost):
            message = event["message"]
            if node_of(self.result.spec) == 0:  # which has the journal
                message += (
                    f"; `{resume_command(self.directory, self.result.spec)}` goes on from there, on the "
                    "other nodes the same command again"
                )
            self.failure = EngineError(message)

    def _take_done(self, _event: Event) -> None:
        self.is_done = True

    def _take_free(self, _event: Event) -> None:
        self.is_free = True


def describe_engine(engine: EngineInfo) -> str:
    """Return one line on the engine, device and versions really used."""
    versions = ", ".join(f"{name} {version}" for name, version in engine.versions.items())
    used = f"engine {engine.engine} on {engine.device}{_ranks(engine)} in {engine.dtype}"
    return f"{used} ({versions})" if versions else used


def describe_abilities(engine: EngineInfo) -> Iterator[str]:
    """Yield what a server was found to be capable of, as lines of a table."""
    if engine.abilities:
        yield f"asked what it can, {engine.served.name if engine.served else 'the server'} showed:"
    width = max((len(each.name) for each in engine.abilities), default=0)
    for each in engine.abilities:
        yield f"  {each.name:{width}}  {_ANSWERS[each.is_there]:3}  {each.seen}"
    for name, seen in engine.lacking.items():
        yield f"  not here: {name} ({seen})"


def utc_now() -> str:
    """Return the time as `run.json` has it."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


_ANSWERS = {True: "yes", False: "no", None: "?"}


def _named(model: ModelInfo, engine: EngineInfo) -> ModelInfo:
    """Return the model by what its server calls it, unless its user gave it a name."""
    if engine.served is None or model.identity:
        return model
    return replace(model, identity=engine.served.name)


def _ranks(engine: EngineInfo) -> str:
    if engine.ranks is None:
        return ""
    ranks = engine.ranks
    shared = [f"{ranks.replicas} replicas"] if ranks.replicas > 1 else []
    shared += [f"split over {ranks.split} ranks"] if ranks.split > 1 else []
    return f", {', each '.join(shared)} ({ranks.backend}),"
