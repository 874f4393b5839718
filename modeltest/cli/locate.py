"""`modeltest locate`: the run of its options or a bisection, and the answer as the last line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modeltest.api import RunSpec, RunStatus
from modeltest.cli.execute import dump, execution_of, execution_options, how, tell_all, typed
from modeltest.options.asked import COMMANDS

if TYPE_CHECKING:
    from modeltest.run.supervisor.launch import RunOutcome

_ASKED = COMMANDS["locate"]
_OWN = [parameter.name for parameter in _ASKED.params if parameter.name is not None]


def _answer(outcome: RunOutcome) -> None:
    from modeltest.locate.files import read_located

    if outcome.result.status == RunStatus.COMPLETE:
        click.echo(read_located(outcome.directory).answer)


@click.command("locate", help=_ASKED.help)
@execution_options
@click.option(
    "--how",
    "manner",
    type=click.Choice(("auto", "hooks", "bisection")),
    default="auto",
    show_default=True,
    help="By looking into the model, or by checkpoints of its first layers; auto: by what the engine gives.",
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Bisection: keep the checkpoints of the first layers, in DIR.",
)
def locate(manner: str, keep: Path | None, **options: Any) -> int:
    """Run what is asked for and print the answer; its help is that of the options."""
    execution = execution_of(options)
    build: Callable[..., RunSpec] = _ASKED.callback  # type: ignore[assignment]
    spec = build(**{name: options[name] for name in _OWN})
    if execution.dry_run:
        return dump(spec)
    # Only here: the commands that run nothing stay quick.
    from modeltest.library.bisecting import carry_out_bisection, has_hooks
    from modeltest.library.carrying_out import carry_out

    command, manners = typed(), how(execution)
    if manner == "hooks" or (manner == "auto" and has_hooks(spec)):
        return tell_all(carry_out(spec, command=command, how=manners), afterwards=_answer)
    done = carry_out_bisection(spec, command=command, how=manners, keep=keep)
    click.echo(str(done.folder), err=True)
    click.echo(done.result.answer)
    return 0


locate.params[:0] = _ASKED.params
