"""What `modeltest reference make` asks for: the runs of the reference, orders of its twins, directions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from modeltest import registry
from modeltest.api import DTYPE_WORDS, RunSpec, SpecError
from modeltest.grammar.modes import engine_word
from modeltest.options.commands import question_options, questions_asked
from modeltest.options.directions import Directions, read_directions
from modeltest.options.models import DTYPES, model_options
from modeltest.options.number_types import count
from modeltest.options.runs import run_options

BATCH_SIZES = (1, 8, 32)
TEXTS = 400
TWIN_QUESTIONS = 400

_NOT_TAKEN = {
    "task_file": None,
    "output_dir": None,
    "quick": False,
    "min_trials": None,
    "case_budget_s": 300.0,
    "lora": None,
    "rank_table": None,
    "node_rank": None,
    "allow_dtype_cast": True,
}
"""Options of `accuracy` that a reference has no use for, and what stands in their place. Runs lie beside the
pack; and whatever dtype a checkpoint names, the reference and its twins have their own."""


@dataclass(frozen=True, slots=True)
class TwinOrder:
    """One legitimate order of computation of the reference's checkpoint in a candidate's dtype."""

    dtype: str
    engine: str | None
    """An engine word; `None`: that of the reference."""

    batch_size: int
    threads: int | None
    """`None`: as many as the library takes."""

    @property
    def name(self) -> str:
        """What the computation is called."""
        engine = f"{self.engine}-" if self.engine else ""
        threads = f"-threads-{self.threads}" if self.threads else ""
        return f"{engine}{DTYPE_WORDS[self.dtype]}-batch-{self.batch_size}{threads}".lower()


@dataclass(frozen=True, slots=True)
class ReferenceAsked:
    """A reference pack that is to be made."""

    out: Path
    specs: tuple[RunSpec, ...]
    """Of the runs of the reference, one per task."""

    from_runs: tuple[Path, ...]
    """Runs of it that are there already."""

    twins: tuple[TwinOrder, ...]
    directions: Directions
    texts: int
    twin_questions: int
    seed: int


@click.command("make")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="The pack, such as gemma.ref.",
)
@click.option(
    "--task",
    "tasks",
    multiple=True,
    metavar="NAME[:SHOTS]",
    help="A task whose questions the pack holds, as mmlu:5 or boolq; repeat it for more.",
)
@click.option(
    "--from-run",
    "from_runs",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="DIR",
    help="Take the questions of this accuracy run of the reference instead of asking anew; repeat it.",
)
@click.option(
    "--twin",
    "twins",
    multiple=True,
    default=("bf16",),
    show_default=True,
    metavar="[ENGINE:]DTYPE",
    help="A dtype of candidates, as bf16, or hf_paged:bf16 for another engine than --engine; repeat it.",
)
@click.option(
    "--twin-batch-size",
    "batch_sizes",
    type=count(),
    multiple=True,
    default=BATCH_SIZES,
    show_default=True,
    metavar="N",
    help="A batch size of each twin: other sizes sum in another order. Repeat it.",
)
@click.option(
    "--twin-threads",
    "threads",
    type=count(),
    multiple=True,
    metavar="N",
    help="A number of threads of each twin (OMP_NUM_THREADS), on the cpu. Repeat it.",
)
@click.option(
    "--twin-questions",
    type=count(),
    default=TWIN_QUESTIONS,
    show_default=True,
    metavar="N",
    help="How many questions of each task a twin is asked, drawn by --seed; texts it tells all.",
)
@click.option(
    "--direction",
    "directions",
    multiple=True,
    metavar="NAME[:STRENGTH]",
    help="A small fault of docs/faults.md with which the reference tells the texts too, as value_scale:1.01: "
    "fewer texts find candidates that have one like it. Repeat it.  [default: eleven generic ones]",
)
@click.option("--no-directions", is_flag=True, help="Leave directions out.")
@click.option(
    "--texts",
    type=count(lowest=0),
    default=TEXTS,
    show_default=True,
    metavar="N",
    help="How many pieces of prompts are told token by token; 48 tokens each.",
)
@question_options
@model_options
@run_options
def reference_make(
    out: Path, tasks: tuple[str, ...], from_runs: tuple[Path, ...], **options: Any
) -> ReferenceAsked:
    """Ask a reference the questions of datasets, and keep them with its answers in one file.

    The reference is the checkpoint in the dtype that is taken for right, on any machine that has the
    datasets. Then the same checkpoint answers in each dtype of candidates, in several orders of computation
    (--twin, --twin-batch-size, --twin-threads): so far does rounding alone move answers. And the reference
    tells the texts with one small fault at a time (--direction): so do answers go when a part is wrong.

    \b
      modeltest reference make --model gemma --dtype fp32 --protocol lm-eval \\
        --task mmlu:5 --task boolq --out gemma.ref
      modeltest reference make --from-run outputs/RUN --from-run outputs/OTHER --out gemma.ref

    The runs lie in FILE.work. Given again after it was stopped, the command goes on where it was; when the
    pack is there, FILE.work may go. Choices tell more than generated letters: ask mmlu with --protocol
    lm-eval.
    """
    if bool(tasks) == bool(from_runs):
        raise SpecError("give --task NAME for what is to be asked, or --from-run DIR for runs; not both")
    if tasks and options["weights"] is None:
        raise SpecError("no model to ask: give --model DIR, or runs that were made with --from-run DIR")
    directions = read_directions(
        options["directions"], no_directions=options["no_directions"], texts=options["texts"]
    )
    filled = {**options, **{name: value for name, value in _NOT_TAKEN.items() if name not in options}}
    return ReferenceAsked(
        out=out.expanduser().absolute(),
        specs=tuple(_specs(tasks, filled)),
        from_runs=from_runs,
        twins=tuple(_orders(options["twins"], options["batch_sizes"], options["threads"])),
        directions=directions,
        texts=options["texts"],
        twin_questions=options["twin_questions"],
        seed=options["seed"],
    )


reference_make.params = [each for each in reference_make.params if each.name not in _NOT_TAKEN]
for _parameter in reference_make.params:
    if _parameter.name == "weights":
        _parameter.required = False  # runs that were made need no model


def _specs(tasks: Sequence[str], options: dict[str, Any]) -> Iterator[RunSpec]:
    seen: set[str] = set()
    for text in tasks:
        name, separator, shots = text.partition(":")
        if separator and not (shots.isascii() and shots.isdecimal() and len(shots) < 4):
            raise SpecError(f"--task {text!r:.80}: expected NAME or NAME:SHOTS, as in mmlu:5")
        if name in seen:
            raise SpecError(f"--task {name} is given twice; a pack has the questions of a task once")
        seen.add(name)
        asked = {**options, "shots": int(shots)} if separator else options
        yield questions_asked(name, None, asked)


def _orders(twins: Sequence[str], batch_sizes: Sequence[int], threads: Sequence[int]) -> Iterator[TwinOrder]:
    seen: set[TwinOrder] = set()
    for text in twins:
        engine, separator, word = text.rpartition(":")
        if word not in DTYPES or (separator and not engine):
            raise SpecError(
                f"--twin {text!r:.80}: expected one of {', '.join(DTYPES)}, or an engine before it, as in "
                "hf_paged:bf16"
            )
        if engine:
            _check_engine(text, engine, DTYPES[word])
        for count_of_threads in threads or (None,):
            for batch_size in batch_sizes:
                order = TwinOrder(DTYPES[word], engine or None, batch_size, count_of_threads)
                if order not in seen:
                    seen.add(order)
                    yield order


def _check_engine(text: str, engine: str, dtype: str) -> None:
    word = engine_word(engine, installed=registry.engine_names())
    if word.dtype not in (None, dtype):
        raise SpecError(f"--twin {text}: {engine} means {word.dtype}")
