"""Faults of single layers as drawn and judged, in a file of one line each that a killed run goes on with."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SMALL_SHARE = 0.1
"""Of the mean shift of log-probabilities by the dtype of a port, bfloat16, alone: a fault that shifts them by
less is one without effect. It is kept apart by this, before anything is said of it."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """A fault in one layer; the same for the same seed and place."""

    place: int
    """In the order of drawing, from 0."""

    fault: str
    strength: float
    layer: int
    order: str
    """In which the candidate computes."""


@dataclass(frozen=True, slots=True)
class Draw:
    """A fault in one layer, and what was said of it."""

    drawn: Drawn
    shift: float
    """Mean absolute change of the next tokens' log-probabilities in float32, over that by bfloat16 alone."""

    is_there: bool = True
    """Whether any logit of the candidate differs by it at all; a fault may be one of another dtype."""

    answer: str | None = None
    """`None`: not asked, for it is without effect."""

    named_layer: int | None = None
    operation: str | None = None

    @property
    def has_effect(self) -> bool:
        """Whether it counts; by the size of the change alone."""
        return self.is_there and self.shift >= SMALL_SHARE

    @property
    def is_named(self) -> bool:
        """Whether the layer named is the right one or its neighbour."""
        return self.named_layer is not None and abs(self.named_layer - self.drawn.layer) <= 1

    @property
    def is_named_wrongly(self) -> bool:
        """Whether another layer is named."""
        return self.named_layer is not None and not self.is_named


@dataclass(frozen=True, slots=True)
class Clean:
    """What was said of a candidate without a fault."""

    order: str
    answer: str
    largest: str
    """Of its errors."""


class DrawFile:
    """The settings on the first line, then a line for each clean candidate and each draw."""

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        """Read what is there already.

        Raises: SystemExit for a file of other settings.
        """
        self._path = path
        self.clean: list[Clean] = []
        self.draws: list[Draw] = []
        lines = _whole_lines(path)
        if not lines:
            self._append({"settings": dict(settings)})
            return
        if (before := json.loads(lines[0])["settings"]) != dict(settings):
            raise SystemExit(f"{path} is of another run, {before}: give another --out")
        for line in map(json.loads, lines[1:]):
            if "clean" in line:
                self.clean.append(Clean(**line["clean"]))
            else:
                self.draws.append(_draw_of(line["draw"]))

    def add(self, found: Draw | Clean) -> None:
        """Write what was found behind what is there."""
        if isinstance(found, Clean):
            self.clean.append(found)
            self._append({"clean": asdict(found)})
        else:
            self.draws.append(found)
            self._append({"draw": asdict(found)})

    def _append(self, line: Mapping[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as opened:
            opened.write(json.dumps(line) + "\n")
            opened.flush()
            os.fsync(opened.fileno())


def summary_of(draws: Sequence[Draw], clean: Sequence[Clean]) -> dict[str, int]:
    """Count what was named, apart from what has no effect."""
    counted = [each for each in draws if each.has_effect]
    absent = [each for each in draws if not each.is_there]
    small = [each for each in draws if each.is_there and not each.has_effect]
    asked = [each for each in small if each.answer is not None]
    return {
        "faults with an effect": len(counted),
        "named within one layer": sum(each.is_named for each in counted),
        "named exactly": sum(each.named_layer == each.drawn.layer for each in counted),
        "named in another layer": sum(each.is_named_wrongly for each in counted),
        f"kept apart, with less than {SMALL_SHARE:g} of bfloat16's effect": len(small),
        "of these asked": len(asked),
        "of those named within one layer": sum(each.is_named for each in asked),
        "of those named in another layer": sum(each.is_named_wrongly for each in asked),
        "kept apart, with no bit of the candidate's logits changed": len(absent),
        "clean candidates": len(clean),
        "of these with a departure": sum(not each.answer.startswith("no layer departs") for each in clean),
    }


def _whole_lines(path: Path) -> list[str]:
    """Return the lines of `path`, and take off one that a kill left unfinished."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        with path.open("r+b") as opened:
            opened.truncate(len(whole))
    return whole.decode().splitlines()


def _draw_of(values: dict[str, Any]) -> Draw:
    return Draw(drawn=Drawn(**values.pop("drawn")), **values)
