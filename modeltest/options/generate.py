"""`modeltest generate`: text for the user's own prompts; parameters are named as in MindIE's run_pa."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from modeltest.api import GenerationOptions, RunSpec, Sampling, SpecError, TaskOptions
from modeltest.options.models import model_fields, model_options
from modeltest.options.number_types import SEED, count, decimal
from modeltest.options.runs import harness_options, run_fields

PAGED = {"float16": "pa_fp16", "bfloat16": "pa_bf16"}
"""What `--engine pa` means, by the dtype of the checkpoint."""

COLDEST, HOTTEST = 0.001, 1000.0
"""Temperatures: divided by less or by more, logits are infinite or all the same in half precision."""

_SAMPLING = ("temperature", "top_k", "top_p", "min_tokens_to_keep")


@click.command()
@click.option(
    "--input-text", "input_texts", multiple=True, metavar="TEXT", help="A prompt; repeat it for more."
)
@click.option(
    "--input-file",
    metavar="FILE",
    help="One prompt a line, as JSON: a text, turns with role and content, or token ids.",
)
@click.option("--is-chat-model", "chat", is_flag=True, help="Use the model's chat template.")
@click.option(
    "--max-input-length",
    type=count(),
    metavar="N",
    help="Tokens of the longest prompt; with the output it makes the context. Default: the model's context.",
)
@click.option("--max-output-length", type=count(), default=20, show_default=True, metavar="N")
@click.option(
    "--max-batch-size",
    type=count(),
    metavar="N",
    help="Prompts that run together. [default: --batch-size]",
)
@click.option(
    "--batch-size",
    type=count(),
    default=1,
    show_default=True,
    metavar="N",
    help="Ask a single prompt N times together.",
)
@click.option(
    "--stop", multiple=True, metavar="TEXT", help="End an answer before this text; repeat it for more."
)
@click.option("--do-sample", is_flag=True, help="Draw tokens at random, where the engine can.")
@click.option("--temperature", type=decimal(lowest=COLDEST, highest=HOTTEST), metavar="T")
@click.option("--top-k", type=count(), metavar="K")
@click.option("--top-p", type=decimal(above=0, highest=1), metavar="P")
@click.option("--min-tokens-to-keep", type=count(), metavar="N")
@click.option("--random-seed", "seed", type=SEED, default=0, show_default=True)
@model_options
@harness_options
def generate(batch_size: int, max_batch_size: int | None, chat: bool, seed: int, **options: Any) -> RunSpec:
    """Generate text for prompts of your own: a table of them, and generations.jsonl."""
    output_tokens, input_tokens = options["max_output_length"], options["max_input_length"]
    input_file = options["input_file"]
    if input_tokens and not options["max_position_embeddings"]:
        options["max_position_embeddings"] = input_tokens + output_tokens
    if options["engine"] == "pa":
        options["engine"] = _paged_word(options["weights"])
    return RunSpec(
        mode="generate",
        task="generate",
        options=TaskOptions(
            generation=GenerationOptions(
                max_new_tokens=output_tokens,
                input_texts=options["input_texts"],
                input_file=None if input_file is None else str(Path(input_file).expanduser().absolute()),
                repeat=batch_size,
                stop=options["stop"],
                sampling=_sampling(options),
            )
        ),
        batch_sizes=((max_batch_size or batch_size,),),
        chat=chat,
        seed=seed,
        **model_fields(options),
        **run_fields(options),
    )


def _sampling(options: dict[str, Any]) -> Sampling | None:
    values = {name: options[name] for name in _SAMPLING}
    if options["do_sample"]:
        return Sampling(**values)
    if given := next((name for name, value in values.items() if value is not None), None):
        raise SpecError(
            f"--{given.replace('_', '-')} needs --do-sample: without it the likeliest token is taken"
        )
    return None


def _paged_word(weights: str) -> str:
    from modeltest.models.checkpoint import dtype_in
    from modeltest.models.config_json import read_json_object

    dtype = dtype_in(read_json_object(Path(weights) / "config.json").values)
    return PAGED.get(dtype or "float16", "pa_fp16")
