"""The options that every run takes, and what they make of its spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from modeltest.api import SpecError
from modeltest.options.number_types import SEED, count, seconds
from modeltest.run.pipes.variables import ENGINE_PYTHON

Command = TypeVar("Command", bound=Callable[..., Any])

PROTOCOLS = ("modeltest", "lm-eval", "lm-eval-flexible")
DEVICES = ("npu", "cuda", "cpu")
OUTPUT_DIR = "outputs"
OUTPUT_VARIABLE = "MODELTEST_OUTPUT_DIR"
"""Where run directories are made, unless it is said, and the variable that may say it."""

_LONGEST_NAME = 80


def _name(_: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    """Refuse a name that no table could show."""
    if text is not None and (not text.strip() or len(text) > _LONGEST_NAME or not text.isprintable()):
        raise click.BadParameter(
            f"{text!r:.90} is no name; 1 to {_LONGEST_NAME} printable characters are", param=parameter
        )
    return text


def _absolute(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    """Make a path absolute; links stay, as a virtual environment is known by the path of its interpreter."""
    return None if text is None else str(Path(text).expanduser().absolute())


_OWN_TASK_OPTIONS = (
    click.option(
        "--subject",
        "subjects",
        multiple=True,
        metavar="NAME",
        help="Ask this subject only, such as astronomy; repeat it for more.",
    ),
    click.option(
        "--data-dir",
        envvar="MODELTEST_DATA_DIR",
        show_envvar=True,
        metavar="DIR",
        help="Where the datasets are.",
    ),
    click.option(
        "--protocol",
        type=click.Choice(PROTOCOLS),
        default="modeltest",
        show_default=True,
        help="Prompts and scoring rules: MindIE's or lm-evaluation-harness's, whose gsm8k has two scores.",
    ),
    click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of random inputs."),
    click.option("--quick", is_flag=True, help="Fewer trials: a look, not a measurement."),
    click.option(
        "--min-trials",
        type=count(),
        metavar="N",
        help="performance: measure each case at least N times; a 90th percentile needs 44.  [default: 5]",
    ),
    click.option(
        "--case-budget-s",
        type=seconds(),
        default=300.0,
        show_default=True,
        metavar="SECONDS",
        help="performance: after this time a case gets no trial beyond the fewest.",
    ),
)
"""Options of our own tasks; another harness has others."""

_OPTIONS = (
    click.option(
        "--as",
        "known_as",
        callback=_name,
        metavar="NAME",
        help="What the model is called, whatever its weights: one history for weights that are made anew.  "
        "[default: its folder and a short fingerprint]",
    ),
    click.option(
        "--limit",
        type=count(),
        metavar="N",
        help="Ask N questions per subject or task, or N prompts.",
    ),
    click.option(
        "--output",
        "output_dir",
        envvar=OUTPUT_VARIABLE,
        default=OUTPUT_DIR,
        show_default=True,
        show_envvar=True,
        metavar="DIR",
        help="Where run directories are made.",
    ),
    click.option(
        "--device",
        type=click.Choice(DEVICES),
        envvar="MODELTEST_DEVICE",
        show_envvar=True,
        help="Demand a device; where it is absent the run ends with 3.",
    ),
    click.option(
        "--engine-python",
        envvar=ENGINE_PYTHON,
        show_envvar=True,
        callback=_absolute,
        metavar="PATH",
        help="The interpreter that the engine runs in, where its packages and ModelTest are installed.  "
        "[default: this one]",
    ),
    click.option(
        "--allow-dtype-cast",
        is_flag=True,
        help="Load the checkpoint in the dtype asked for even if config.json names another.",
    ),
    click.option(
        "--engine-option",
        "engine_options",
        multiple=True,
        metavar="NAME=VALUE",
        help="An option of the engine, such as step_ms=2 of fake; its documentation has them.",
    ),
    click.option("--served-model", metavar="NAME", help="Of a server with several models, the one to ask."),
    click.option(
        "--tokenizer",
        callback=_absolute,
        metavar="DIR",
        help="The files of a served model's tokenizer.  [default: the server cuts texts]",
    ),
    click.option(
        "--ca-bundle",
        callback=_absolute,
        metavar="FILE",
        help="Certificates to trust of a server.  [default: the system's]",
    ),
)

OF_SERVERS = ("served_model", "tokenizer", "ca_bundle")
"""Engine options that have an option of their own, since next to every run of a served model needs one."""

SPEC_FIELDS = (
    "subjects",
    "limit",
    "known_as",
    "output_dir",
    "data_dir",
    "protocol",
    "seed",
    "quick",
    "min_trials",
    "case_budget_s",
    "device",
    "engine_python",
    "allow_dtype_cast",
)


def run_options(command: Command) -> Command:
    """Add the options that every run of our own tasks takes."""
    return harness_options(with_all(_OWN_TASK_OPTIONS, command))


def harness_options(command: Command) -> Command:
    """Add the options that every run takes, also one of another harness."""
    return with_all(_OPTIONS, command)


def run_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a `RunSpec` that `run_options` or `harness_options` decide.

    Raises: SpecError when an engine option is not of the form NAME=VALUE, or given in two ways.
    """
    pairs = {}
    for text in options["engine_options"]:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise SpecError(f"--engine-option {text!r}: expected NAME=VALUE")
        pairs[name] = value
    for name in OF_SERVERS:
        if (given := options[name]) is not None and pairs.setdefault(name, given) != given:
            raise SpecError(f"{name} is given twice, as {given!r:.80} and in --engine-option")
    return {name: options[name] for name in SPEC_FIELDS if name in options} | {"engine_options": pairs}


def with_all(options: tuple[Callable[[Command], Command], ...], command: Command) -> Command:
    """Add `options` to a command, in their order."""
    for option in reversed(options):
        command = option(command)
    return command
