"""The cache a model hands from one token to the next, whatever the model calls it and whoever makes it.

Most models keep keys and values and return them as `past_key_values`. State-space models call theirs
`cache_params`, RWKV `state`; some fill the cache they are handed and return none, some keep nothing at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engines.common.text_config import text_config

KEYS_VALUES = "past_key_values"
CACHE_NAMES = (KEYS_VALUES, "cache_params", "state", "mems")
"""What models of transformers call it, both in their output and as an argument."""


@dataclass(slots=True)
class Carried:
    """Rows that are under way: what the model needs to take in one more token of each.

    Without a cache all of a row is fed again with each token: `ids` holds it then.
    """

    cache: dict[str, Any]
    mask: Any
    """`[rows, tokens]`, or `None` where no row is padded."""

    positions: Any
    """Of the newest tokens, `[rows, 1]`."""

    ids: Any = None

    def take_in(self, newest: Any) -> None:
        """Count in `newest`, one token `[rows]` of each row, before it is fed."""
        import torch

        self.positions = self.positions + 1
        if self.mask is not None:
            self.mask = torch.cat([self.mask, torch.ones_like(self.mask[:, :1])], dim=1)
        if self.ids is not None:
            self.ids = torch.cat([self.ids, newest[:, None]], dim=1)


@dataclass(frozen=True, slots=True)
class Carrying:
    """How one model carries on: under which name it returns its cache, or that it must be handed one."""

    name: str | None
    is_handed: bool = False

    def arguments(self, model: Any) -> dict[str, Any]:
        """Return what a first forward pass is given, so that the second can go on from it."""
        return {KEYS_VALUES: _new_cache(model)} if self.is_handed else {}

    def cache_in(self, output: Any, given: dict[str, Any]) -> dict[str, Any]:
        """Return the cache after a pass that was `given` these arguments, as arguments of the next."""
        if self.is_handed:
            return {KEYS_VALUES: given[KEYS_VALUES]}
        return {} if self.name is None else {self.name: getattr(output, self.name)}


def carrying_of(model: Any, parameters: frozenset[str], device: str) -> Carrying:
    """Find out how `model`, whose forward takes `parameters`, carries on, by feeding it two tokens."""
    import torch

    with torch.inference_mode():
        output = model(input_ids=torch.tensor([[0, 1]], device=device), use_cache=True)
    for name in CACHE_NAMES:
        if name in parameters and getattr(output, name, None) is not None:
            return Carrying(name)
    return Carrying(None, is_handed=KEYS_VALUES in parameters and _new_cache(model) is not None)


def _new_cache(model: Any) -> Any:
    """Return an empty cache for `model`, or `None` with a transformers that makes none by config."""
    import inspect

    from transformers import DynamicCache

    if "config" not in inspect.signature(DynamicCache.__init__).parameters:
        return None
    return DynamicCache(config=text_config(model.config))
