"""`modeltest lm-eval`: tasks of lm-evaluation-harness on our engines."""

from __future__ import annotations

from typing import Any

import click

from modeltest.api import LmEvalOptions, RunSpec, SpecError, TaskOptions
from modeltest.options.models import model_fields, model_options
from modeltest.options.number_types import count
from modeltest.options.runs import harness_options, run_fields


@click.command("lm-eval")
@click.option("--tasks", required=True, metavar="NAME,...", help="Names, patterns or YAML files of tasks.")
@click.option(
    "--num-fewshot",
    "shots",
    type=count(lowest=0),
    metavar="K",
    help="Worked examples before each question. Default: what the task says.",
)
@click.option("--batch-size", type=count(), default=8, show_default=True, metavar="N")
@click.option("--include-path", metavar="DIR", help="Where tasks of your own are.")
@click.option("--apply-chat-template", "chat", is_flag=True, help="Use the model's chat template.")
@click.option(
    "--fewshot-as-multiturn/--fewshot-in-one-turn",
    default=None,
    help="A turn per worked example. Default: with a chat template.",
)
@click.option("--system-instruction", metavar="TEXT", help="What the system says first.")
@click.option(
    "--gen-kwargs",
    metavar="NAME=VALUE,...",
    help="Over what tasks say of generation, such as max_gen_toks=64.",
)
@click.option("--log-samples", is_flag=True, help="Also write every question and answer, a file per task.")
@click.option("--confirm-run-unsafe-code", is_flag=True, help="Let tasks run code that the model wrote.")
@model_options
@harness_options
def lm_eval(tasks: str, shots: int | None, batch_size: int, chat: bool, **options: Any) -> RunSpec:
    """Run tasks of lm-evaluation-harness on one of our engines.

    Prompts, scores and the results file are its own. `lm-eval ls tasks` lists its tasks.
    """
    words = tuple(word.strip() for word in tasks.split(",") if word.strip())
    if not words:
        raise SpecError(f"--tasks {tasks!r} names no task")
    if options["fewshot_as_multiturn"] and not chat:
        raise SpecError("--fewshot-as-multiturn needs --apply-chat-template: without one there are no turns")
    names = (
        "include_path",
        "system_instruction",
        "fewshot_as_multiturn",
        "gen_kwargs",
        "log_samples",
        "confirm_run_unsafe_code",
    )
    return RunSpec(
        mode="lm_eval",
        task="lm_eval",
        options=TaskOptions(
            shots=shots, lm_eval=LmEvalOptions(words, **{name: options[name] for name in names})
        ),
        batch_sizes=((batch_size,),),
        chat=chat,
        **model_fields(options),
        **run_fields(options),
    )
