"""What a simulation found of one made candidate, and tables of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Row:
    """One made candidate in many random orders."""

    test: str
    candidate: str
    population: int
    seeds: int
    passed: float | None
    """Share of the orders in which it passed, at any time; `None` of a test that only fails."""

    failed: float | None
    """Share in which it failed; `None` of a test that only passes."""

    median: float | None
    """Questions until the decision that is more frequent; `None` where the whole population was watched."""

    p95: float | None
    wrong: float | None = None
    """Share of the orders with a decision that is wrong of this candidate; `None` where none can be told."""

    allowed: float | None = None
    """What the theorem allows of it."""


def decided(at: NDArray[np.int64]) -> tuple[float | None, float | None]:
    """Return median and 95 % point of when paths decided; those that did not took longer than all."""
    times = np.where(at == 0, np.inf, at.astype(float))
    points = np.quantile(times, (0.5, 0.95), method="higher")
    return tuple(float(each) if np.isfinite(each) else None for each in points)  # type: ignore[return-value]


def share(at: NDArray[np.int64]) -> float:
    """Return in which share of the paths something was decided."""
    return float((at > 0).mean())


def markdown(rows: Iterable[Row]) -> str:
    """Return the table of docs/acceptance.md."""
    head = ("test", "candidate", "population", "passed", "failed", "median", "95 %", "wrong", "allowed")
    lines = [_line(head), _line(["---", "---", *["---:"] * (len(head) - 2)])]
    lines += [_line(_cells(row)) for row in rows]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: Row) -> list[str]:
    return [
        row.test,
        row.candidate,
        f"{row.population:,}",
        _percent(row.passed),
        _percent(row.failed),
        _count(row.median),
        _count(row.p95),
        _percent(row.wrong),
        _percent(row.allowed),
    ]


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f} %"


def _count(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"
