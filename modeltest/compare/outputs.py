"""Generated tokens side by side: where each output first differs from its reference, and by how much."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from statistics import median

from modeltest.api import DivergentOutput, OutputAgreement, TokenDivergence
from modeltest.compare.divergence import kl_divergence, least_kl_divergence, token_divergence


@dataclass(frozen=True, slots=True)
class Output:
    """The output of one run for one prompt.

    `logprobs` are those of its tokens; `distributions` those of every token that could have stood in its
    place, by token id. Empty where they were not asked for.
    """

    tokens: tuple[int, ...]
    text: str | None = None
    logprobs: tuple[float, ...] = ()
    distributions: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class OutputPair:
    """The outputs of both runs to the same prompt."""

    name: str
    reference: Output
    candidate: Output


def compare_outputs(pairs: Iterable[OutputPair]) -> OutputAgreement | None:
    """Return how far the outputs agree; `None` without any.

    Of two outputs the distributions are compared as far as they stand behind equal tokens: up to and with the
    first token that differs.
    """
    found = list(pairs)
    if not found:
        return None
    divergent = tuple(each for pair in found if (each := _divergent(pair)) is not None)
    return OutputAgreement(
        outputs=len(found),
        identical=len(found) - len(divergent),
        earliest_divergence=min((each.token_index for each in divergent), default=None),
        median_divergence=median(each.token_index for each in divergent) if divergent else None,
        divergent=divergent,
        divergence=_divergence(found),
    )


def first_divergence(reference: Sequence[int], candidate: Sequence[int]) -> int | None:
    """Return the index of the first token that differs; `None` where there is none."""
    pairs = enumerate(zip_longest(reference, candidate))
    return next((index for index, (one, other) in pairs if one != other), None)


def _divergent(pair: OutputPair) -> DivergentOutput | None:
    reference, candidate = pair.reference, pair.candidate
    index = first_divergence(reference.tokens, candidate.tokens)
    if index is None:
        return None
    return DivergentOutput(
        output=pair.name,
        token_index=index,
        reference_token=_token(reference, index),
        candidate_token=_token(candidate, index),
        reference_text=reference.text,
        candidate_text=candidate.text,
    )


def _token(output: Output, index: int) -> int | None:
    return output.tokens[index] if index < len(output.tokens) else None


def _divergence(pairs: Sequence[OutputPair]) -> TokenDivergence | None:
    """Return the divergences of all tokens that have distributions, or else log-probabilities."""
    whole = [value for pair in pairs for value in _whole_divergences(pair)]
    if whole:
        return token_divergence(whole, is_whole=True)
    return token_divergence((value for pair in pairs for value in _least_divergences(pair)), is_whole=False)


def _whole_divergences(pair: OutputPair) -> Iterable[float]:
    together = zip(pair.reference.distributions, pair.candidate.distributions, strict=False)
    for index, (reference, candidate) in enumerate(together):
        yield kl_divergence(reference, candidate)
        if pair.reference.tokens[index] != pair.candidate.tokens[index]:
            return


def _least_divergences(pair: OutputPair) -> Iterable[float]:
    """Yield what is known of the tokens both said; of the first that differs each run scored another one."""
    end = first_divergence(pair.reference.tokens, pair.candidate.tokens)
    for reference, candidate in zip(
        pair.reference.logprobs[:end], pair.candidate.logprobs[:end], strict=False
    ):
        yield least_kl_divergence(reference, candidate)
