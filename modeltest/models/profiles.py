"""The model words of `run.sh`: the profiles of `models.toml` and what they make of a config."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from modeltest.api import SpecError
from modeltest.models.rules import (
    BlockRule,
    NameRule,
    Scalar,
    TokenizerRule,
    holds,
    name_by_layers,
    name_by_rules,
    safe_name,
)
from modeltest.plain.contracts import from_plain
from modeltest.plain.toml_file import read_toml

AUTO = "auto"
"""The model word that takes whatever the checkpoint is."""

DEFAULT_BLOCK_TOKENS = 128
"""Tokens per KV-cache block on Ascend."""

GENERIC_TOKENIZER = "default"
"""The tokenizer set of `models.toml` for model types nobody lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentedCheckpoints:
    """What MindIE's own documents say of some checkpoints; `None` where they say nothing, empty where no."""

    names: tuple[str, ...]
    a2: tuple[int, ...] | None = None
    """Numbers of chips of an 800I A2 that it runs on."""

    duo: tuple[int, ...] | None = None
    """Numbers of chips of 300I DUO cards."""

    dtypes: tuple[str, ...] | None = None
    attention: tuple[str, ...] | None = None
    quantised: tuple[str, ...] | None = None
    long_context: bool | None = None
    older: bool = False
    """Whether the documents of the release that `models.toml` names no longer say it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProfile:
    """What is known of one model word; `models.toml` says what each field means."""

    key: str
    model_types: tuple[str, ...]
    plain_for: tuple[str, ...] = ()
    sized: bool = False
    chips: int = 1
    block_size: int = DEFAULT_BLOCK_TOKENS
    block_sizes: tuple[BlockRule, ...] = ()
    datasets: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    tokenizer: Mapping[str, Scalar] = field(default_factory=dict)
    tokenizer_when: tuple[TokenizerRule, ...] = ()
    name: str | tuple[NameRule, ...] = ()
    in_mindie_head: bool = False
    checkpoints: tuple[DocumentedCheckpoints, ...] = ()
    end_of_turn: tuple[str, ...] = ()
    note: str | None = None


def model_keys() -> tuple[str, ...]:
    """Return every model word, sorted; `auto` is not among them."""
    return tuple(sorted(_profiles()))


def profile(key: str) -> ModelProfile:
    """Return the profile of a model word.

    Raises: SpecError with the closest words when there is none.
    """
    found = _profiles().get(key)
    if found is None:
        raise SpecError(f"unknown model {key!r}; {_suggestion(key)}")
    return found


def profile_for_model_type(model_type: str) -> ModelProfile:
    """Return the plain profile for `model_type`, or a generic one for a type nobody lists.

    A profile that names one size lends what it knows but not its name: a checkpoint of 12 layers must not
    be shown as `gptneox_20b`.
    """
    found = next((known for known in _profiles().values() if model_type in known.plain_for), None)
    key = safe_name(model_type) or "model"
    if found is None:
        tokenizer = dict(_book()["tokenizers"][GENERIC_TOKENIZER])
        return ModelProfile(key=key, model_types=(model_type,), plain_for=(model_type,), tokenizer=tokenizer)
    if found.sized:
        return replace(found, key=key, name=(), sized=False)
    return found


def keys_for_model_type(model_type: str) -> tuple[str, ...]:
    """Return the model words that accept `model_type`, sorted."""
    return tuple(key for key in model_keys() if model_type in _profiles()[key].model_types)


def is_native_model_type(model_type: str) -> bool:
    """Say whether transformers loads `model_type` without code from the checkpoint."""
    return model_type in _book()["native_model_types"]


def resolve_name(profile: ModelProfile, config: Mapping[str, object]) -> str:
    """Return the display name the predecessor gave, else the word and the layers; fails for no config."""
    if isinstance(profile.name, str):
        return profile.name
    return name_by_rules(profile.name, config) or name_by_layers(profile.key, config)


def tokenizer_options(profile: ModelProfile, config: Mapping[str, object]) -> dict[str, Scalar]:
    """Return the options for loading the tokenizer; `pad_token_id` is to be set after loading."""
    options = dict(profile.tokenizer)
    for rule in profile.tokenizer_when:
        if holds(rule, config):
            options.update(rule.options)
    return options


def block_size(profile: ModelProfile, config: Mapping[str, object]) -> int:
    """Return the tokens per KV-cache block."""
    return next((rule.tokens for rule in profile.block_sizes if holds(rule, config)), profile.block_size)


def environment(profile: ModelProfile) -> dict[str, str]:
    """Return the variables the model wants on Ascend."""
    return dict(profile.environment)


@cache
def _book() -> dict[str, Any]:
    return read_toml(Path(__file__).with_name("models.toml"))


@cache
def _profiles() -> dict[str, ModelProfile]:
    return {key: _profile_from(key, entry) for key, entry in _book()["models"].items()}


def _profile_from(key: str, entry: Mapping[str, Any]) -> ModelProfile:
    """Build a profile: references to named sets become their content."""
    plain = dict(entry)
    environments = _merge("environments", plain.pop("environment"))
    for variable in plain.pop("environment_without", ()):
        del environments[variable]
    tokenizer = _merge("tokenizers", plain.pop("tokenizer"))
    return from_plain(
        ModelProfile, {**plain, "key": key, "environment": environments, "tokenizer": tokenizer}
    )


def _merge(kind: str, names: list[str]) -> dict[str, Any]:
    return {name: value for chosen in names for name, value in _book()[kind][chosen].items()}


def _suggestion(key: str) -> str:
    close = difflib.get_close_matches(key.lower(), model_keys(), n=3)
    if close:
        return f"did you mean {' or '.join(close)}? ('{AUTO}' goes by the checkpoint's config.json)"
    return f"available: {AUTO}, {', '.join(model_keys())}"
