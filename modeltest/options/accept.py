"""What `modeltest accept` asks for: a candidate, judged by a reference pack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import click

from modeltest.api import PackOptions, RunSpec, SpecError, TaskOptions
from modeltest.options.models import model_fields, model_options
from modeltest.options.number_types import SEED, count, percent
from modeltest.options.runs import harness_options, run_fields

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class HowToJudge:
    """What is said of a judgement beside its pack."""

    max_drop: float | None = None
    answers_alone: bool = False
    undecided: str = "fail"


_JUDGING = (
    click.option(
        "--max-drop",
        type=percent,
        metavar="P%",
        help="Of accept: accuracy may drop by less than this.  [default: 0.5%, or what the pack tells from "
        "rounding, 5% at most]",
    ),
    click.option(
        "--answers-alone",
        is_flag=True,
        help="Of accept: accept by the answers though the engine tells no log-probabilities of texts; small "
        "faults pass.",
    ),
    click.option(
        "--undecided",
        type=click.Choice(("fail", "pass")),
        default="fail",
        show_default=True,
        help="Of accept: which exit status an outcome that is neither has.",
    ),
)


def judging_options(function: Command) -> Command:
    """Add the options of a judgement to a command; `judging_of` takes them out of its keywords."""
    for option in reversed(_JUDGING):
        function = option(function)
    return function


def judging_of(options: dict[str, Any]) -> HowToJudge:
    """Take the options of `judging_options` out of `options`."""
    return HowToJudge(**{each.name: options.pop(each.name) for each in fields(HowToJudge)})


def judged_as(spec: RunSpec, asked: HowToJudge) -> RunSpec:
    """Return `spec` with how it is judged, where it is an acceptance: its seed and limit are of the pack too.

    Raises: SpecError for another task that something of this was asked for.
    """
    if spec.options.pack is None:
        if asked != HowToJudge():
            raise SpecError(
                f"--max-drop, --answers-alone and --undecided are of accept; {spec.task} judges nothing: "
                "leave them out"
            )
        return spec
    pack = replace(
        spec.options.pack,
        order_seed=spec.seed,
        questions=spec.limit,
        max_drop=asked.max_drop,
        answers_alone=asked.answers_alone,
        undecided_passes=asked.undecided == "pass",
    )
    return replace(spec, options=replace(spec.options, pack=pack))


@click.command()
@click.option("--pack", required=True, metavar="FILE", help="The reference pack.")
@judging_options
@click.option(
    "--seed", type=SEED, default=0, show_default=True, help="Of the order in which questions are drawn."
)
@click.option("--batch-size", type=count(), default=8, show_default=True, metavar="N")
@model_options
@harness_options
def accept(
    pack: str,
    seed: int,
    batch_size: int,
    **options: Any,
) -> RunSpec:
    """Say whether a port may go out, by a reference pack, from as few questions as it takes.

    PACK has questions with the answers of a reference, and what rounding does to them (`modeltest reference
    make`); no dataset is needed. Questions and texts are drawn in a random order, and asked until every test
    has decided: ACCEPT and exit status 0, or REJECT and 1. UNDECIDED, also 1, says what is lacking. What
    each test promises is in docs/acceptance.md.

    \b
      modeltest accept gemma.ref --engine pa_bf16 --model DIR --devices 8
      bash run.sh pa_bf16 accept gemma.ref gemma $weights 8
    """
    how = judging_of(options)
    spec = RunSpec(
        mode="accept",
        task="accept",
        seed=seed,
        batch_sizes=((batch_size,),),
        options=TaskOptions(pack=PackOptions(pack)),
        **model_fields(options),
        **run_fields(options),
    )
    return judged_as(spec, how)
