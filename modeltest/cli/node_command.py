"""The command at hand as it is typed on another node: the same, with that node's place in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click
from click.core import ParameterSource

from modeltest import registry
from modeltest.api import Parallel, RunSpec
from modeltest.cluster.place import node_of
from modeltest.grammar.modes import all_modes
from modeltest.grammar.write import to_words

_NOT_REPEATED = ("dry_run", "node_rank")

_TYPED = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
"""What variables of this shell say is an option there: nodes compare what they run, and shells differ."""


def typed_on(spec: RunSpec, context: click.Context) -> list[str] | None:
    """Return the words after `run.sh` that the node of `spec` is given for the run that `context` asks for.

    `None` when that is to go on with a run: its directory says what began it.
    """
    if context.params.get("resume") is not None:
        return None
    if "words" in context.params:
        return [*to_words(spec, modes=all_modes(registry.declared_modes())), *_options(context)]
    return [context.info_name or "", *_options(context), "--node-rank", str(node_of(spec))]


def _options(context: click.Context) -> Iterator[str]:
    """Yield every option that was given, as it may be typed."""
    for option in context.command.params:
        name = option.name or ""
        if not isinstance(option, click.Option) or name in _NOT_REPEATED:
            continue
        if context.get_parameter_source(name) not in _TYPED:
            continue
        value = context.params[name]
        if option.is_flag:
            yield (option.opts if value else option.secondary_opts)[0]
            continue
        for each in value if option.multiple else [value]:
            text = _text(each)
            yield from (f"{option.opts[0]}={text}",) if text.startswith("-") else (option.opts[0], text)


def _text(value: Any) -> str:
    if isinstance(value, Parallel):
        return ",".join(f"{name}={degree}" for name, degree in asdict(value).items() if degree > 0) or "[-1]"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
