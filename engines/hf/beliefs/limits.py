"""The lengths at which a model may begin to compute otherwise, as its config names them.

Beyond the trained length some models stretch their positions, and choose how by the longest row of a pass; a
window or chunk of attention begins to matter when a row is longer than it. What happens there is not read
from the name of a family, but tried when a row is as long.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

NAMES = (
    "window",
    "chunk",
    "position",
    "seq_len",
    "seq_length",
    "sequence_length",
    "n_ctx",
    "block_size",
    "floor_scale",
)
"""What the names of such entries have in them, in families old and new."""

_OF_LAYERS = "layers"
"""Counts layers and no tokens, whatever else is in the name: `max_window_layers` of Qwen."""


def limits_of(config: Any) -> tuple[int, ...]:
    """Return every length in tokens that `config`, of transformers, may change something at; ascending."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    values = text.to_dict() if hasattr(text, "to_dict") else dict(text)
    return tuple(sorted({value for value in _named(values) if value > 1}))


def _named(values: Mapping[str, Any], *, is_named: bool = False) -> Iterator[int]:
    for name, value in values.items():
        named = is_named or (any(part in str(name) for part in NAMES) and _OF_LAYERS not in str(name))
        if isinstance(value, Mapping):
            yield from _named(value, is_named=is_named)
        elif named and isinstance(value, (list, tuple)):
            yield from (each for each in value if _is_length(each))
        elif named and _is_length(value):
            yield value


def _is_length(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
