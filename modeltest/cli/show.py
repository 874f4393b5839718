"""`modeltest list` and `report`: what there is, and what was found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from modeltest import registry
from modeltest.api import AccuracyTask, HarnessTask, OnRequest, PrerequisiteError, SequentialTask, Task
from modeltest.cli.execute import show

_STILL_GOING = (
    "the run in {folder} is still going, or its reports are being written; "
    "it writes them at its end: wait for it, or end it and ask again"
)


class _NamingReports(click.Command):
    """A command whose help names the installed reports, which are not looked up at every start."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names at the end."""
        with formatter.section("Reports"):
            formatter.write_text(", ".join(registry.report_names()))


@click.command("list")
@click.argument("what", type=click.Choice(("engines", "tasks", "models", "datasets", "reports")))
def list_(what: str) -> None:
    """List engines, tasks, models, datasets or reports."""
    header, rows = {
        "engines": _engines,
        "tasks": _tasks,
        "models": _models,
        "datasets": _datasets,
        "reports": _reports,
    }[what]()
    from modeltest.tables import print_rows

    print_rows(header, rows)


@click.command(cls=_NamingReports)
@click.argument("directory", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "formats",
    metavar="NAME",
    multiple=True,
    help="Write this report only, and print the paths of its files; repeat it for more. Some, such as "
    "legacy, are written in no other way: `modeltest list reports`.",
)
@click.option(
    "--trust-remote-code",
    "is_trusted",
    is_flag=True,
    help="Run the task file of the run, which is Python and named by DIRECTORY.",
)
def report(directory: Path, formats: tuple[str, ...], is_trusted: bool) -> int:
    """Write the reports of the run in DIRECTORY anew, from run.json and samples.jsonl, without a model.

    Of a run that was cut short too: what it finished is counted, and its verdict is INVALID (exit status 1).
    A run that is still going is left alone (exit status 3).
    """
    from modeltest.run.ending.formats import reports_named
    from modeltest.run.ending.questions import refuse_other_rows
    from modeltest.run.record.directory import LOG_FILE, read_result, refuse_links
    from modeltest.run.supervisor.lock import hold
    from modeltest.task_files.named import allow_code

    reports_named(formats)  # a wrong word is told before a wrong directory
    found = read_result(directory)  # a directory without a run gets no lock
    if is_trusted:
        allow_code(found.spec)
    refuse_other_rows(found)
    refuse_links(directory)
    with hold(directory / LOG_FILE, busy=_STILL_GOING):
        if formats:
            return _write_formats(directory, formats)
        from modeltest.run.ending.finish import finish

        result = finish(read_result(directory), directory, tell=lambda line: click.echo(line, err=True))
    show(directory)
    return result.exit_status or 0


def _write_formats(directory: Path, formats: Sequence[str]) -> int:
    from modeltest.run.ending.formats import write_formats
    from modeltest.run.record.directory import read_result

    written = write_formats(read_result(directory), directory, formats)
    for path in written.paths:
        click.echo(path)
    status = written.result.exit_status or 0
    if status:
        click.echo("verdict: INVALID", err=True)
        for reason in written.result.reasons:
            click.echo(f"  {reason}", err=True)
    return status


def _engines() -> tuple[Sequence[str], Iterable[Sequence[str]]]:
    from modeltest.grammar.modes import ENGINE_WORDS, OWN_ENGINES, engine_word, engines_of

    installed = registry.engine_names()
    obstacles_here = registry.engine_obstacles()
    serving = registry.words_served(but=OWN_ENGINES)
    others = (engine_word(name, installed=installed) for name in installed if name not in OWN_ENGINES)
    rows = []
    for word in (*ENGINE_WORDS, *others):
        present = [name for name in engines_of(word.word, serving=serving) if name in installed]
        obstacles = {name: why for name in present if (why := obstacles_here.get(name))}
        serves = next((name for name in present if name not in obstacles), None)
        what = "; ".join([word.description, *(f"not {name}: {why}" for name, why in obstacles.items())])
        rows.append((word.word, word.dtype or "as the checkpoint", serves or "not installed", what))
    return ("word", "dtype", "engine here", "what it is"), rows


def _tasks() -> tuple[Sequence[str], Iterable[Sequence[str]]]:
    from modeltest.api import PREDECESSOR_MODES

    rows = []
    for name in registry.task_names():
        try:
            task = registry.load_task(name)
            modes = registry.modes_of(name, task)
        except PrerequisiteError as problem:
            rows.append((name, "", "", str(problem)))
        else:
            rows.append((name, _kind_of(task), " ".join(mode.word for mode in modes), task.title))
    installed = registry.task_names()
    later = sorted({mode.task for mode in PREDECESSOR_MODES} - set(installed))
    rows += [(name, "", "", "known to the grammar, not available yet") for name in later]
    return ("task", "kind", "modes", "what it is"), rows


def _kind_of(task: Task) -> str:
    if isinstance(task, AccuracyTask):
        return "accuracy"
    if isinstance(task, SequentialTask):
        return "reference pack"
    return "harness" if isinstance(task, HarnessTask) else "measurement"


def _models() -> tuple[Sequence[str], Iterable[Sequence[str]]]:
    from modeltest.models.checkpoint import describe
    from modeltest.models.profiles import model_keys, profile

    rows = [describe(profile(key)) for key in model_keys()]
    return tuple(rows[0]), [tuple(row.values()) for row in rows]


def _datasets() -> tuple[Sequence[str], Iterable[Sequence[str]]]:
    from modeltest.data.store import listed_datasets

    rows = []
    for each in listed_datasets(None):
        title, licence = (each.card.title, each.card.licence) if each.card else ("-", "-")
        rows.append((each.name, title, licence, each.state))
    return ("dataset", "title", "licence", "here"), rows


def _reports() -> tuple[Sequence[str], Iterable[Sequence[str]]]:
    rows = []
    for name in registry.report_names():
        try:
            report = registry.load_report(name)
        except PrerequisiteError as problem:
            rows.append((name, str(problem)))
            continue
        if isinstance(report, OnRequest):
            rows.append((name, f"when asked for: modeltest report DIR --format {name}"))
        else:
            rows.append((name, "of every run it suits"))
    return ("report", "written"), rows
