"""Log-probabilities of an output's tokens, or of all that could have stood in their places.

Each place is asked as choices of one token after the tokens before it. Any engine that scores choices can
answer; one that shares prefixes computes each token once.
"""

from __future__ import annotations

from collections.abc import Sequence

from modeltest.api import Finding, FindingCode, Measurement, Request, TokenPrompt, Trial
from modeltest.tasks.inputs import request_id
from modeltest.tasks.shapes import Combination

LOGPROBS = "logprobs"
"""The phase of such a trial."""

Distributions = tuple[tuple[float, ...], ...]
"""Place -> the log-probabilities asked for there: of the output token, or of every token by its id."""


def logprobs_trial(
    combination: Combination,
    number: int,
    prompt: Sequence[int],
    output: Sequence[int],
    *,
    vocabulary_size: int | None = None,
) -> Trial:
    """Return the trial that asks for the log-probability of every token of `output` after `prompt`.

    With `vocabulary_size`, of every token of the vocabulary in each place.
    """
    before = (*prompt, *output)
    every = tuple((token,) for token in range(vocabulary_size or 0))
    requests = tuple(
        Request(
            request_id(combination.case, combination.batch_size, number, place),
            TokenPrompt(before[: len(prompt) + place]),
            choices=every or ((token,),),
        )
        for place, token in enumerate(output)
    )
    return Trial(combination.case_index, combination.batch_size, number, LOGPROBS, requests)


def read_distributions(combination: Combination, measurement: Measurement) -> Distributions | Finding:
    """Return what was answered for each place, or what is wrong with `measurement`."""
    if measurement.error is not None or measurement.out_of_memory:
        return Finding(FindingCode.LOGPROBS_FAILED, {"error": measurement.error})
    answers = {completion.request_id: completion for completion in measurement.completions}
    values = []
    for place in range(combination.case.output_tokens):
        answer = answers.get(request_id(combination.case, combination.batch_size, measurement.trial, place))
        if answer is None or answer.error or not answer.choice_logprobs:
            said = answer.error if answer else None
            return Finding(FindingCode.LOGPROB_MISSING, {"place": place, "error": said})
        values.append(answer.choice_logprobs)
    return tuple(values)


def read_logprobs(
    combination: Combination, measurement: Measurement, output: Sequence[int]
) -> tuple[float, ...] | Finding:
    """Return the log-probability of every token of `output`, or what is wrong with `measurement`."""
    read = read_distributions(combination, measurement)
    if isinstance(read, Finding):
        return read
    found = []
    for place, (token, values) in enumerate(zip(output, read, strict=True)):
        if len(values) > 1 and token >= len(values):
            outside = {"place": place, "token": token, "vocabulary": len(values)}
            return Finding(FindingCode.TOKEN_OUTSIDE_VOCABULARY, outside)
        found.append(values[token] if len(values) > 1 else values[0])
    return tuple(found)
