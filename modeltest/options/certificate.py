"""What `modeltest certificate verify --recompute` asks for: some questions again, as they were certified."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import click

from modeltest import registry
from modeltest.api import DTYPE_WORDS, Certificate, PackOptions, RunSpec, SpecError, TaskOptions
from modeltest.grammar.modes import engine_word
from modeltest.options.models import DTYPES, model_fields, model_options
from modeltest.options.number_types import SEED, count
from modeltest.options.runs import harness_options, run_fields

_NOT_TAKEN: Mapping[str, Any] = {
    "known_as": None,
    "limit": None,
    "lora": None,
    "rank_table": None,
    "node_rank": None,
    "kw_args": None,
    "allow_dtype_cast": True,
}
"""Options of runs that mean nothing here, and what stands in their place. The dtype is the certificate's."""


@dataclass(frozen=True, slots=True)
class RecomputeAsked:
    """Certified questions and texts that are to be asked again on this machine."""

    count: int
    seed: int | None
    """Of the draw; `None`: another one each time."""

    batch_size: int | None
    """`None`: the certificate's."""

    options: Mapping[str, Any] = field(default_factory=dict)

    def spec(self, certificate: Certificate, pack: PackOptions) -> RunSpec:
        """Return the run that asks `pack` again, with the engine and dtype of the certificate.

        Raises: SpecError for a dtype that is another.
        """
        candidate = certificate.candidate
        word = engine_word(self.options["engine"] or candidate.engine_word, installed=registry.engine_names())
        dtype = self.options["dtype"]
        if dtype is None and word.dtype is None and candidate.dtype in DTYPE_WORDS:
            dtype = DTYPE_WORDS[candidate.dtype]
        asked = word.dtype if dtype is None else DTYPES[dtype]
        if candidate.dtype is not None and asked not in (None, candidate.dtype):
            raise SpecError(
                f"the certificate is of answers in {candidate.dtype}, and {asked} is asked for: answers of "
                "another dtype are farther off than those of another machine; leave --dtype out"
            )
        options = {**self.options, **_NOT_TAKEN, "engine": word.word, "dtype": dtype}
        return RunSpec(
            mode="pack_answers",
            task="pack_answers",
            batch_sizes=((self.batch_size or candidate.batch_size,),),
            options=TaskOptions(pack=pack),
            **model_fields(options),
            **run_fields(options),
        )


@click.command("certificate verify")
@click.option(
    "--recompute",
    type=count(),
    metavar="N",
    help="Ask N of the questions and texts again on this machine, with --model, drawn at random: 90 find 5% "
    "of forged answers with 99%. Needs --reference.",
)
@click.option(
    "--seed",
    type=SEED,
    help="Of what is drawn for --recompute.  [default: another one each time, which is told]",
)
@click.option("--batch-size", type=count(), metavar="N", help="[default: the certificate's]")
@model_options
@harness_options
def recomputation(
    recompute: int | None, seed: int | None, batch_size: int | None, **options: Any
) -> RecomputeAsked | None:
    """Take what is to be asked again; nothing without --recompute."""
    if recompute is None:
        return None
    if options["weights"] is None:
        raise SpecError("--recompute asks a model: give the certified checkpoint with --model DIR")
    return RecomputeAsked(recompute, seed, batch_size, options)


recomputation.params = [each for each in recomputation.params if each.name not in _NOT_TAKEN]
for _parameter in recomputation.params:
    if isinstance(_parameter, click.Option) and _parameter.name == "weights":
        _parameter.required = False  # most of what is checked needs no model
    elif isinstance(_parameter, click.Option) and _parameter.name == "engine":
        _parameter.default, _parameter.show_default = None, False
        _parameter.help = "Engine word, such as hf or pa_fp16.  [default: the certificate's]"
