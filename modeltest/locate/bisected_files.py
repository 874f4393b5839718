"""What a bisection came to, in words and in the files it leaves; pure but for reading and writing these."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modeltest.locate.bisection import MOST_EXCESS, Bisected, CutEvidence
from modeltest.locate.files import RESULT_FILE, TABLE_FILE
from modeltest.machine.files import write_json, write_text
from modeltest.plain.contracts import to_plain

_COARSE = 2.0
"""Errors of every cut below this many times the twins' may be those of an engine that computes coarser."""


@dataclass(frozen=True, slots=True)
class CutRow:
    """What was seen behind some of the layers."""

    layers: int
    excess: float
    """Mean error of the candidate's log-probabilities, in times of the twins'."""

    floor: float
    """The twins' mean error in nats."""

    departs: bool


@dataclass(frozen=True, slots=True)
class BisectedResult:
    """What `modeltest locate` came to by cut checkpoints."""

    answer: str
    departs: bool
    layer: int | None
    """From 0; `None`: no layer departs. 0 also for what is outside of the layers, which every cut has."""

    operation: None
    """Without hooks the layer alone is known."""

    rows: tuple[CutRow, ...]
    """By number of layers."""

    layers: int
    observations: int
    dtype: str
    engine: str
    versions: dict[str, str]
    reference: str
    model: str


def answer_of(found: Bisected) -> str:
    """Return the answer in a sentence."""
    seen = {each.layers: each for each in found.cuts}
    if found.layer is None:
        return (
            f"no layer departs: behind {', '.join(map(str, sorted(seen)))} layers all is within "
            f"{MOST_EXCESS:g} times the dtype's own rounding"
        )
    behind = seen[found.layer + 1]
    error = f"error {behind.excess:.3g} times the dtype's own behind it"
    if found.layer:
        return f"layer {found.layer} ({error}, {seen[found.layer].excess:.3g} before it){_MANNER}"
    answer = f"layer 0, or what every cut has: embedding, positions, final norm, head ({error}){_MANNER}"
    if max(each.excess for each in found.cuts) < _COARSE:
        answer += "; all cuts depart by little: the engine may compute coarser throughout"
    return answer


_MANNER = "; the operation is not told: the engine gives no hooks"


def rows_of(cuts: tuple[CutEvidence, ...]) -> tuple[CutRow, ...]:
    """Return what was seen, by number of layers."""
    ordered = sorted(cuts, key=lambda each: each.layers)
    return tuple(CutRow(each.layers, each.excess, each.floor, each.departs) for each in ordered)


def write_bisected(found: BisectedResult, folder: Path) -> None:
    """Write `locate.md`, then `locate.json`, by which the bisection is known to have ended.

    Raises: PrerequisiteError when they cannot be written.
    """
    write_text(folder / TABLE_FILE, _markdown_of(found))
    write_json(folder / RESULT_FILE, to_plain(found))


def _markdown_of(found: BisectedResult) -> str:
    lines = [
        "# Where the candidate departs",
        found.answer,
        "",
        f"{found.observations} tokens told behind each cut, {found.dtype}; engine {found.engine}; "
        f"candidate {found.model}; reference {found.reference}.",
        "",
        "| first layers | error, times the twins' | the twins' error, nats | departs |",
        "|---|---|---|---|",
        *(
            f"| {row.layers} | {row.excess:.2f} | {row.floor:.3g} | {'yes' if row.departs else ''} |"
            for row in found.rows
        ),
    ]
    return "\n".join(lines) + "\n"
