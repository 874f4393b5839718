"""`modeltest dashboard`: the history of many runs as a site of plain files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from modeltest.api import KNOWN_BEFORE, Dashboard, Mark, RunState
from modeltest.options.number_types import percent

_SHOWN = 5
"""Of runs that cannot be read, and of regressions, so many are named; the site has all."""

_FOLDER = click.Path(path_type=Path)


class _DashboardGroup(click.Group):
    """A group in which anything but a command begins the words of `build`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and args[0] not in ctx.help_option_names:
            args = ["build", *args]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None:
            return "build", self.get_command(ctx, "build"), args
        return super().resolve_command(ctx, args)


@click.group(cls=_DashboardGroup, subcommand_metavar="RUNS... --out SITE | serve SITE", no_args_is_help=True)
def dashboard() -> None:
    """Build a site of the history of many runs, and look at it.

    \b
      modeltest dashboard outputs/ --out site/   build it, or bring it up to date
      modeltest dashboard serve site/            look at it on this machine
      modeltest dashboard build --help           all options

    The site is plain files: site/index.html opens without a server, and any web server can publish the
    folder. It shows each number of each model, task and engine over time with its interval, and marks what
    became worse by the rules of `modeltest compare`. site/index.sqlite has everything for questions of
    your own.
    """


@dashboard.command()
@click.argument("runs", nargs=-1, required=True, type=_FOLDER)
@click.option(
    "--out", type=_FOLDER, default=Path("site"), show_default=True, metavar="SITE", help="The site."
)
@click.option(
    "--accept",
    "accepted",
    type=_FOLDER,
    multiple=True,
    metavar="RUN",
    help="Compare later runs with this one even if it is worse: the change was wanted. Is remembered.",
)
@click.option(
    "--max-drop",
    type=percent,
    metavar="P%",
    help="A larger drop of accuracy, beyond chance, is a regression.  [default: 0.5%]",
)
@click.option(
    "--tolerance",
    type=percent,
    metavar="P%",
    help="A larger rise of a latency, beyond doubt, is a regression.  [default: 5%]",
)
@click.option("--language", type=click.Choice(("en", "zh")), help="[default: that of the reader's browser]")
def build(
    runs: tuple[Path, ...],
    out: Path,
    accepted: tuple[Path, ...],
    max_drop: float | None,
    tolerance: float | None,
    language: str | None,
) -> None:
    """Build a site over the runs in and below RUNS, or bring it up to date.

    The site remembers the runs it has seen: a later call reads only what is new or has changed, and one
    with a single new run adds it. Runs whose directory is gone leave the site. To begin anew, remove SITE.
    """
    from modeltest.compare.tolerances import Tolerances
    from modeltest.dashboard.build import INDEX_PAGE, build_site

    tolerances = Tolerances()
    if max_drop is not None:
        tolerances = replace(tolerances, max_drop=max_drop)
    if tolerance is not None:
        tolerances = replace(tolerances, latency=tolerance)
    built = build_site(runs, out, tolerances=tolerances, accepted=accepted, language=language, tell=_tell)
    changes, shown = built.changes, built.dashboard
    counts = f"{len(changes.new)} new, {len(changes.changed)} changed, {changes.unchanged} as before"
    gone = f", {len(changes.gone)} gone" if changes.gone else ""
    _tell(f"{len(shown.runs)} runs: {counts}{gone}; {len(built.pages)} pages written")
    _tell_joined(shown)
    _tell_unreadable(shown)
    _tell_regressions(shown)
    click.echo(str(out / INDEX_PAGE))


@dashboard.command()
@click.argument("site", type=_FOLDER)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="0 takes any that is free.",
)
def serve(site: Path, port: int) -> None:
    """Show SITE to the browsers of this machine, and to nobody else, until Ctrl-C."""
    from modeltest.dashboard.serve import serve as serve_site

    serve_site(site, port, tell=_tell)


def _tell_joined(shown: Dashboard) -> None:
    """Say which histories of an earlier version go on under another name."""
    found: dict[tuple[str, str], int] = {}
    for run in shown.runs.values():
        if KNOWN_BEFORE in run.facts:
            names = run.facts[KNOWN_BEFORE], run.model
            found[names] = found.get(names, 0) + 1
    for (before, now), count in found.items():
        _tell(f"{count} runs of an earlier version, known as {before}, are in the history of {now}")


def _tell_unreadable(shown: Dashboard) -> None:
    found = [run for run in shown.runs.values() if run.state is RunState.UNREADABLE]
    for run in found[:_SHOWN]:
        _tell(f"not readable: {run.directory}: {run.problem}")
    if len(found) > _SHOWN:
        _tell(f"not readable: {len(found) - _SHOWN} more; the site lists them")


def _tell_regressions(shown: Dashboard) -> None:
    found = [
        (history, series)
        for history in shown.histories
        for series in history.series
        if series.points and series.points[-1].compared.mark is Mark.REGRESSION
    ]
    for history, series in found[:_SHOWN]:
        what = " ".join(
            filter(None, (history.model, history.task, history.engine, series.case, series.family))
        )
        _tell(f"regression: {what}: {series.points[-1].compared.note}")
    if len(found) > _SHOWN:
        _tell(f"regression: {len(found) - _SHOWN} more; the site marks them")


def _tell(line: str) -> None:
    click.echo(line, err=True)
