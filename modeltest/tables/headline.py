"""A result in one line: what ran on what, and its most telling numbers."""

from __future__ import annotations

from modeltest.api import RunResult, RunStatus
from modeltest.present import presentation_of


def title_of(result: RunResult) -> str:
    """Return what ran on what, in one line."""
    where = (
        f"{result.engine.engine} on {result.engine.device} in {result.engine.dtype}" if result.engine else ""
    )
    shots = result.spec.options.shots
    details = [result.spec.mode] + ([f"{shots} shots"] if shots is not None else [])
    name, quantize = result.model.label, result.model.quantize
    unfinished = "" if result.status == RunStatus.COMPLETE else f"{result.status.upper()}: "
    return (
        f"{unfinished}{', '.join(details)}: {name}{f', {quantize} weights,' if quantize else ''} with {where}"
    )


def headline(result: RunResult) -> str:
    """Return the most telling numbers of `result` in one line."""
    summary = result.summary
    return result.status if summary is None else presentation_of(summary).headline(summary)
