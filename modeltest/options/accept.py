"""What `modeltest accept` asks for: a candidate, judged by a reference pack."""

from __future__ import annotations

from typing import Any

import click

from modeltest.api import PackOptions, RunSpec, TaskOptions
from modeltest.options.models import model_fields, model_options
from modeltest.options.number_types import SEED, count, percent
from modeltest.options.runs import harness_options, run_fields


@click.command()
@click.option("--pack", required=True, metavar="FILE", help="The reference pack.")
@click.option(
    "--max-drop",
    type=percent,
    metavar="P%",
    help="Accuracy may drop by less than this.  [default: 0.5%, or what the pack tells from rounding, 5% at "
    "most]",
)
@click.option(
    "--answers-alone",
    is_flag=True,
    help="Accept by the answers though the engine tells no log-probabilities of texts: small faults pass.",
)
@click.option(
    "--undecided",
    type=click.Choice(("fail", "pass")),
    default="fail",
    show_default=True,
    help="Which exit status an outcome that is neither has.",
)
@click.option(
    "--seed", type=SEED, default=0, show_default=True, help="Of the order in which questions are drawn."
)
@click.option("--batch-size", type=count(), default=8, show_default=True, metavar="N")
@model_options
@harness_options
def accept(
    pack: str,
    max_drop: float | None,
    answers_alone: bool,
    undecided: str,
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
    return RunSpec(
        mode="accept",
        task="accept",
        seed=seed,
        batch_sizes=((batch_size,),),
        options=TaskOptions(
            pack=PackOptions(
                pack,
                order_seed=seed,
                max_drop=max_drop,
                questions=options["limit"],
                answers_alone=answers_alone,
                undecided_passes=undecided == "pass",
            )
        ),
        **model_fields(options),
        **run_fields(options),
    )
