"""From a command and its options to a `RunSpec`: the options as words of a shell, or as keywords of Python.

Keywords become words first, so that both have the same defaults, variables, checks and messages.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum, auto
from numbers import Real
from typing import Any

import click

from modeltest.api import RunSpec, SpecError
from modeltest.grammar.modes import did_you_mean
from modeltest.options.accept import accept
from modeltest.options.commands import accuracy, maxbs, performance, precision
from modeltest.options.generate import generate
from modeltest.options.limits import limits_alone, limits_of
from modeltest.options.lm_eval import lm_eval
from modeltest.options.locate import locate
from modeltest.options.number_types import PAIRS
from modeltest.run.pipes.deadlines import Limits

COMMANDS: Mapping[str, click.Command] = {
    "accuracy": accuracy,
    "performance": performance,
    "maxbs": maxbs,
    "precision": precision,
    "lm-eval": lm_eval,
    "generate": generate,
    "accept": accept,
    "locate": locate,
}
"""What can be asked for. The callback of each returns the spec."""

RENAMED = {"as": "known_as"}
"""Options whose name Python reserves, and their keywords."""


class OptionKind(Enum):
    """What an option of the command line takes."""

    FLAG = auto()
    ONE = auto()
    MANY = auto()
    """It may be repeated."""

    PAIRS = auto()
    """Two numbers, such as 256,64; it may be repeated."""


def kind_of(option: click.Option) -> OptionKind:
    """Return what `option` takes."""
    if option.is_flag:
        return OptionKind.FLAG
    if option.callback is PAIRS["callback"]:
        return OptionKind.PAIRS
    return OptionKind.MANY if option.multiple else OptionKind.ONE


def long_names(option: click.Option) -> list[str]:
    """Return the names of `option` without their dashes, that which comes first in its help first."""
    return [name[2:] for name in (*option.opts, *option.secondary_opts) if name.startswith("--")]


def options_of(command: click.Command) -> Iterator[click.Option]:
    """Yield the options of `command`."""
    return (parameter for parameter in command.params if isinstance(parameter, click.Option))


def keywords_of(command: click.Command) -> dict[str, click.Option]:
    """Return the options of `command` by their keywords in Python: the name with `_` for each dash."""
    return {
        RENAMED.get(name, name.replace("-", "_")): option
        for option in options_of(command)
        for name in long_names(option)[:1]
    }


def asked_by_words(name: str, words: Sequence[str]) -> RunSpec:
    """Return what the command called `name` asks for with these words behind it.

    Raises: SpecError for words that are wrong; what the command itself refuses.
    """
    command = COMMANDS[name]
    context = _parsed(command, f"modeltest {name}", words)
    build: Any = command.callback
    with context:
        spec: RunSpec = build(**context.params)
    return spec


def words_of(name: str, keywords: Mapping[str, Any]) -> list[str]:
    """Return keywords of the command called `name` as words of a shell; `None` leaves an option out.

    Raises: SpecError for a command or a keyword that is not known, and for a value that is no option's.
    """
    if name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS)
        raise SpecError(f"unknown command {name!r:.80}; available: {', '.join(COMMANDS)}{hint}")
    return _words(name, keywords_of(COMMANDS[name]), keywords)


def asked_by_keywords(command: click.Command, keywords: Mapping[str, Any]) -> Any:
    """Return what the callback of `command` makes of keywords: for a command that asks for no single run.

    Raises: SpecError for a keyword that is not known, a value that is no option's; what the command refuses.
    """
    name = command.name or ""
    context = _parsed(command, f"modeltest {name}", _words(name, keywords_of(command), keywords))
    build: Any = command.callback
    with context:
        return build(**context.params)


def limits_by_keywords(keywords: Mapping[str, Any]) -> Limits:
    """Return the limits that keywords ask for, such as `batch_timeout=60`, in seconds.

    Raises: SpecError for one that is not known, and for a value that is no limit.
    """
    words = _words(limits_alone.name or "", keywords_of(limits_alone), keywords)
    return limits_of(_parsed(limits_alone, "modeltest", words).params)


def _parsed(command: click.Command, name: str, words: Sequence[str]) -> click.Context:
    try:
        return command.make_context(name, list(words))
    except click.ClickException as problem:
        raise SpecError(problem.format_message()) from None


def _words(name: str, options: Mapping[str, click.Option], keywords: Mapping[str, Any]) -> list[str]:
    words: list[str] = []
    for keyword, value in keywords.items():
        if keyword not in options:
            hint = did_you_mean(keyword, options) or f"; it has {', '.join(options)}"
            raise SpecError(f"{name} has no option {keyword!r:.80}{hint}")
        if value is not None:
            words.extend(_option_words(keyword, options[keyword], value))
    return words


def _option_words(keyword: str, option: click.Option, value: Any) -> Iterator[str]:
    kind = kind_of(option)
    if kind is OptionKind.FLAG:
        if not isinstance(value, bool):
            raise SpecError(f"{keyword} is True or False, not {value!r:.80}")
        yield from (option.opts if value else option.secondary_opts)[:1]
        return
    texts = [_text(keyword, value)] if kind is OptionKind.ONE else _texts(keyword, kind, value)
    yield from (f"{option.opts[0]}={text}" for text in texts)


def _texts(keyword: str, kind: OptionKind, value: Any) -> list[str]:
    """Return the values of an option that may be repeated, of which one need not stand in a list."""
    if isinstance(value, (str, os.PathLike)) or not isinstance(value, Iterable):
        return [_text(keyword, value)]
    values = list(value)
    if kind is not OptionKind.PAIRS:
        return [_text(keyword, each) for each in values]
    is_one = len(values) == 2 and all(isinstance(each, Real) for each in values)
    return [_pair(keyword, each) for each in ([values] if is_one else values)]


def _pair(keyword: str, value: Any) -> str:
    if isinstance(value, str) or not isinstance(value, Iterable):
        return _text(keyword, value)
    return ",".join(_text(keyword, number) for number in value)


def _text(keyword: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, os.PathLike, Real)):
        raise SpecError(f"{keyword} is a text or a number, not {value!r:.80}")
    return os.fsdecode(value) if isinstance(value, os.PathLike) else str(value)
