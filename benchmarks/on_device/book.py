"""What was found, step by step: written anew after each part, so that a break-off leaves all before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modeltest.machine.files import write_json

RAN, FAILED, SKIPPED = "ran", "failed", "skipped"


class Book:
    """The figures of all steps in one JSON file."""

    def __init__(self, path: Path, head: Mapping[str, Any], say: Callable[[str], None]) -> None:
        self._path = path
        self._head = dict(head)
        self._say = say
        self.steps: dict[str, dict[str, Any]] = {}

    def begin(self, step: str) -> None:
        """Begin a step; until it ends it stands as failed, for a power cut says nothing."""
        self._say(f"== {step}")
        self.steps[step] = {"status": FAILED, "problem": "it was not finished", "parts": {}}
        self._write()

    def ran(self, step: str, part: str, figures: Mapping[str, Any]) -> None:
        """Note what a part found."""
        self._note(step, part, {"status": RAN, **figures})

    def skipped(self, step: str, part: str, reason: str) -> None:
        """Note that a part cannot be had here, which is no failure."""
        self._say(f"  {part}: skipped, {reason}")
        self._note(step, part, {"status": SKIPPED, "reason": reason})

    def failed(self, step: str, part: str, problem: str, figures: Mapping[str, Any] | None = None) -> None:
        """Note that a part failed, and what it found nevertheless."""
        self._say(f"  {part}: FAILED, {problem}")
        self._note(step, part, {"status": FAILED, "problem": problem, **(figures or {})})

    def end(self, step: str, problem: str | None = None) -> None:
        """End a step: it failed by `problem`, or if one of its parts did."""
        entry = self.steps[step]
        failed = [name for name, part in entry["parts"].items() if part["status"] == FAILED]
        problem = problem or (f"failed: {', '.join(failed)}" if failed else None)
        entry.pop("problem", None)
        told = {"status": FAILED, "problem": problem} if problem else {"status": RAN}
        self.steps[step] = {**told, "parts": entry["parts"]}
        self._say(f"   {step}: {problem or RAN}")
        self._write()

    @property
    def failed_steps(self) -> list[str]:
        """The steps that failed, in order."""
        return [name for name, step in self.steps.items() if step["status"] == FAILED]

    def _note(self, step: str, part: str, entry: dict[str, Any]) -> None:
        self.steps[step]["parts"][part] = entry
        self._write()

    def _write(self) -> None:
        write_json(self._path, {**self._head, "steps": self.steps})
