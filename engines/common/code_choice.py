"""What a checkpoint's config.json says of how its model is to be run: not the file's to decide.

Beside a model's shape, transformers takes from that file by which code attention and experts are computed (a
name such as `user/repository` has it fetch and import a kernel), whether attention weights are kept, which
file the weights are in and in which form answers come. Two checkpoints with the same weights would then be
computed by different code, and a stranger's file would choose it. So all of it is taken back before the model
is made: transformers then takes its own choice, sdpa where the family has it and eager elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

DECIDED: Mapping[str, object] = MappingProxyType(
    {
        "_attn_implementation": None,
        "_experts_implementation": None,
        "_attn_implementation_autoset": False,  # up to transformers 4.5x: the choice has been made
        "use_flash_attn": False,  # of code that comes with checkpoints
        "use_flash_attention": False,
        "use_flash_attention_2": False,
        "_flash_attn_2_enabled": False,
        "output_attentions": False,
        "output_hidden_states": False,
        "return_dict": True,
        "transformers_weights": None,
    }
)
"""What is decided here whatever the file says, as attributes of a config; `None`: by transformers."""

_INTERNAL = "{}_internal"
"""Where transformers keeps an attribute that is a property with checks of its own."""

_SAID_WITHOUT_EXPERTS = "eager"
"""What transformers says of the experts of a model that has none."""


def decide(config: Any) -> tuple[str, ...]:
    """Take back what `config` and those nested in it say of how to run the model, and return what it was."""
    found = []
    for place, part in _parts(config, ""):
        for name, ours in DECIDED.items():
            asked = getattr(part, _attribute(part, name), None)
            if asked is None or asked == ours:
                continue
            setattr(part, _attribute(part, name), ours)
            found.append(f"{place}{name} {asked!r:.60}")
    return tuple(dict.fromkeys(found))


def implementations(model: Any) -> dict[str, str]:
    """Return by which of transformers' implementations the parts of a loaded model are computed."""
    config = model.config
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    found = {"attention": text._attn_implementation or config._attn_implementation}
    experts = getattr(text, "_experts_implementation", None)
    if isinstance(experts, str) and experts != _SAID_WITHOUT_EXPERTS:
        found["experts"] = experts
    return {part: str(name) for part, name in found.items()}


def _attribute(config: Any, name: str) -> str:
    internal = _INTERNAL.format(name)
    return internal if internal in vars(config) else name


def _parts(config: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Yield `config` and the configs nested in it, each with what leads to it."""
    from transformers import PretrainedConfig

    yield place, config
    for name, value in list(vars(config).items()):
        if isinstance(value, PretrainedConfig):
            yield from _parts(value, f"{place}{name}.")
