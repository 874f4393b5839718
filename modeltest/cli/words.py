"""`modeltest run WORDS`: the positional grammar of `run.sh`."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import click

from modeltest import registry
from modeltest.cli.execute import execute, run_options, with_options
from modeltest.grammar.modes import all_modes
from modeltest.grammar.parse import parse, usage
from modeltest.models.profiles import model_keys


@click.command(
    "run",
    # Words such as -1 look like options; the grammar itself refuses what it does not know.
    context_settings={"ignore_unknown_options": True},
    epilog="\b\n" + usage(None),
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@run_options
def run(words: tuple[str, ...], dry_run: bool, verbose: bool, **options: Any) -> int:
    """Run what the WORDS of run.sh ask for, exactly as the predecessor's."""
    if not words:
        click.echo(usage(None), err=True)
        sys.exit(2)
    _refuse_unknown_options(words, click.get_current_context())
    spec = parse(
        words,
        modes=all_modes(registry.declared_modes()),
        model_keys=model_keys(),
        engines=registry.engine_names(),
    )
    return execute(with_options(spec, options), dry_run=dry_run, verbose=verbose)


def _refuse_unknown_options(words: Sequence[str], context: click.Context) -> None:
    """Refuse what looks like an option and is none: as a word it would be refused for the wrong reason.

    Raises: click.NoSuchOption.
    """
    known = [name for parameter in context.command.params for name in parameter.opts if name[0] == "-"]
    for word in words:
        if re.match(r"--?[A-Za-z]", word):
            name = word.partition("=")[0]
            raise click.NoSuchOption(name, possibilities=get_close_matches(name, known), ctx=context)
