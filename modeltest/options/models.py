"""Options that say which model runs on which engine, chips and nodes, and what the engine is handed on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

import click

from modeltest import registry
from modeltest.api import DTYPE_WORDS, Cluster, Parallel, SpecError
from modeltest.cluster.rank_table import read_rank_table
from modeltest.grammar.modes import engine_word
from modeltest.grammar.words import WordError, looks_like_list, read_count, read_kw_args, read_parallel
from modeltest.options.number_types import count

Command = TypeVar("Command", bound=Callable[..., Any])

DTYPES = {word: dtype for dtype, word in DTYPE_WORDS.items()}

DEGREES = tuple(field.name for field in fields(Parallel))


def _parallel(_: click.Context, parameter: click.Parameter, text: str | None) -> Parallel:
    if text is None:
        return Parallel()
    try:
        return read_parallel(text) if looks_like_list(text) else _named_degrees(text)
    except WordError as problem:
        raise click.BadParameter(f"{text!r:.80}: {problem}", param=parameter) from None


def _named_degrees(text: str) -> Parallel:
    found: dict[str, int] = {}
    for part in text.split(","):
        name, separator, value = part.strip().partition("=")
        if name not in DEGREES or not separator or name in found:
            raise WordError(f"expected each of {', '.join(DEGREES)} once at most, as in dp=2,tp=4")
        found[name] = read_count(value)
    return Parallel(**found)


def _kw_args(_: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return read_kw_args(text)
    except WordError as problem:
        raise click.BadParameter(f"{text!r:.80}: {problem}", param=parameter) from None


_MODEL_OPTIONS = (
    click.option("--engine", default="hf", show_default=True, help="Engine word, such as hf or pa_fp16."),
    click.option("--dtype", type=click.Choice(tuple(DTYPES)), help="Default: what the checkpoint names."),
    click.option(
        "--model", "weights", required=True, metavar="DIR", help="The checkpoint, or a served model's URL."
    ),
    click.option(
        "--profile",
        "model",
        default="auto",
        show_default=True,
        metavar="KEY",
        help="Model key as in run.sh; auto takes it from config.json.",
    ),
    click.option(
        "--trust-remote-code",
        is_flag=True,
        help="Run the Python code in the checkpoint, and the code that task files of lm-eval name.",
    ),
    click.option(
        "--max-position-embeddings",
        type=count(),
        metavar="N",
        help="Context length to use instead of config.json's.",
    ),
)

_PLACE_OPTIONS = (
    click.option(
        "--world-size",
        "--devices",
        "world_size",
        type=count(lowest=0),
        default=1,
        show_default=True,
        metavar="N",
        help="Chips, a rank each; 0: what the profile says.",
    ),
    click.option(
        "--parallel",
        callback=_parallel,
        metavar="NAME=N,...",
        help=f"Parallel degrees such as dp=2,tp=4: {', '.join(DEGREES)}.",
    ),
    click.option(
        "--rank-table",
        metavar="FILE",
        help="Run on the nodes of this rank table; start the command on each, with its --node-rank.",
    ),
    click.option(
        "--node-rank",
        type=count(lowest=0),
        metavar="N",
        help="Which node of the rank table this machine is, from 0.",
    ),
    click.option(
        "--lora",
        metavar="JSONL",
        help='Answer requests with LoRA adapters: lines such as {"0": "adapter1"}, requests from 0.',
    ),
    click.option(
        "--kw-args",
        callback=_kw_args,
        metavar="JSON",
        help="Handed on to MindIE's runner as it is, such as the settings of encrypted weights.",
    ),
)

_PREFILL_OPTIONS = (
    click.option(
        "--prefill-batch-size",
        type=count(),
        metavar="N",
        help="MindIE: prefill N requests at a time.",
    ),
    click.option(
        "--prefill-length",
        type=count(),
        metavar="N",
        help="MindIE: prefill as many requests at a time as have N tokens together.",
    ),
)


def model_options(command: Command) -> Command:
    """Add the options that say which model runs on which engine."""
    return _with(_MODEL_OPTIONS, _with(_PLACE_OPTIONS, command))


def prefill_options(command: Command) -> Command:
    """Add the options that bound a prefill."""
    return _with(_PREFILL_OPTIONS, command)


def model_fields(options: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a `RunSpec` that `model_options` decide.

    Raises: SpecError for an unknown engine word, or one that means another dtype.
    """
    word = engine_word(options["engine"], installed=registry.engine_names())
    dtype = DTYPES[options["dtype"]] if options["dtype"] else word.dtype
    if word.dtype and dtype != word.dtype:
        raise SpecError(f"--engine {word.word} means {word.dtype}, --dtype asks for {dtype}; use --engine hf")
    names = ("engine", "weights", "model", "trust_remote_code", "max_position_embeddings")
    return {"dtype": dtype, **{name: options[name] for name in names}, **_place_fields(options)}


def _place_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that the options of chips, nodes and what is handed on decide.

    Raises: SpecError for a rank table that cannot be used, and for options that do not go together.
    """
    found = {name: options[name] for name in ("world_size", "parallel", "lora", "kw_args")}
    if options["rank_table"] is None:
        if options["node_rank"] is not None:
            raise SpecError("--node-rank is about the nodes of a rank table; give --rank-table FILE too")
        return found
    table = read_rank_table(options["rank_table"])
    nodes, node = len(table.servers), options["node_rank"]
    if node is None or node >= nodes:
        given = "is missing" if node is None else f"is {node}"
        raise SpecError(
            f"--node-rank {given}; {options['rank_table']} has {nodes} nodes: give 0 to {nodes - 1}, on each "
            "node its own"
        )
    if found["world_size"] not in (1, table.world_size):
        raise SpecError(
            f"--world-size is {found['world_size']}, {options['rank_table']} has {table.world_size} chips; "
            "leave it out"
        )
    rank_start = sum(len(server.devices) for server in table.servers[:node])
    cluster = Cluster(options["rank_table"], nodes, rank_start, table.servers[0].address)
    return {**found, "world_size": table.world_size, "cluster": cluster}


def _with(options: tuple[Callable[[Command], Command], ...], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
