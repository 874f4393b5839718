"""`modeltest doctor`: what is here, and what is missing; with `--ascend`, what an Ascend run needs."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click

from modeltest import registry
from modeltest.api import AccuracyTask, ModelTestError, PrerequisiteError, RunSpec, SpecError, TaskOptions
from modeltest.installation import install_command
from modeltest.options.number_types import PAIRS, count
from modeltest.run.pipes.variables import ENGINE_PYTHON
from modeltest.version import __version__

_PACKAGES = {
    "torch": "hf",
    "transformers": "hf",
    "safetensors": "hf",
    "torch_npu": "",
    "datasets": "fetch",
    "jinja2": "report",
    "matplotlib": "report",
    "lm_eval": "lm-eval",
}


@click.command()
@click.option("--ascend", is_flag=True, help="Check an Ascend machine: one line each, and what mends it.")
@click.option("--model", "weights", metavar="DIR", help="With --ascend: check this checkpoint too.")
@click.option("--engine", metavar="WORD", help="With --ascend: pa_fp16, pa_bf16 or fa. [default: pa_fp16]")
@click.option("--chips", type=count(), metavar="N", help="With --ascend: devices of the run. [default: 1]")
@click.option("--task", metavar="NAME", help="With --ascend: the task whose longest prompt must fit.")
@click.option("--shots", type=count(lowest=0), metavar="N", help="With --task.")
@click.option("--case", "cases", **PAIRS, help="With --ascend: input and output tokens that must fit.")
@click.option(
    "--max-position-embeddings",
    type=count(),
    metavar="N",
    help="With --ascend: context length to use instead of config.json's.",
)
@click.option("--data-dir", metavar="DIR", help="With --task: where the datasets are.")
def doctor(*, ascend: bool, **options: Any) -> None:
    """Print the environment and what is missing in it. Ends with 3 when nothing could run a model.

    With --ascend, prints what a run on Ascend chips needs, and ends with 3 when any of it is wrong or absent.
    """
    if ascend:
        _examine_ascend(options)
        return
    given = next((name for name, value in options.items() if value), None)
    if given is not None:
        raise SpecError("the options of `modeltest doctor` belong to --ascend; add it, or leave them out")
    _describe_environment()


def _describe_environment() -> None:
    from modeltest.data.store import listed_datasets
    from modeltest.machine.machine import describe_machine
    from modeltest.tables import print_rows

    facts = {"modeltest": __version__, **describe_machine()}
    rows = [(name, "-" if value is None else str(value)) for name, value in facts.items()]
    packages = [(name, _version(name), extra) for name, extra in _PACKAGES.items()]
    rows += [
        (name, found or f"missing: {install_command(extra)}" if extra else found or "missing")
        for name, found, extra in packages
    ]
    rows += [(f"engine {name}", why or "usable") for name, why in registry.engine_obstacles().items()]
    rows.append((f"engine's own Python ({ENGINE_PYTHON})", _engine_python()))
    rows.append(("MindIE (ATB_SPEED_HOME_PATH)", _mindie()))
    rows += [(f"dataset {each.name}", each.state) for each in listed_datasets(None)]
    print_rows(("what", "found"), rows)
    if not all(_version(name) for name in ("torch", "transformers")):
        raise PrerequisiteError(f"torch and transformers are needed to run a model: {install_command('hf')}")


def _examine_ascend(options: dict[str, Any]) -> None:
    from modeltest.doctor.ascend import Plan, examine
    from modeltest.doctor.machine import ThisMachine
    from modeltest.grammar.modes import engine_word

    word = engine_word(options["engine"] or "pa_fp16", installed=registry.engine_names())
    plan = Plan(
        chips=options["chips"] or 1,
        weights=options["weights"],
        dtype=word.dtype,
        needs=_needs(options, word.word),
        cuts_prompts=not options["cases"],
        max_position_embeddings=options["max_position_embeddings"],
    )
    findings = examine(ThisMachine(), plan)
    for finding in findings:
        click.echo(finding.line)
    blocking = [finding.name for finding in findings if finding.blocks]
    if blocking:
        raise PrerequisiteError(
            f"{len(blocking)} of {len(findings)} checks stand in the way of a run: {', '.join(blocking)}"
        )


def _needs(options: dict[str, Any], engine: str) -> tuple[Any, ...]:
    """Return what the shapes and the task need of the context.

    Raises: SpecError for --task without --model, or a task that asks no questions.
    """
    from modeltest.doctor.checkpoint import Need
    from modeltest.doctor.prompts import longest_prompt

    needs = tuple(Need(tokens, new, "the case asked for") for tokens, new in options["cases"])
    if options["task"] is None:
        return needs
    if options["weights"] is None:
        raise SpecError("--task needs --model DIR: prompts are counted with its tokenizer")
    task = registry.load_task(options["task"])
    if not isinstance(task, AccuracyTask):
        raise SpecError(f"task {task.name!r} asks no questions: give its shapes with --case instead")
    mode = next((mode.word for mode in task.modes if mode.split == "full"), task.name)
    spec = RunSpec(
        engine=engine,
        mode=mode,
        task=task.name,
        model="auto",
        weights=options["weights"],
        split="full",
        options=TaskOptions(shots=options["shots"] or 0),
        data_dir=options["data_dir"],
    )
    return (*needs, longest_prompt(spec))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _engine_python() -> str:
    import os

    from modeltest.run.planning.other_python import OtherPython
    from modeltest.run.planning.trust import named_interpreter

    named = named_interpreter(os.environ)
    if named is None:
        return "not set"
    try:
        with OtherPython(named) as other:
            return f"{named}: Python {other.interpreter.version} with this ModelTest"
    except ModelTestError as problem:
        return str(problem)


def _mindie() -> str:
    import os

    home = os.environ.get("ATB_SPEED_HOME_PATH")
    if not home:
        return "not set"
    return home if Path(home).is_dir() else f"{home} (no such directory)"
