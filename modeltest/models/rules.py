"""Rules of `models.toml`: what a model's config says about its name and how it is run. Pure.

A config is whatever a config.json holds; nothing here fails on any of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

Scalar = str | int | bool

LAYER_FIELDS = ("num_hidden_layers", "n_layer", "num_layers", "n_layers")
"""What model families call their number of layers."""

LARGEST_COUNT = 1_000_000_000
"""Larger numbers count as unknown: no table lists them, and Python refuses to print the longest."""

LONGEST_NAME = 80
"""Characters kept of a name: it becomes part of file names, which end at 255 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Holds when every field of `where` has the value, or one of the values, and the others fit."""

    where: Mapping[str, Scalar | tuple[Scalar, ...]] = field(default_factory=dict)
    present: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NameCase(Condition):
    """A text that stands in a name when the condition holds."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NamePart:
    """One piece of a name: the first case that holds, else the table's entry, else `text`."""

    cases: tuple[NameCase, ...] = ()
    by: str | None = None
    table: Mapping[str, str] = field(default_factory=dict)
    """From the number the field `by` holds, in decimal, to a text."""

    last_path_part_of: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NameRule(Condition):
    """A whole name; the rule is passed over when a part of it stays unknown."""

    parts: tuple[NamePart, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerRule(Condition):
    """Tokenizer options that hold for some configs only."""

    options: Mapping[str, Scalar]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRule(Condition):
    """A block size that holds for some configs only."""

    tokens: int


def config_value(config: Mapping[str, object], name: str) -> object:
    """Return the field `name` of a config, or of its `text_config`; `None` when it has none."""
    return next((table[name] for table in _tables(config) if name in table), None)


def count_in(config: Mapping[str, object], names: tuple[str, ...]) -> int | None:
    """Return the first of the fields that is a whole number above zero."""
    for name in names:
        value = config_value(config, name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < LARGEST_COUNT:
            return value
    return None


def holds(condition: Condition, config: Mapping[str, object]) -> bool:
    """Say whether `condition` is true of `config`."""
    return (
        all(_is_one_of(config_value(config, name), wanted) for name, wanted in condition.where.items())
        and all(_has(config, name) for name in condition.present)
        and not any(_has(config, name) for name in condition.absent)
    )


def name_by_rules(rules: tuple[NameRule, ...], config: Mapping[str, object]) -> str | None:
    """Return the name the first fitting rule gives, made safe for file names; `None` when none fits."""
    for rule in rules:
        if not holds(rule, config):
            continue
        texts = [_part_text(part, config) for part in rule.parts]
        name = safe_name("".join(text or "" for text in texts))
        if name and None not in texts:
            return name
    return None


def name_by_layers(key: str, config: Mapping[str, object]) -> str:
    """Return a name for a config no rule knows: `key` and the number of layers, such as `llama_24l`."""
    layers = count_in(config, LAYER_FIELDS)
    return key if layers is None else f"{key}_{layers}l"


def safe_name(text: str) -> str:
    """Return `text` as one portable file name part; empty when nothing of it can stay."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:LONGEST_NAME].strip("-.")


def _tables(config: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    yield config
    nested = config.get("text_config")
    if isinstance(nested, Mapping):
        yield nested


def _has(config: Mapping[str, object], name: str) -> bool:
    return any(name in table for table in _tables(config))


def _is_one_of(value: object, wanted: Scalar | tuple[Scalar, ...]) -> bool:
    options = wanted if isinstance(wanted, tuple) else (wanted,)
    # True == 1 in Python; a config that says `true` for a number of layers matches nothing.
    return any(type(value) is type(option) and value == option for option in options)


def _part_text(part: NamePart, config: Mapping[str, object]) -> str | None:
    for case in part.cases:
        if holds(case, config):
            return case.text
    if part.by is not None:
        count = count_in(config, (part.by,))
        if count is not None and str(count) in part.table:
            return part.table[str(count)]
    if part.last_path_part_of is not None:
        path = config_value(config, part.last_path_part_of)
        return path.rstrip("/").rsplit("/", 1)[-1] if isinstance(path, str) else None
    return part.text
