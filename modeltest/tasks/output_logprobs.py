"""Log-probabilities of an output's tokens: each is asked as the one choice after the tokens before it.

Any engine that scores choices can answer; one that shares prefixes computes each token once.
"""

from __future__ import annotations

from collections.abc import Sequence

from modeltest.api import Measurement, Request, TokenPrompt, Trial
from modeltest.tasks.inputs import request_id
from modeltest.tasks.shapes import Combination

LOGPROBS = "logprobs"
"""The phase of such a trial."""


def logprobs_trial(
    combination: Combination, number: int, prompt: Sequence[int], output: Sequence[int]
) -> Trial:
    """Return the trial that asks for the log-probability of every token of `output` after `prompt`."""
    before = (*prompt, *output)
    requests = tuple(
        Request(
            request_id(combination.case, combination.batch_size, number, place),
            TokenPrompt(before[: len(prompt) + place]),
            choices=((token,),),
        )
        for place, token in enumerate(output)
    )
    return Trial(combination.case_index, combination.batch_size, number, LOGPROBS, requests)


def read_logprobs(combination: Combination, measurement: Measurement) -> tuple[float, ...] | str:
    """Return the log-probability of every output token, or what is wrong with `measurement`."""
    if measurement.error is not None or measurement.out_of_memory:
        return f"no log-probabilities: {measurement.error or 'out of memory'}"
    answers = {completion.request_id: completion for completion in measurement.completions}
    values = []
    for place in range(combination.case.output_tokens):
        answer = answers.get(request_id(combination.case, combination.batch_size, measurement.trial, place))
        if answer is None or answer.error or len(answer.choice_logprobs) != 1:
            return f"no log-probability of token {place}: {answer.error if answer else 'no answer came back'}"
        values.append(answer.choice_logprobs[0])
    return tuple(values)
