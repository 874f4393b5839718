"""Putting a fault into a loaded model, and taking it off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from modeltest.api import NotOfModel, SpecError
from modeltest.demo.faults.kinds import (
    ends,
    feed_forward,
    heads,
    loading,
    looking,
    mixtures,
    norms,
    positions,
    precision,
    rotary,
    scales,
)
from modeltest.demo.faults.parts.anatomy import anatomy_of
from modeltest.demo.faults.parts.patch import Patch

_KINDS = (rotary, positions, heads, looking, norms, feed_forward, precision, loading, ends, mixtures, scales)

PATCHES: Mapping[str, Patch] = {name: patch for kind in _KINDS for name, patch in kind.PATCHES.items()}
"""The faults of a model, by name."""


@contextmanager
def applied(module: Any, name: str, strength: float) -> Iterator[None]:
    """Put the fault `name` into a causal language model of transformers while the context is entered.

    It is what it was afterwards, bit for bit. Several contexts may be entered one within another.

    Raises: SpecError for a fault that is not known; NotOfModel for one of something that the model has not.
    """
    patch = patch_of(name)
    parts = anatomy_of(module)
    if not patch.needs(parts):
        raise NotOfModel(f"fault {name} is of something that a {type(module).__name__} has not")
    with ExitStack() as undo:
        patch.apply(undo, parts, strength)
        yield


def applicable(module: Any) -> tuple[str, ...]:
    """Return the names of the faults of a model that apply to `module`, by what it has."""
    parts = anatomy_of(module)
    return tuple(name for name, patch in PATCHES.items() if patch.needs(parts))


def patch_of(name: str) -> Patch:
    """Return the fault `name` as code.

    Raises: SpecError.
    """
    if name not in PATCHES:
        raise SpecError(f"no fault of a model is called {name!r}; there are: {', '.join(PATCHES)}")
    return PATCHES[name]
