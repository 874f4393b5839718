"""What every command that runs something shares: its options, and the way from a spec to an exit status."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from modeltest import registry
from modeltest.api import AccuracyTask, RunResult, RunSpec, RunStatus, SpecError, Verdict
from modeltest.cli.node_command import typed_on
from modeltest.cli.number_types import SEED, count, seconds
from modeltest.cluster.launch_lines import launch_lines
from modeltest.cluster.place import checked_table, node_of
from modeltest.machine.rank_messages import SECRET_VARIABLE, SHORTEST_SECRET, fresh_secret
from modeltest.plain.contracts import to_plain
from modeltest.run.pipes.deadlines import Limits

if TYPE_CHECKING:
    from modeltest.run.supervisor.launch import RunOutcome

Command = TypeVar("Command", bound=Callable[..., Any])

INVALID = Verdict.INVALID.exit_status
"""Exit status of a run that ended but whose numbers may not be used."""

PROTOCOLS = ("modeltest", "lm-eval", "lm-eval-flexible")
DEVICES = ("npu", "cuda", "cpu")

_DEFAULT = Limits()

_TIMEOUTS = {
    "batch": "A worker is hung when no batch ends for S seconds, or for 10 times its slowest batch.",
    "load": "... or when it takes longer to load the model.",
    "heartbeat": "... or says nothing at all once it has; it beats every second. A hung worker is replaced.",
    "node": "Several nodes wait S seconds for each other before anything is loaded.",
}
"""What each limit of `Limits` in seconds means."""

_LONGEST_NAME = 80


def _name(_: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    """Refuse a name that no table could show."""
    if text is not None and (not text.strip() or len(text) > _LONGEST_NAME or not text.isprintable()):
        raise click.BadParameter(
            f"{text!r:.90} is no name; 1 to {_LONGEST_NAME} printable characters are", param=parameter
        )
    return text


_OWN_TASK_OPTIONS = (
    click.option(
        "--subject",
        "subjects",
        multiple=True,
        metavar="NAME",
        help="Ask this subject only, such as astronomy; repeat it for more.",
    ),
    click.option(
        "--data-dir",
        envvar="MODELTEST_DATA_DIR",
        show_envvar=True,
        metavar="DIR",
        help="Where the datasets are.",
    ),
    click.option(
        "--protocol",
        type=click.Choice(PROTOCOLS),
        default="modeltest",
        show_default=True,
        help="Prompts and scoring rules: MindIE's or lm-evaluation-harness's, whose gsm8k has two scores.",
    ),
    click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of random inputs."),
    click.option("--quick", is_flag=True, help="Fewer trials: a look, not a measurement."),
    click.option(
        "--min-trials",
        type=count(),
        metavar="N",
        help="performance: measure each case at least N times; a 90th percentile needs 44.  [default: 5]",
    ),
    click.option(
        "--case-budget-s",
        type=seconds(),
        default=300.0,
        show_default=True,
        metavar="SECONDS",
        help="performance: after this time a case gets no trial beyond the fewest.",
    ),
)
"""Options of our own tasks; another harness has others."""

_OPTIONS = (
    click.option(
        "--as",
        "known_as",
        callback=_name,
        metavar="NAME",
        help="What the model is called, whatever its weights: one history for weights that are made anew.  "
        "[default: its folder and a short fingerprint]",
    ),
    click.option(
        "--limit",
        type=count(),
        metavar="N",
        help="Ask N questions per subject or task, or N prompts.",
    ),
    click.option(
        "--output",
        "output_dir",
        envvar="MODELTEST_OUTPUT_DIR",
        default="outputs",
        show_default=True,
        show_envvar=True,
        metavar="DIR",
        help="Where run directories are made.",
    ),
    click.option(
        "--device",
        type=click.Choice(DEVICES),
        envvar="MODELTEST_DEVICE",
        show_envvar=True,
        help="Demand a device; where it is absent the run ends with 3.",
    ),
    click.option(
        "--allow-dtype-cast",
        is_flag=True,
        help="Load the checkpoint in the dtype asked for even if config.json names another.",
    ),
    click.option(
        "--engine-option",
        "engine_options",
        multiple=True,
        metavar="NAME=VALUE",
        help="An option of the engine, such as step_ms=2 of fake; its documentation has them.",
    ),
)

_LIMIT_OPTIONS = tuple(
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
    for what, text in _TIMEOUTS.items()
)

_EXECUTION_OPTIONS = (
    click.option(
        "--dry-run",
        is_flag=True,
        help="Print the spec as JSON, and what starts on each of several nodes; start nothing.",
    ),
    click.option("-v", "--verbose", is_flag=True, help="Show the worker's output when it has ended."),
)

SPEC_FIELDS = (
    "subjects",
    "limit",
    "known_as",
    "output_dir",
    "data_dir",
    "protocol",
    "seed",
    "quick",
    "min_trials",
    "case_budget_s",
    "device",
    "allow_dtype_cast",
)


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """How a run is carried out; nothing of it changes what is asked."""

    dry_run: bool
    verbose: bool
    limits: Limits


def run_options(command: Command) -> Command:
    """Add the options that every run of our own tasks takes."""
    return harness_options(_with(_OWN_TASK_OPTIONS, command))


def harness_options(command: Command) -> Command:
    """Add the options that every run takes, also one of another harness."""
    return _with(_OPTIONS, limit_options(_with(_EXECUTION_OPTIONS, command)))


def limit_options(command: Command) -> Command:
    """Add the options that say when a worker is hung."""
    return _with(_LIMIT_OPTIONS, command)


def running(build: Callable[..., RunSpec]) -> Callable[..., int]:
    """Make a command of a function that returns what is asked for; `asked_by_words` calls it alone."""

    @wraps(build)
    def command(**options: Any) -> int:
        return execute(with_options(build(**options), options), execution_options(options))

    return command


def asked_by_words(command: click.Command, name: str, words: Sequence[str]) -> RunSpec:
    """Return what a command made by `running` would run.

    Raises: SpecError for words that are wrong; what the command itself refuses.
    """
    build: Callable[..., RunSpec] = getattr(command.callback, "__wrapped__")  # noqa: B009
    try:
        context = command.make_context(name, list(words))
    except click.ClickException as problem:
        raise SpecError(problem.format_message()) from None
    with context:
        return with_options(build(**context.params), context.params)


def with_options(spec: RunSpec, options: Mapping[str, Any]) -> RunSpec:
    """Return `spec` with the values of `run_options` or `harness_options`.

    Raises: SpecError when an engine option is not of the form NAME=VALUE.
    """
    pairs = {}
    for text in options["engine_options"]:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise SpecError(f"--engine-option {text!r}: expected NAME=VALUE")
        pairs[name] = value
    fields = {name: options[name] for name in SPEC_FIELDS if name in options}
    return replace(spec, engine_options=pairs, **fields)


def execution_options(options: Mapping[str, Any]) -> ExecutionOptions:
    """Return the part of `run_options` or `harness_options` that is no part of what is asked."""
    return ExecutionOptions(dry_run=options["dry_run"], verbose=options["verbose"], limits=limits_of(options))


def limits_of(options: Mapping[str, Any]) -> Limits:
    """Return the values of `limit_options`."""
    return Limits(**{f"{what}_s": options[f"{what}_timeout"] for what in _TIMEOUTS})


def execute(spec: RunSpec, execution: ExecutionOptions) -> int:
    """Run `spec`, print its table and the paths of its files, and return the exit status.

    Several batch sizes of an accuracy task are several runs: each must stand on its own.
    """
    if execution.dry_run:
        return dump(spec)
    return max([_run_one(single, execution) for single in singles(spec)])


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


def singles(spec: RunSpec) -> list[RunSpec]:
    """Return the runs that `spec` asks for."""
    if not isinstance(registry.task_of(spec), AccuracyTask):
        return [spec]
    return [replace(spec, batch_sizes=((size,),)) for size in spec.batch_sizes[0]]


def _run_one(spec: RunSpec, execution: ExecutionOptions) -> int:
    # Only here: the commands that run nothing stay quick.
    from modeltest.run.planning.plan import plan
    from modeltest.run.supervisor.launch import launch
    from modeltest.run.supervisor.progress import progress_for
    from modeltest.run.supervisor.workers import Workers

    progress = progress_for(sys.stderr.isatty())
    command = shlex.join(["modeltest", *sys.argv[1:]])
    outcome = launch(
        plan(spec),
        command=command,
        progress=progress,
        verbose=execution.verbose,
        workers=Workers(execution.limits),
    )
    return conclude(outcome)


def conclude(outcome: RunOutcome) -> int:
    """Print what came of a run and return the exit status.

    Raises: what stopped the run early, when its partial result has been shown.
    """

    if outcome.result.status == RunStatus.FOLLOWED:
        click.echo(_followed(outcome))
        return 0
    if outcome.interrupt is None:
        show(outcome.directory)
        return exit_status(outcome.result)
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


def exit_status(result: RunResult) -> int:
    """Return the exit status that says what the verdict of a finished run does."""
    return result.verdict.exit_status if result.verdict else 0


def show(directory: Path) -> None:
    """Print the table of the run in `directory` and the paths of its files."""
    from modeltest.run.record.directory import read_result
    from modeltest.tables import print_result

    print_result(read_result(directory), directory)


def _with(options: Sequence[Callable[[Command], Command]], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
