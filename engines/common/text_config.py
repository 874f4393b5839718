"""What a model's config says of the part that reads and writes text.

Models that also see or hear nest it (`text_config`), so that `config.vocab_size` and the like are not there.
"""

from __future__ import annotations

from typing import Any


def text_config(config: Any) -> Any:
    """Return the part of `config`, of a model of transformers, that describes its text decoder."""
    get = getattr(config, "get_text_config", None)
    return config if get is None else get(decoder=True)


def vocabulary_size(model: Any) -> int:
    """Return how many tokens `model` knows: the config's number, else that of its embeddings."""
    named = getattr(text_config(model.config), "vocab_size", None)
    return int(named if isinstance(named, int) else model.get_input_embeddings().num_embeddings)


def layer_count(config: Any) -> int | None:
    """Return how many decoder layers `config` names, or `None`."""
    count = getattr(text_config(config), "num_hidden_layers", None)
    return count if isinstance(count, int) else None
