"""What `accuracy`, `performance`, `precision` and `maxbs` ask for: the runs of the words of `run.sh`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import click

from modeltest import registry
from modeltest.api import (
    PREDECESSOR_MODES,
    AccuracyTask,
    BatchRange,
    Case,
    Mode,
    RunSpec,
    SpecError,
    TaskOptions,
)
from modeltest.grammar.bounds import LONGEST_S
from modeltest.grammar.modes import did_you_mean
from modeltest.options.models import model_fields, model_options, prefill_options
from modeltest.options.number_types import PAIRS, count, decimal
from modeltest.options.prompts import dataset_options, prompts_asked, prompts_option
from modeltest.options.runs import Command, run_fields, run_options, with_all
from modeltest.options.task_files import named_task_file

_QUESTION_OPTIONS = (
    click.option("--shots", type=count(lowest=0), default=0, show_default=True, metavar="N"),
    click.option("--split", type=click.Choice(("full", "sample")), default="full", show_default=True),
    click.option("--batch-size", type=count(), default=8, show_default=True, metavar="N"),
    click.option("--chat", is_flag=True, help="Use the model's chat template."),
)


def question_options(command: Command) -> Command:
    """Add the options that say how the questions of a dataset are asked."""
    return with_all(_QUESTION_OPTIONS, command)


def questions_asked(task_name: str | None, task_file: str | None, options: Mapping[str, Any]) -> RunSpec:
    """Return the run that asks the questions of the task called `task_name`, or of that in `task_file`.

    Raises: SpecError, also for both or none of them; DatasetError for rows of the file that do not fit.
    """
    mode = _mode_asked(task_name, task_file, options["split"], shots=options["shots"])
    return RunSpec(
        mode=mode.word,
        task=mode.task,
        split=options["split"],
        options=TaskOptions(shots=options["shots"]),
        batch_sizes=((options["batch_size"],),),
        chat=options["chat"],
        **model_fields({**options}),
        **run_fields(options),
    )


@click.command()
@click.option("--task", "task_name", help="boolq, gsm8k, mmlu, ...: `modeltest list tasks`.")
@click.option(
    "--task-file",
    metavar="FILE",
    help="Or a task that a file describes, FILE.toml or FILE.py, with its rows beside it: docs/task-file.md.",
)
@question_options
@model_options
@run_options
def accuracy(task_name: str | None, task_file: str | None, **options: Any) -> RunSpec:
    """Ask a model the questions of a dataset and score its answers.

    \b
    A task without any package is a file (docs/task-file.md), such as capitals.toml:
      name = "capitals"
      kind = "choices"          # or yes_no, generation
      data = "capitals.jsonl"   # {"question": "...", "A": "...", "B": "...", "answer": "B"}
    """
    return questions_asked(task_name, task_file, options)


_BATCH_SIZES = click.option("--batch-size", "batch_sizes", type=count(), multiple=True, default=(1,))


@click.command()
@click.option("--case", "cases", **PAIRS, required=True, help="Input and output tokens.")
@_BATCH_SIZES
@dataset_options
@prompts_option
@prefill_options
@click.option("--chat", is_flag=True, help="Lay the prompts out by the model's chat template.")
@model_options
@run_options
def performance(
    cases: tuple[tuple[int, int], ...],
    batch_sizes: tuple[int, ...],
    chat: bool,
    prompt_input: str | None,
    **options: Any,
) -> RunSpec:
    """Measure latency token by token; repeat --case and --batch-size for more.

    Prompts are random token ids unless --dataset or --prompts says otherwise.
    """
    mode = "performance" if prompt_input is None else "performance_single"
    asked = {name: options.pop(name) for name in ("dataset", "padding", "batches")}
    prefill = {name: options.pop(name) for name in ("prefill_batch_size", "prefill_length")}
    if prompt_input is not None and any(prefill.values()):
        raise SpecError("--prefill-batch-size and --prefill-length do not go with --prompts: leave them out")
    return RunSpec(
        mode=mode,
        task=mode,
        cases=tuple(Case(*case) for case in cases),
        batch_sizes=(batch_sizes,),
        options=replace(prompts_asked(prompt_input=prompt_input, **asked), **prefill),
        chat=chat,
        **model_fields(options),
        **run_fields(options),
    )


@click.command()
@click.option("--case", "cases", **PAIRS, required=True, help="Input and output tokens.")
@_BATCH_SIZES
@prompts_option
@click.option("--logprobs", is_flag=True, help="Also write the log-probability of every output token.")
@click.option(
    "--logits",
    is_flag=True,
    help="Also keep those of the whole vocabulary in each place, for modeltest compare; a large journal.",
)
@click.option("--chat", is_flag=True, help="Lay the prompts out by the model's chat template.")
@model_options
@run_options
def precision(
    cases: tuple[tuple[int, int], ...],
    batch_sizes: tuple[int, ...],
    chat: bool,
    logprobs: bool,
    logits: bool,
    prompt_input: str | None,
    **options: Any,
) -> RunSpec:
    """Write what the model says to given prompts, token by token, to compare devices and batch sizes."""
    return RunSpec(
        mode="precision_single",
        task="precision_single",
        cases=tuple(Case(*case) for case in cases),
        batch_sizes=(batch_sizes,),
        options=TaskOptions(prompt_input=prompt_input, logprobs=logprobs, logits=logits),
        chat=chat,
        **model_fields(options),
        **run_fields(options),
    )


@click.command()
@click.option("--case", "cases", **PAIRS, required=True, help="Input and output tokens.")
@click.option("--range", "ranges", **PAIRS, help="Batch sizes searched; one per case.")
@click.option(
    "--limit-ms",
    type=decimal(above=0, highest=LONGEST_S * 1000.0),
    required=True,
    help="Longest allowed time per non-first token.",
)
@model_options
@run_options
def maxbs(
    cases: tuple[tuple[int, int], ...], ranges: tuple[tuple[int, int], ...], limit_ms: float, **options: Any
) -> RunSpec:
    """Find the largest batch whose time per token stays within a limit."""
    ranges = ranges or ((1, 2048),)
    if len(ranges) == 1:
        ranges *= len(cases)
    if len(ranges) != len(cases):
        raise SpecError(
            f"--range is given {len(ranges)} times for {len(cases)} cases: once, or once per case"
        )
    return RunSpec(
        mode="performance_maxbs",
        task="performance_maxbs",
        cases=tuple(Case(*case) for case in cases),
        options=TaskOptions(
            batch_ranges=tuple(BatchRange(*pair) for pair in ranges), latency_limit_ms=limit_ms
        ),
        **model_fields(options),
        **run_fields(options),
    )


def _mode_asked(name: str | None, file: str | None, split: str, *, shots: int) -> Mode:
    """Return the mode of the task called `name`, or of that in `file`.

    Raises: SpecError, also for both or none of them; DatasetError for rows of the file that do not fit.
    """
    if (name is None) == (file is None):
        raise SpecError("give --task NAME, or --task-file FILE for a task that a file describes; not both")
    if file is not None:
        modes = {"full": named_task_file(file, shots=shots > 0).mode}
    else:
        modes = {mode.split: mode for mode in _accuracy_task(str(name)).modes}
    if split not in modes:
        raise SpecError(f"task {name or file!r} has no split {split!r}; it has: {', '.join(sorted(modes))}")
    return modes[split]


def _accuracy_task(name: str) -> AccuracyTask:
    """Return the task `name`.

    Raises: SpecError for a word that is no task with questions; PrerequisiteError for one still to come.
    """
    installed = registry.task_names()
    if name not in installed and name not in {mode.task for mode in PREDECESSOR_MODES}:
        hint = did_you_mean(name, installed)
        raise SpecError(f"unknown task {name!r:.80}; available: {', '.join(installed)}{hint}")
    task = registry.load_task(name)
    if not isinstance(task, AccuracyTask):
        raise SpecError(f"task {name!r} asks no questions; it has a command of its own: `modeltest --help`")
    return task
