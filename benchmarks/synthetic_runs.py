"""Writes run directories of runs that never were, to try the dashboard on.

python benchmarks/synthetic_runs.py --help
"""

from __future__ import annotations

from pathlib import Path

import click
from synthetic.lines import LINES
from synthetic.runs import Plan, write_odd_runs, write_runs


@click.command()
@click.argument("count", type=click.IntRange(min=1))
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.option("--seed", type=int, default=0, show_default=True, help="Equal seeds give equal numbers.")
@click.option(
    "--questions", type=click.IntRange(min=60), default=400, show_default=True, help="Of an accuracy run."
)
@click.option("--odd", is_flag=True, help="Also a failed, a running, an interrupted and a damaged run.")
@click.option("--reports", is_flag=True, help="Write every report of each run too; takes minutes.")
def main(count: int, directory: Path, seed: int, questions: int, odd: bool, reports: bool) -> None:
    """Write COUNT runs of made-up models into DIRECTORY, night by night, seeded.

    Their numbers mean nothing, and `engine.notes` of each says so; the files are those of real runs. Some
    histories get slower, worse or better on the way, which is what a dashboard is to find.
    """
    written = write_runs(directory, count, seed=seed, questions=questions, reports=reports)
    if odd:
        written += write_odd_runs(directory, Plan(LINES[0], count // len(LINES) + 1, 0), seed=seed)
    click.echo(f"wrote {len(written)} runs: {directory}")


if __name__ == "__main__":
    main()
