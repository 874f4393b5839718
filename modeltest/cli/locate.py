"""`modeltest locate`: the run of its options, and the answer as the last line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from modeltest.api import RunStatus
from modeltest.cli.execute import running
from modeltest.options.asked import COMMANDS

if TYPE_CHECKING:
    from modeltest.run.supervisor.launch import RunOutcome


def _answer(outcome: RunOutcome) -> None:
    from modeltest.locate.files import read_located

    if outcome.result.status == RunStatus.COMPLETE:
        click.echo(read_located(outcome.directory).answer)


locate = running(COMMANDS["locate"], afterwards=_answer)
