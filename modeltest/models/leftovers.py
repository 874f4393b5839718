"""Weights that a checkpoint holds and its model may leave out: which are harmless, by `models.toml`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from modeltest.api import EngineError, HarmlessWeights
from modeltest.models.config_json import JsonFile
from modeltest.models.layers import check_layers
from modeltest.models.rules import config_value
from modeltest.models.weights import WeightFile, holds_two_values, tensor_names
from modeltest.plain.contracts import from_plain
from modeltest.plain.toml_file import read_toml

_EMBEDDING = re.compile(r"(^|\.)(embed_tokens|wte|embed_in|word_embeddings|embeddings?)\.weight$")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftoverRule:
    """One entry of `leftovers.harmless`; `models.toml` says what each field means."""

    pattern: str
    reason: str
    model_types: tuple[str, ...] = ()
    when_tied: bool = False


def check_against_config(config: JsonFile, files: Iterable[WeightFile]) -> tuple[HarmlessWeights, ...]:
    """Return which of the weights may be left out, having checked the others as far as headers tell.

    Raises: SpecError for a number of layers that no model can have; EngineError when the weights and the
    config are not of one model.
    """
    listed = tuple(files)
    names = tensor_names(listed)
    extra = check_layers(config, names, extra_marks=_book()["extra_layer_marks"])
    _check_tied(config, listed, names)
    of_layers = (
        HarmlessWeights(rf"(^|\.)(layers|h|blocks)\.{number}\.", "a head that predicts further tokens (MTP)")
        for number in extra
    )
    by_rules = (
        HarmlessWeights(rule.pattern, rule.reason)
        for rule in _rules()
        if _applies(rule, config.values) and any(re.search(rule.pattern, name) for name in names)
    )
    return (*of_layers, *by_rules)


def _check_tied(config: JsonFile, files: tuple[WeightFile, ...], names: tuple[str, ...]) -> None:
    """Refuse an output layer of its own where the config says that it is the embedding.

    Loaders disagree about which of them counts then.

    Raises: EngineError.
    """
    if not _is_tied(config.values):
        return
    embeddings = [name for name in names if _EMBEDDING.search(name)]
    for rule in _rules():
        for head in (name for name in names if rule.when_tied and re.search(rule.pattern, name)):
            if len(embeddings) == 1 and holds_two_values(files, head, embeddings[0]):
                raise EngineError(
                    f"{config.place('tie_word_embeddings')}: tie_word_embeddings is true, but the weights "
                    f"have a {head} other than {embeddings[0]}: set it to false if the model has an output "
                    "layer of its own, or bring back the files that belong together"
                )


def _applies(rule: LeftoverRule, config: Mapping[str, Any]) -> bool:
    if rule.model_types and config.get("model_type") not in rule.model_types:
        return False
    return _is_tied(config) or not rule.when_tied


def _is_tied(config: Mapping[str, Any]) -> bool:
    return config_value(config, "tie_word_embeddings") is True


@cache
def _book() -> Mapping[str, Any]:
    found: Mapping[str, Any] = read_toml(Path(__file__).with_name("models.toml"))["leftovers"]
    return found


@cache
def _rules() -> tuple[LeftoverRule, ...]:
    return tuple(from_plain(LeftoverRule, rule) for rule in _book()["harmless"])
