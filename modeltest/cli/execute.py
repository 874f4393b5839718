"""What every command that runs something shares: how it is carried out, and the way to an exit status."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from modeltest.api import RunSpec, RunStatus
from modeltest.cli.node_command import typed_on
from modeltest.cluster.launch_lines import launch_lines
from modeltest.cluster.place import checked_table, node_of
from modeltest.machine.rank_messages import SECRET_VARIABLE, SHORTEST_SECRET, fresh_secret
from modeltest.options.limits import limit_options, limits_of
from modeltest.options.runs import with_all
from modeltest.plain.contracts import to_plain
from modeltest.run.pipes.deadlines import Limits

if TYPE_CHECKING:
    from modeltest.library.carrying_out import How
    from modeltest.run.supervisor.launch import RunOutcome

Command = TypeVar("Command", bound=Callable[..., Any])

_EXECUTION_OPTIONS = (
    click.option(
        "--dry-run",
        is_flag=True,
        help="Print the spec as JSON, and what starts on each of several nodes; start nothing.",
    ),
    click.option("-v", "--verbose", is_flag=True, help="Show the worker's output when it has ended."),
)


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """How a run is carried out; nothing of it changes what is asked."""

    dry_run: bool
    verbose: bool
    limits: Limits


def execution_options(command: Command) -> Command:
    """Add the options that say how a run is carried out."""
    return limit_options(with_all(_EXECUTION_OPTIONS, command))


def running(asked: click.Command, *, afterwards: Callable[[RunOutcome], None] | None = None) -> click.Command:
    """Return the command that runs what `asked` asks for, with the options that say how beside its own.

    `afterwards` is called with each run that was shown, for a last word.
    """
    build: Callable[..., RunSpec] = asked.callback  # type: ignore[assignment]

    own = [parameter.name for parameter in asked.params if parameter.name is not None]

    @click.command(asked.name, help=asked.help)
    @execution_options
    def run(**options: Any) -> int:
        execution = execution_of(options)
        spec = build(**{name: options[name] for name in own})
        if execution.dry_run:
            return dump(spec)
        # Only here: the commands that run nothing stay quick.
        from modeltest.library.carrying_out import carry_out

        return tell_all(carry_out(spec, command=typed(), how=how(execution)), afterwards=afterwards)

    run.params[:0] = asked.params
    return run


def execution_of(options: Mapping[str, Any]) -> ExecutionOptions:
    """Return the values of `execution_options`."""
    return ExecutionOptions(dry_run=options["dry_run"], verbose=options["verbose"], limits=limits_of(options))


def tell_all(
    outcomes: Iterable[RunOutcome], *, afterwards: Callable[[RunOutcome], None] | None = None
) -> int:
    """Print table and paths of the files of each run as it ends, and return the highest exit status."""
    statuses = []
    for outcome in outcomes:
        statuses.append(conclude(outcome))
        if afterwards is not None:
            afterwards(outcome)
    return max(statuses)


def typed() -> str:
    """Return the command that was typed."""
    return shlex.join(["modeltest", *sys.argv[1:]])


def dump(spec: RunSpec) -> int:
    """Print `spec` as JSON and, on standard error, what starts on each of several nodes.

    Raises: SpecError for a rank table that cannot be used.
    """
    table = checked_table(spec)
    click.echo(json.dumps(to_plain(spec), ensure_ascii=False, indent=2))
    if table is not None:
        context = click.get_current_context()
        is_set = len(os.environ.get(SECRET_VARIABLE, "")) >= SHORTEST_SECRET
        for line in launch_lines(
            spec,
            table,
            os.environ,
            words=lambda there: typed_on(there, context),
            drawn_secret=None if is_set else fresh_secret(),
        ):
            click.echo(line, err=True)
    return 0


def how(execution: ExecutionOptions) -> How:
    """Return how a run is carried out for somebody at a terminal, or for the log of one."""
    from modeltest.library.carrying_out import How
    from modeltest.run.supervisor.progress import progress_for

    return How(progress_for(sys.stderr.isatty()), execution.limits, verbose=execution.verbose)


def conclude(outcome: RunOutcome) -> int:
    """Print what came of a run and return the exit status.

    Raises: what stopped the run early, when its partial result has been shown.
    """

    if outcome.result.status == RunStatus.FOLLOWED:
        click.echo(_followed(outcome))
        return 0
    if outcome.interrupt is None:
        show(outcome.directory)
        return outcome.result.exit_status or 0
    if outcome.result.summary is not None:
        with suppress(OSError):  # the terminal may be what ended the run
            show(outcome.directory)
    raise outcome.interrupt


def _followed(outcome: RunOutcome) -> str:
    cluster = outcome.result.spec.cluster
    assert cluster is not None
    return (
        f"node {node_of(outcome.result.spec)} of {cluster.nodes} did its part; "
        f"the results are on the first node, {cluster.master_address}"
    )


def show(directory: Path) -> None:
    """Print the table of the run in `directory` and the paths of its files."""
    from modeltest.run.record.directory import read_result
    from modeltest.tables import print_result

    print_result(read_result(directory), directory)
