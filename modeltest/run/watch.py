"""What a supervisor learns of its worker, event by event."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from modeltest.api import (
    DatasetInfo,
    EngineInfo,
    EngineUsage,
    ModelTestError,
    RunResult,
    error_by_name,
    from_plain,
)
from modeltest.run.directory import write_result
from modeltest.run.events import Event
from modeltest.run.progress import Progress


class Watch:
    """Follows the events of one worker and keeps `run.json` up to date with them."""

    def __init__(self, directory: Path, result: RunResult, progress: Progress) -> None:
        self.directory = directory
        self.result = result
        self.progress = progress
        self.failure: ModelTestError | None = None
        self.last_progress = "before its first batch"

    def handle(self, event: Event) -> None:
        """Take in one event; what a reader of `run.json` should see at once is written."""
        kind = event["event"]
        if kind == "loaded":
            engine = from_plain(EngineInfo, event["engine"])
            self.result = replace(self.result, engine=engine)
            write_result(self.directory, self.result)
            self.progress.line(describe_engine(engine))
        elif kind == "dataset":
            self.result = replace(self.result, dataset=from_plain(DatasetInfo, event["dataset"]))
        elif kind == "usage":
            self.result = replace(self.result, usage=from_plain(EngineUsage, event["usage"]))
        elif kind == "timing":
            timing_s = {**self.result.timing_s, event["name"]: event["seconds"]}
            self.result = replace(self.result, timing_s=timing_s)
        elif kind == "phase":
            self.progress.phase(event["name"])
        elif kind == "progress":
            total = f" of {event['total']}" if event["total"] else ""
            self.last_progress = f"after {event['done']}{total} {event['unit']}"
            self.progress.update(event["done"], event["total"], event["unit"], event.get("note", ""))
        elif kind == "error":
            self.failure = error_by_name(event["type"])(event["message"])


def describe_engine(engine: EngineInfo) -> str:
    """Return one line on the engine, device and versions really used."""
    versions = ", ".join(f"{name} {version}" for name, version in engine.versions.items())
    used = f"engine {engine.engine} on {engine.device} in {engine.dtype}"
    return f"{used} ({versions})" if versions else used
