"""Weights of a checkpoint that the loaded model did not take: named, or refused.

transformers only warns of them, and of some it says nothing. A bias or a layer that is in the checkpoint and
not in the loaded model makes it another model than the one that was trained.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from modeltest.api import EngineError, ModelInfo

_LENGTH_BYTES = 8
"""Of the header's length, with which a safetensors file begins."""

_ALWAYS_IGNORED = (r"rotary_emb\.inv_freq", r"(^|\.)position_ids$")
"""What transformers leaves out of its report for every family; a family may add to it."""

_NAMED = 3


def leftover_notes(model: Any, unexpected: Iterable[str], info: ModelInfo) -> tuple[str, ...]:
    """Return what to say of the weights that `model` did not take; the loader reported `unexpected`.

    Raises: EngineError when one of them is not known to be harmless.
    """
    reasons: dict[str, list[str]] = {}
    unknown: list[str] = []
    for name in sorted(unexpected):
        reason = _reason(name, info)
        if reason is None:
            unknown.append(name)
        else:
            reasons.setdefault(reason, []).append(name)
    if unknown:
        raise EngineError(
            f"{info.path} has {_count(unknown)} that the model of its config.json does not take: "
            f"{_listed(unknown)}. Without them it is another model; bring back the config.json that belongs "
            "to the weights, or remove the weights if they are none of the model's"
        )
    for name in _unreported(model, info):
        reasons.setdefault(_reason(name, info) or "left out by transformers for this family", []).append(name)
    return tuple(f"{_count(names)} not used: {reason} ({names[0]})" for reason, names in reasons.items())


def _reason(name: str, info: ModelInfo) -> str | None:
    return next((known.reason for known in info.harmless_weights if re.search(known.pattern, name)), None)


def _unreported(model: Any, info: ModelInfo) -> Iterator[str]:
    """Yield the weights in the files that transformers leaves out and does not report."""
    of_family = getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ()
    ignored = re.compile("|".join(f"({pattern})" for pattern in (*of_family, *_ALWAYS_IGNORED)))
    taken = set(model.state_dict())
    for path in sorted(Path(info.path).glob("*.safetensors")):
        for name in _names_in(path):
            if ignored.search(name) and name not in taken:
                yield name


def _names_in(path: Path) -> Iterator[str]:
    """Yield the names of the weights in a file, which was checked when the run was planned."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(_LENGTH_BYTES), "little")))
    return (name for name in header if name != "__metadata__")


def _count(names: list[str]) -> str:
    return f"{len(names)} weight{'s' * (len(names) > 1)}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
