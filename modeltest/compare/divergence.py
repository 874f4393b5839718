"""How far two distributions are apart: Kullback-Leibler divergence from log-probabilities, in nats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import exp, expm1, fsum, inf, isfinite, isnan, log, log1p
from statistics import fmean

from modeltest.api import TokenDivergence

CRITERION_MAX = 1e-3
CRITERION_RARE = 1e-4
CRITERION_SHARE = 0.005
"""No token may have a divergence above the first, and at most this share one above the second: the criterion
of MindIE-LLM's `tests/modeltest` for the dumped logits of a port."""

_FLOAT32_REST = log(2.0**-25)
"""A float32 log-probability of 0 leaves at most this much to everything else, as a logarithm."""


def normalized(logprobs: Sequence[float]) -> list[float]:
    """Return `logprobs` shifted so that the probabilities sum to 1.

    Raises: ValueError unless one of them is finite and none is NaN or +infinity.
    """
    largest = max(logprobs, default=-inf)
    if not isfinite(largest) or any(isnan(value) for value in logprobs):
        raise ValueError(f"no distribution: {list(logprobs)!r:.80}")
    # What the likeliest leaves over is summed apart, and taken off after the largest: added to 1 or to a
    # number of another size it would lose its last digits.
    rest = list(logprobs)
    rest.remove(largest)
    excess = log1p(fsum(exp(value - largest) for value in rest))
    return [(value - largest) - excess for value in logprobs]


def kl_divergence(reference: Sequence[float], candidate: Sequence[float]) -> float:
    """Return KL(reference || candidate) of two distributions over the same things, given as logarithms.

    0 where they are equal; infinite where the candidate rules out what the reference does not.
    Source: S. Kullback and R. A. Leibler, "On information and sufficiency", Annals of Mathematical
    Statistics 22 (1951), 79-86.

    Raises: ValueError for distributions of different lengths.
    """
    p, q = normalized(reference), normalized(candidate)
    terms = (exp(a) * (a - b) for a, b in zip(p, q, strict=True) if a > -inf)
    return max(0.0, fsum(terms))


def least_kl_divergence(reference: float, candidate: float) -> float:
    """Return the least KL divergence of two distributions that give one token these log-probabilities.

    That of the distributions over two things, the token and all others: putting outcomes together never adds
    to a divergence. Source: T. M. Cover and J. A. Thomas, "Elements of Information Theory", 2nd ed., 2.7.
    """
    p, q = min(reference, 0.0), min(candidate, 0.0)
    other_p, other_q = _log_rest(p), _log_rest(q)
    if q == 0.0:
        other_q = min(other_p, _FLOAT32_REST)
    divergence = exp(p) * (p - q)
    if other_p > -inf:
        divergence += exp(other_p) * (other_p - other_q)
    return max(0.0, divergence)


def token_divergence(values: Iterable[float], *, is_whole: bool) -> TokenDivergence | None:
    """Return the summary of the divergences of many tokens; `None` without any."""
    found = list(values)
    if not found:
        return None
    return TokenDivergence(
        tokens=len(found),
        mean_kl=fmean(found),
        max_kl=max(found),
        share_above=sum(value > CRITERION_RARE for value in found) / len(found),
        is_whole=is_whole,
    )


def meets_criterion(found: TokenDivergence) -> bool:
    """Say whether the divergences keep to the criterion for ports."""
    return found.max_kl <= CRITERION_MAX and found.share_above <= CRITERION_SHARE


def _log_rest(logprob: float) -> float:
    """Return the log-probability of everything else."""
    if logprob == 0.0:
        return -inf
    return log(-expm1(logprob)) if logprob > -0.7 else log1p(-exp(logprob))
