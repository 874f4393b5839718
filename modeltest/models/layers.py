"""Whether the decoder layers in the weight files are those that config.json asks for. Pure.

A config that names fewer layers than there are loads without a word: the others are left out, and the answers
are those of another model. So the names in the files' headers are counted, before anything is loaded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from modeltest.api import EngineError, SpecError
from modeltest.models.config_json import JsonFile
from modeltest.models.rules import LAYER_FIELDS

_NUMBERED = re.compile(r"^((?:.*?\.)?(?:layers|layer|h|blocks|block))\.(\d{1,9})\.")
"""The first numbered part of a weight's name, by what families call their stack of layers."""

_OTHER_STACKS = re.compile(r"(^|[._])(vision|visual|image|img|audio|speech|talker|token2wav|code2wav|mtp)")
"""Stacks that read images or sound, speak, or predict further tokens."""

_OF_DECODER = ("decoder_layers", "num_decoder_layers", *LAYER_FIELDS)


@dataclass(frozen=True, slots=True)
class LayerField:
    """Where config.json says how many decoder layers there are."""

    keys: tuple[str, ...]
    layers: int


def layers_asked(config: JsonFile, *, of_decoder: bool = False) -> LayerField | None:
    """Return the number of layers that `config` names; `None` where it leaves it to its family.

    Raises: SpecError for a number that no model can have.
    """
    nested = config.values.get("text_config")
    # A config that nests one for text may repeat its entries outside; the nested ones count.
    for outer, table in ((("text_config",), nested), ((), config.values)):
        if not isinstance(table, Mapping):
            continue
        for name in _OF_DECODER if of_decoder else LAYER_FIELDS:
            value = table.get(name)
            if value is None:
                continue
            if type(value) is not int or value < 1:
                raise SpecError(
                    f"{config.place(*outer, name)}: {name} is {value!r:.40}; a model has a whole number of "
                    "layers, at least 1: bring back the config.json that belongs to the weights"
                )
            return LayerField((*outer, name), value)
    return None


def check_layers(config: JsonFile, names: Iterable[str], *, extra_marks: Iterable[str]) -> tuple[int, ...]:
    """Return the layers beyond those of `config` that are known to be no decoder layers.

    `names` are those of all weights. A layer with a weight that contains one of `extra_marks` is a head for
    further tokens, which families number behind the decoder.

    Raises: SpecError for a number of layers that no model can have; EngineError when the files have more or
    fewer.
    """
    asked = layers_asked(config)
    stack = decoder_stack(names)
    if stack is None:
        return ()
    prefix, layers = stack
    if ".decoder." in f".{prefix}":
        asked = layers_asked(config, of_decoder=True)
    if asked is None:
        return ()
    marks = tuple(extra_marks)
    extra = {
        number
        for number, weights in layers.items()
        if number >= asked.layers and any(mark in weight for weight in weights for mark in marks)
    }
    left_over = sorted(number for number in layers if number >= asked.layers and number not in extra)
    place = f"{config.place(*asked.keys)}: {asked.keys[-1]} is {asked.layers}"
    if left_over:
        raise EngineError(
            f"{place}, but the weights have {len(left_over)} more decoder "
            f"layer{'s' * (len(left_over) > 1)}, {prefix}.{left_over[0]} among them: without them it would "
            "be another model; bring back the config.json that belongs to the weights"
        )
    highest = max(layers) + 1
    if highest < asked.layers:
        raise EngineError(
            f"{place}, but the weights end with layer {prefix}.{highest - 1}: download the checkpoint again, "
            "or bring back the config.json that belongs to the weights"
        )
    return tuple(sorted(extra))


def decoder_stack(names: Iterable[str]) -> tuple[str, Mapping[int, list[str]]] | None:
    """Return prefix and weights by layer of the stack of text layers; `None` if it is not clear which."""
    stacks: dict[str, dict[int, list[str]]] = {}
    for name in names:
        found = _NUMBERED.match(name)
        if found and not _OTHER_STACKS.search(found[1]):
            stacks.setdefault(found[1], {}).setdefault(int(found[2]), []).append(name)
    if len(stacks) > 1:
        decoders = {prefix: layers for prefix, layers in stacks.items() if ".decoder." in f".{prefix}"}
        stacks = decoders or stacks
    if len(stacks) != 1:
        return None
    return next(iter(stacks.items()))
