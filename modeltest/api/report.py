"""What a report of a run must be, and what it may offer beside; found by name through entry points."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from modeltest.api.results import RunResult, Sample


@runtime_checkable
class Report(Protocol):
    """Writes one kind of file from a result."""

    name: str

    def accepts(self, result: RunResult) -> bool:
        """Say whether this report has anything to write for `result`."""

    def write(self, result: RunResult, directory: Path) -> Sequence[Path]:
        """Write the file or files atomically and return their paths."""


@runtime_checkable
class WithoutTokens(Protocol):
    """What the samples of a result offer that are cheaper to go through once more without their token ids."""

    def without_tokens(self) -> Iterable[Sample]:
        """Return the samples, each without `prompt_tokens`, `output_tokens` and `choice_tokens`."""


@runtime_checkable
class Preparing(Protocol):
    """What a report offers beside `Report` that imports large packages."""

    def prepare(self) -> None:
        """Import them: called from a thread of its own while a run that needs them waits for its model."""


@runtime_checkable
class OnRequest(Protocol):
    """What a report offers beside `Report` that is written only where it is asked for by its name."""

    def refusal(self, result: RunResult) -> str | None:
        """Return why `result` cannot give this report; `None` where it can."""
