"""The options that say which prompts a measurement submits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from modeltest.api import PromptSource, SpecError, TaskOptions
from modeltest.grammar.words import PERFORMANCE_DATASETS, WordError, read_batch_groups

Command = TypeVar("Command", bound=Callable[..., Any])

ONE_GROUP = 1

prompts_option = click.option(
    "--prompts",
    "--prompt-ids",
    "prompt_input",
    metavar="LIST|FILE",
    help='Prompts: token ids [1,2,3], texts ["hello","hi"], lists of token ids, or a file with one of these.',
)


def _read_batches(_: click.Context, parameter: click.Parameter, text: str | None) -> int | str | None:
    if text is None:
        return _NOT_GIVEN
    try:
        return read_batch_groups(text)
    except WordError as problem:
        raise click.BadParameter(f"{text!r}: {problem}; or INF for all", param=parameter) from None


_NOT_GIVEN = "not given"

_DATASET_OPTIONS = (
    click.option(
        "--dataset",
        type=click.Choice(PERFORMANCE_DATASETS),
        help="Take the prompts from a dataset; customize is DATA_DIR/customize/customize.jsonl.",
    ),
    click.option(
        "--padding", is_flag=True, help="Bring each row of the dataset to the input length of the case."
    ),
    click.option(
        "--batches",
        metavar="N|INF",
        callback=_read_batches,
        help="Measure at least N batches of other rows, or with INF every row of the dataset.",
    ),
)


def dataset_options(command: Command) -> Command:
    """Add the options that take the prompts of a measurement from a dataset."""
    for option in reversed(_DATASET_OPTIONS):
        command = option(command)
    return command


def prompts_asked(
    *, prompt_input: str | None, dataset: str | None, padding: bool, batches: int | str | None
) -> TaskOptions:
    """Return what the options ask for.

    Raises: SpecError for options that do not go together.
    """
    if dataset is None and (padding or batches != _NOT_GIVEN):
        raise SpecError("--padding and --batches are about the rows of a dataset; give --dataset too")
    if dataset is not None and prompt_input is not None:
        raise SpecError("--dataset and --prompts both say what the prompts are; give one of them")
    if dataset is None:
        return TaskOptions(prompt_input=prompt_input)
    group = ONE_GROUP if isinstance(batches, str) else batches
    return TaskOptions(prompt_source=PromptSource(dataset, padding, group))
