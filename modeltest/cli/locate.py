"""`modeltest locate`: the run of its options, and the answer as the last line."""

from __future__ import annotations

from typing import Any

import click

from modeltest.api import RunStatus
from modeltest.cli.execute import dump, execution_of, execution_options, how, tell_all, typed
from modeltest.options.asked import COMMANDS


def _command() -> click.Command:
    asked = COMMANDS["locate"]
    own = [parameter.name for parameter in asked.params if parameter.name is not None]
    build: Any = asked.callback

    @click.command(asked.name, help=asked.help)
    @execution_options
    def run(**options: Any) -> int:
        execution = execution_of(options)
        spec = build(**{name: options[name] for name in own})
        if execution.dry_run:
            return dump(spec)
        from modeltest.library.carrying_out import carry_out
        from modeltest.locate.files import read_located

        outcomes = list(carry_out(spec, command=typed(), how=how(execution)))
        status = tell_all(outcomes)
        for outcome in outcomes:
            if outcome.result.status == RunStatus.COMPLETE:
                click.echo(read_located(outcome.directory).answer)
        return status

    run.params[:0] = asked.params
    return run


locate = _command()
