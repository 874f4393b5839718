"""The shapes a performance run times, and whether they can be timed at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from modeltest.api import Capability, Case, EngineInfo, RunSpec, SpecError
from modeltest.tasks.given_prompts import is_list, parse_prompts


@dataclass(frozen=True, slots=True)
class Combination:
    """One case at one batch size."""

    case_index: int
    case: Case
    batch_size: int


def combinations(spec: RunSpec) -> Iterator[Combination]:
    """Yield every case at each of its batch sizes, in the order asked for."""
    for index, case in enumerate(spec.cases):
        for batch_size in spec.batch_sizes_of(index):
            yield Combination(index, case, batch_size)


def describe(case: Case) -> str:
    """Return `case` as it is written in the `run.sh` grammar."""
    return f"[{case.input_tokens},{case.output_tokens}]"


def check_cases(spec: RunSpec, *, takes_prompts: bool = False) -> None:
    """Refuse cases that cannot be timed, and words about prompts unless the task `takes_prompts`.

    Raises: SpecError.
    """
    if not spec.cases:
        raise SpecError("no cases to measure; give them as [[in,out],...], or [] for the usual squares")
    for case in spec.cases:
        if min(case.input_tokens, case.output_tokens) < 1:
            raise SpecError(f"case {describe(case)} has no tokens; both numbers begin at 1")
    _refuse_repeats("case", [describe(case) for case in spec.cases])
    if not takes_prompts:
        _refuse_prompt_words(spec)


def check_batch_sizes(spec: RunSpec) -> None:
    """Refuse batch sizes that do not match the cases.

    Raises: SpecError.
    """
    if len(spec.batch_sizes) not in (1, len(spec.cases)):
        raise SpecError(
            f"{len(spec.batch_sizes)} lists of batch sizes for {len(spec.cases)} cases; "
            "give one list for all cases, or one for each"
        )
    for sizes in spec.batch_sizes:
        if not sizes or min(sizes) < 1:
            raise SpecError(
                f"batch sizes {list(sizes)} cannot be measured; give at least one, each 1 or more"
            )
        _refuse_repeats("batch size", [str(size) for size in sizes])


def check_context(cases: Sequence[Case], engine: EngineInfo) -> None:
    """Refuse a case that is longer than the context of the loaded model.

    Raises: SpecError.
    """
    limit = engine.context_tokens
    for case in cases:
        needed = case.input_tokens + case.output_tokens
        if limit is not None and needed > limit:
            raise SpecError(
                f"case {describe(case)} needs {needed} tokens and the model's context holds {limit}; "
                "shorten the case, or give max_position_embeddings (the last word of run.sh) if the model can"
            )


def _refuse_repeats(what: str, words: Sequence[str]) -> None:
    for word in words:
        if words.count(word) > 1:
            raise SpecError(f"{what} {word} is given twice; leave one out: trials are already repeated")


def check_prompt_input(spec: RunSpec) -> None:
    """Refuse a run without the prompts it is about, and a list of them that is none; files are not opened.

    Raises: SpecError.
    """
    text = spec.options.prompt_input
    if text is None:
        raise SpecError(f"{spec.task} needs prompts: a list such as [1,2,3] or a file that holds one")
    if is_list(text):
        parse_prompts(text, where="the list of prompts")


def prefill_capabilities(spec: RunSpec) -> frozenset[Capability]:
    """Return what the prefill words of `spec` ask of the engine."""
    options = spec.options
    is_limited = options.prefill_batch_size is not None or options.prefill_length is not None
    return frozenset({Capability.PREFILL_LIMITS}) if is_limited else frozenset()


def _refuse_prompt_words(spec: RunSpec) -> None:
    given = {
        "prefill_batch_size": spec.options.prefill_batch_size,
        "prefill_length": spec.options.prefill_length,
        "dataset": spec.options.prompt_source,
        "prompts": spec.options.prompt_input,
    }
    for word, value in given.items():
        if value is not None:
            raise SpecError(
                f"{spec.task} does not take the word {word}; leave it out: "
                "prompts are random token ids, prefilled as the engine chooses"
            )
