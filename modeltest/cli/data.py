"""`modeltest data`: list, verify, add and fetch the datasets' full files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from modeltest.api import DatasetError, ModelTestError

if TYPE_CHECKING:
    from modeltest.data.store import SplitFinding

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _data_dir_option(command: _Command) -> _Command:
    return click.option(
        "--data-dir",
        metavar="DIR",
        help="Folder of all datasets. Default: $MODELTEST_DATA_DIR, else ~/.cache/modeltest/data.",
    )(command)


@click.group()
def data() -> None:
    """Manage the datasets of accuracy tasks and timed runs.

    The bundled samples need nothing. A full dataset is a folder of its original, unchanged files:

    \b
      DIR/boolq/dev.jsonl  (or val.jsonl of SuperGLUE; train.jsonl gives the shots)
      DIR/mmlu/test/*_test.csv   DIR/mmlu/dev/*_dev.csv
      DIR/ceval/val/*_val.csv    DIR/ceval/dev/*_dev.csv
      DIR/gsm8k/test.jsonl       DIR/gsm8k/train.jsonl  (the shots)
      DIR/humaneval/HumanEval.jsonl.gz  (prompts of timed runs)
      DIR/customize/customize.jsonl  (your own: {"question": "the prompt"} in each line)

    With a network `modeltest data fetch NAME` makes it; without one, copy the files from elsewhere and hand
    them over with `modeltest data add NAME PATH`.
    """


@data.command("list")
@_data_dir_option
def list_(data_dir: str | None) -> None:
    """List the datasets, where they come from, and what of them is here."""
    from modeltest.data.store import listed_datasets
    from modeltest.tables import print_rows

    rows = []
    for each in listed_datasets(data_dir):
        title, licence = (each.card.title, each.card.licence) if each.card else ("-", "-")
        rows.append((each.name, title, licence, each.state, each.card.homepage if each.card else "-"))
    print_rows(("dataset", "title", "licence", "here", "homepage"), rows)


@data.command()
@click.argument("name", required=False)
@_data_dir_option
def verify(name: str | None, data_dir: str | None) -> None:
    """Compare the files of NAME, or of every dataset that is here, with the official ones.

    The status of a split is one of: official (same bytes), different, unverified (as many rows, but no digest
    of the official file is known), incomplete, malformed, absent. Ends with 4 when a split is different,
    incomplete or malformed, or when NAME is absent.
    """
    from modeltest.data.card import card_names
    from modeltest.data.store import describe_mismatches, verify_dataset

    by_name = {}
    for each in [name] if name else card_names():
        try:
            by_name[each] = verify_dataset(each, data_dir)
        except ModelTestError as problem:
            if name:
                raise
            click.echo(f"{each} is left out: {problem}", err=True)  # a package may have brought it
    _print_findings(finding for findings in by_name.values() for finding in findings)
    here = [findings for each, findings in by_name.items() if each == name or _is_here(findings)]
    problems = [line for line in map(describe_mismatches, here) if line]
    if problems:
        raise DatasetError("; ".join(problems))


@data.command()
@click.argument("name")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace files that are there with other content.")
@_data_dir_option
def add(name: str, path: Path, force: bool, data_dir: str | None) -> None:
    """Copy the files of dataset NAME from PATH into the data directory.

    PATH is a folder in the original layout, or for boolq the file dev.jsonl, val.jsonl or train.jsonl.
    Nothing is changed unless all files of a split are there and readable.

    \b
    Examples:
      modeltest data add boolq ~/downloads/dev.jsonl
      modeltest data add mmlu ~/downloads/data       (the unpacked data.tar: dev/ and test/)
      modeltest data add ceval ~/downloads/ceval-exam
    """
    from modeltest.data.store import add_dataset

    _print_outcome(add_dataset(name, path, data_dir, force=force), name, data_dir)


@data.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Replace files that are there with other content.")
@_data_dir_option
def fetch(name: str, force: bool, data_dir: str | None) -> None:
    """Download dataset NAME from the Hugging Face hub and write its original files.

    Needs a network and the extra `fetch`; where that is missing, it says how to install it.
    """
    from modeltest.data.fetch import fetch_dataset

    _print_outcome(fetch_dataset(name, data_dir, force=force), name, data_dir)


def _is_here(findings: Iterable[SplitFinding]) -> bool:
    return any(finding.files for finding in findings)


def _print_outcome(findings: Sequence[SplitFinding], name: str, data_dir: str | None) -> None:
    from modeltest.data.load import data_directory
    from modeltest.data.store import describe_mismatches

    _print_findings(findings)
    click.echo(f"{name} is in {data_directory(data_dir) / name}")
    if problems := describe_mismatches(findings):
        click.echo(f"note: runs will report this dataset as not official: {problems}")


def _print_findings(findings: Iterable[SplitFinding]) -> None:
    rows = [
        (
            finding.dataset,
            finding.split,
            finding.role.value,
            finding.status.value,
            f"{finding.files}/{finding.files_expected}",
            f"{'-' if finding.rows is None else finding.rows}/{finding.rows_expected}",
            finding.sha256 or "-",
        )
        for finding in findings
    ]
    from modeltest.tables import print_rows

    print_rows(("dataset", "split", "role", "status", "files", "rows", "sha256"), rows)
