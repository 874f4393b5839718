"""The options that say when a worker is hung."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from modeltest.options.number_types import seconds
from modeltest.options.runs import with_all
from modeltest.run.pipes.deadlines import Limits

Command = TypeVar("Command", bound=Callable[..., Any])

_DEFAULT = Limits()

TIMEOUTS = {
    "batch": "A worker is hung when no batch ends for S seconds, or for 10 times its slowest batch.",
    "load": "... or when it takes longer to load the model.",
    "heartbeat": "... or says nothing at all once it has; it beats every second. A hung worker is replaced.",
    "node": "Several nodes wait S seconds for each other before anything is loaded.",
}
"""What each limit of `Limits` in seconds means."""

LIMIT_OPTIONS = tuple(
    click.option(
        f"--{what}-timeout",
        type=seconds(above=0),
        default=getattr(_DEFAULT, f"{what}_s"),
        envvar=f"MODELTEST_{what.upper()}_TIMEOUT",
        show_envvar=True,
        show_default=True,
        metavar="S",
        help=text,
    )
    for what, text in TIMEOUTS.items()
)


def limit_options(command: Command) -> Command:
    """Add the options that say when a worker is hung."""
    return with_all(LIMIT_OPTIONS, command)


def limits_of(options: Mapping[str, Any]) -> Limits:
    """Return the values of `limit_options`."""
    return Limits(**{f"{what}_s": options[f"{what}_timeout"] for what in TIMEOUTS})


@click.command("the limits")
@limit_options
def limits_alone(**options: Any) -> Limits:
    """Take the limits and nothing else."""
    return limits_of(options)
