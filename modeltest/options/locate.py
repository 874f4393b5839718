"""`modeltest locate`: where in a model a port departs from its reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from modeltest.api import LocateOptions, RunSpec, TaskOptions
from modeltest.options.models import model_fields, model_options
from modeltest.options.number_types import count
from modeltest.options.runs import harness_options, run_fields


@click.command()
@click.option(
    "--reference",
    required=True,
    metavar="DIR",
    help="The checkpoint that is right, of the same model; float32 is best.",
)
@click.option(
    "--input-text",
    "input_texts",
    multiple=True,
    metavar="TEXT",
    help="A text to feed both; repeat it for more.  [default: four that come with ModelTest]",
)
@click.option(
    "--max-input-length",
    "max_tokens",
    type=count(),
    default=96,
    show_default=True,
    metavar="N",
    help="Tokens of each text, from its begin.",
)
@click.option(
    "--served-from",
    metavar="DIR",
    help="Of a served model (--model URL): the checkpoint that its server was given.  [default: the "
    "reference's]",
)
@model_options
@harness_options
def locate(
    reference: str, input_texts: tuple[str, ...], max_tokens: int, served_from: str | None, **options: Any
) -> RunSpec:
    """Name the first layer and operation in which a port departs from its reference.

    \b
      modeltest locate --reference gemma_fp32 --engine hf --dtype bf16 --model gemma
      modeltest locate --reference DIR --engine faulty --engine-option fault=attention_scale:1.02 --model DIR

    Each operation of the model (norm, projection, rotary, softmax, activation, residual, ...) is given the
    values that the reference has at its place, so an error does not travel on. What it makes of them is held
    against what the same checkpoint makes of them in the same dtype on the cpu: an error twice as large
    departs, and so does a smaller one that has a direction, such as a scale of scores that is 1 % off. The
    answer and a table of all layers are in locate.md and locate.json (docs/locate.md).

    So it is with engines that give their model away: hf, hf_paged and faulty; what these compute outside of
    it (packed or paged attention, caches, sampling) is not looked at. Others, such as vllm and pa_bf16, are
    searched by bisection: checkpoints of the first layers are made, served by the engine, and their
    log-probabilities held against the reference's. The layer alone is named then. A model that somebody else
    serves (--model URL, --dtype) is searched in the same way, by hand: the command says which checkpoint to
    serve next and ends with 3; given again, it goes on.
    """
    asked = LocateOptions(
        _absolute(reference),
        input_texts,
        max_tokens,
        served_from=None if served_from is None else _absolute(served_from),
    )
    return RunSpec(
        mode="locate",
        task="locate",
        options=TaskOptions(locate=asked),
        batch_sizes=((1,),),
        **model_fields(options),
        **run_fields(options),
    )


def _absolute(directory: str) -> str:
    return str(Path(directory).expanduser().absolute())
