"""Counts the modules through which what is asked for travels, from the shell to the files of a run.

    python benchmarks/spec_walk.py -- accuracy --task boolq --split sample --engine fake --model none

A run is carried out for real, with `sys.setprofile` in the process of the command and in its worker. What is
asked is a `RunSpec` or the `Plan` made of it; the `RunResult` that records what came of it carries it to the
worker and to the end of the run. A function is a station of the walk when it

- returns what is asked, once or several times: it makes or changes it, or
- receives what is asked or what carries it, by itself or as a field of a dataclass, and while it is at work
  the worker is started or a file is written into the directory of the run: it hands on.

So a function that looks at a spec and says something of it is none: a check, a name for the directory. What
writes and reads the files is where the walk ends: `modeltest.run.record`, `modeltest.plain` and the reports.

The stations are taken in the order of their calls, those of the worker after the call that started it. The
first one in a module enters it. A later one in the same module is a way back if it is called from another
module, and a step inside otherwise. A call that returns goes nowhere: whoever called goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, is_dataclass
from inspect import CO_GENERATOR
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ("modeltest", "engines", "reports")
ASKED = {
    ("modeltest.api.spec", "RunSpec"),
    ("modeltest.run.planning.plan", "Plan"),
}
CARRIERS = {*ASKED, ("modeltest.api.results", "RunResult")}
FILES = ("modeltest.run.record.", "modeltest.plain.", "reports.")
"""What writes files of a run and reads them back."""

APPENDS = ("modeltest.run.record.journal", "append")
"""The journal is opened once and written into later."""

STATIONS_FILE = "SPEC_WALK_STATIONS"
OUTPUT = "SPEC_WALK_OUTPUT"
"""The variables by which a worker is told where to write what it saw, and what is watched."""

START = f"""import sys
sys.path.insert(0, {str(ROOT / "benchmarks")!r})
import spec_walk
sys.path.pop(0)
spec_walk.trace_worker()
"""


@dataclass(slots=True)
class Call:
    """One call of a function of the project that has to do with what is asked."""

    module: str
    function: str
    caller: str
    holds: bool
    is_station: bool = False


@dataclass(slots=True)
class Walk:
    """The modules entered, in order, each with its stations; and the ways back."""

    modules: dict[str, list[str]] = field(default_factory=dict)
    back: list[str] = field(default_factory=list)


def walk_of(calls: Iterable[Call]) -> Walk:
    """Return the walk through the stations among `calls`, which are in the order in which they began."""
    walk = Walk()
    for call in calls:
        if not call.is_station:
            continue
        if call.module in walk.modules and call.caller != call.module:
            walk.back.append(f"{call.caller} -> {call.module}.{call.function}")
        functions = walk.modules.setdefault(call.module, [])
        if call.function not in functions:
            functions.append(call.function)
    return walk


class Tracer:
    """Takes down every call of the main thread that has to do with what is asked."""

    def __init__(self, output: Path) -> None:
        self.calls: list[Call] = []
        self.begun_before_the_worker = 0
        """How many of them were under way or over when the worker was started."""

        self._output = str(output)
        self._open: dict[FrameType, Call] = {}
        self._generators: dict[FrameType, Call] = {}

    @property
    def stations(self) -> list[Call]:
        """The calls that hand on what is asked, in order."""
        return [call for call in self.calls if call.is_station]

    def start(self) -> None:
        """Begin."""
        sys.addaudithook(self._audit)
        sys.setprofile(self._profile)

    def _profile(self, frame: FrameType, event: str, value: Any) -> None:
        if event == "call":
            self._enter(frame)
        elif event == "return" and frame in self._open:
            call = self._open.pop(frame)
            call.is_station |= _is_asked(value)

    def _enter(self, frame: FrameType) -> None:
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] not in PROJECT:
            return
        code = frame.f_code
        if (module, code.co_name) == APPENDS:
            self._mark(frame)
        if module.startswith(FILES):
            return
        if frame in self._generators:  # it goes on
            self._open[frame] = self._generators[frame]
            return
        holds = any(_holds(frame.f_locals.get(name)) for name in _parameters(code))
        call = Call(module, _name(code), _caller(frame), holds)
        self._open[frame] = call
        self.calls.append(call)
        if code.co_flags & CO_GENERATOR:
            self._generators[frame] = call

    def _audit(self, event: str, values: tuple[Any, ...]) -> None:
        if event == "subprocess.Popen":
            self.begun_before_the_worker = len(self.calls)
            self._mark(sys._getframe(1))
        elif event == "open" and _writes(*values) and self._is_ours(values[0]):
            self._mark(sys._getframe(1))

    def _is_ours(self, path: object) -> bool:
        return isinstance(path, (str, bytes, os.PathLike)) and os.fsdecode(path).startswith(self._output)

    def _mark(self, frame: FrameType | None) -> None:
        """Make stations of all functions at work that hold what is asked."""
        while frame is not None:
            call = self._open.get(frame)
            if call is not None:
                call.is_station |= call.holds
            frame = frame.f_back


def _parameters(code: CodeType) -> tuple[str, ...]:
    return code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]


def _name(code: CodeType) -> str:
    return getattr(code, "co_qualname", code.co_name)


def _caller(frame: FrameType) -> str:
    """Return the module of the project that called, through whatever library."""
    above = frame.f_back
    while above is not None:
        module: str = above.f_globals.get("__name__", "")
        if module.partition(".")[0] in PROJECT:
            return module
        above = above.f_back
    return ""


def _kind(value: object) -> tuple[str, str]:
    return type(value).__module__, type(value).__qualname__


def _is_asked(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_kind(each) in ASKED for each in value[:1])
    return _kind(value) in ASKED


def _holds(value: object) -> bool:
    if _is_asked(value) or _kind(value) in CARRIERS:
        return True
    if not is_dataclass(value) or isinstance(value, type):
        return False
    return any(_kind(getattr(value, each.name, None)) in CARRIERS for each in fields(value))


def _writes(_: object, mode: object, flags: int) -> bool:
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(flags & (os.O_WRONLY | os.O_RDWR))


def trace_worker() -> None:
    """Trace the process that this is called in, if it is a worker, and write its stations when it ends."""
    target = os.environ.get(STATIONS_FILE)
    if target is None or "modeltest.run.worker.worker" not in sys.argv + sys.orig_argv:
        return
    import atexit

    tracer = Tracer(Path(os.environ[OUTPUT]))
    tracer.start()

    def write() -> None:
        sys.setprofile(None)
        rows = [[each.module, each.function, each.caller] for each in tracer.stations]
        Path(target).write_text(json.dumps(rows), encoding="utf-8")

    atexit.register(write)


def walk_through(words: list[str]) -> Walk:
    """Carry out the command `words` and return the walk through it.

    Raises: SystemExit when the command fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        (place / "start").mkdir()
        (place / "start" / "sitecustomize.py").write_text(START, encoding="utf-8")
        os.environ["PYTHONPATH"] = os.pathsep.join([str(place / "start"), str(ROOT)])
        os.environ[STATIONS_FILE] = str(place / "worker.json")
        os.environ[OUTPUT] = str(place / "runs")
        from modeltest.__main__ import main

        sys.argv = ["modeltest", *words, "--output", str(place / "runs")]
        tracer = Tracer(place / "runs")
        tracer.start()
        try:
            status = main()
        finally:
            sys.setprofile(None)
        if status:
            raise SystemExit(status)
        rows = json.loads((place / "worker.json").read_text(encoding="utf-8"))
    worker = [Call(*row, holds=True, is_station=True) for row in rows]
    begun = tracer.begun_before_the_worker
    return walk_of([*tracer.calls[:begun], *worker, *tracer.calls[begun:]])


def main(arguments: list[str] | None = None) -> int:
    """Print the walk of the command that is given."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("words", nargs="+", help="what stands after `modeltest`, without --output")
    walk = walk_through(parser.parse_args(arguments).words)
    print(f"{len(walk.modules)} modules, {len(walk.back)} ways back")
    for number, (module, functions) in enumerate(walk.modules.items(), start=1):
        print(f"  {number:2} {module}: {', '.join(functions)}")
    for way in walk.back:
        print(f"     back: {way}")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    raise SystemExit(main())
