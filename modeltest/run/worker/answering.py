"""What an interpreter answers that is asked which engines can run in it; `planning/other_python.py` asks.

A question is a line of JSON on standard input, the answer one for `say`: `{"answer"}`, `{"error", "text"}`
for a `ModelTestError`, or `{"fault"}`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from modeltest import registry
from modeltest.api import Demanding, ModelInfo, ModelTestError, PrerequisiteError, RunSpec
from modeltest.plain.contracts import from_plain
from modeltest.run.worker import worker  # noqa: F401 (what starts here later must be importable here)

Say = Callable[[Mapping[str, Any]], None]


def serve(say: Say) -> None:
    """Answer until standard input ends."""
    for line in sys.stdin:
        say(_answer(json.loads(line)))


def _answer(question: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        ask = _QUESTIONS[question["ask"]]
        return {"answer": ask(question["of"], from_plain(RunSpec, question["spec"]), question.get("model"))}
    except ModelTestError as problem:
        return {"error": type(problem).__name__, "text": str(problem)}
    except Exception as problem:
        return {"fault": " ".join(f"{type(problem).__name__}: {problem}".split())}


def _obstacle(name: str, spec: RunSpec, _: Any) -> str | None:
    """Return what `Demanding.obstacle` says; that a plug-in cannot be used here is an obstacle as well."""
    try:
        engine = registry.load_engine(name)
        with registry.guard(f"engine {name!r} fails"):
            return engine.obstacle(spec) if isinstance(engine, Demanding) else None
    except PrerequisiteError as problem:
        return str(problem)


def _check(name: str, spec: RunSpec, model: Any) -> None:
    registry.load_engine(name).check(spec, from_plain(ModelInfo, model))


def _environment(name: str, spec: RunSpec, model: Any) -> dict[str, str]:
    return dict(registry.load_engine(name).environment(spec, from_plain(ModelInfo, model)))


def _check_task(name: str, spec: RunSpec, _: Any) -> None:
    registry.load_task(name).check(spec)


_QUESTIONS: Mapping[str, Callable[[str, RunSpec, Any], object]] = {
    "obstacle": _obstacle,
    "check": _check,
    "environment": _environment,
    "check_task": _check_task,
}
