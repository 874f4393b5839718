"""The outputs of precision runs and of generations, brought together by what was asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modeltest.api import (
    Case,
    Finding,
    FindingCode,
    Gate,
    GateOutcome,
    OutputAgreement,
    PrecisionOutput,
    PrecisionSummary,
    RunDifference,
    RunResult,
    Verdict,
)
from modeltest.compare.divergence import CRITERION_MAX, CRITERION_RARE, CRITERION_SHARE, meets_criterion
from modeltest.compare.outputs import Output, OutputPair
from modeltest.compare.tolerances import Tolerances
from modeltest.findings import sentence
from modeltest.tasks.output_logprobs import Distributions
from modeltest.tasks.precision_single import distributions_by_prompt

_SHOWN_CHARACTERS = 200

Line = Mapping[str, Any]
"""One line of `generations.jsonl`."""


def distributions_of(run: RunResult) -> dict[str, Distributions]:
    """Return the log-probabilities of the whole vocabulary by output, where a precision run kept them."""
    return {
        _name_of(combination.case, combination.batch_size, prompt): found
        for combination, prompt, found in distributions_by_prompt(run.measurements, run.spec)
    }


def precision_pairs(
    reference: PrecisionSummary,
    candidate: PrecisionSummary,
    distributions: tuple[Mapping[str, Distributions], Mapping[str, Distributions]] = ({}, {}),
) -> list[OutputPair]:
    """Return the outputs of both runs by case, batch size and prompt; INVALID ones make no pair."""
    ours, theirs = _by_name(reference), _by_name(candidate)
    before, after = distributions
    return [
        OutputPair(name, _output(one, before.get(name, ())), _output(theirs[name], after.get(name, ())))
        for name, one in ours.items()
        if name in theirs and Verdict.INVALID not in (one.verdict, theirs[name].verdict)
    ]


def precision_differences(
    reference: PrecisionSummary, candidate: PrecisionSummary
) -> Iterator[RunDifference]:
    """Yield how the prompts of two precision runs differ, as token ids."""
    ours, theirs = _by_name(reference), _by_name(candidate)
    differing = [
        name
        for name, one in ours.items()
        if name in theirs
        and one.prompt_tokens
        and theirs[name].prompt_tokens
        and one.prompt_tokens != theirs[name].prompt_tokens
    ]
    if differing:
        yield RunDifference(
            "prompts", "token ids of the prompts", f"{len(differing)} differ", f"such as {differing[0]}"
        )


def generation_pairs(reference: Mapping[int, Line], candidate: Mapping[int, Line]) -> list[OutputPair]:
    """Return the outputs of both runs by prompt; those that failed make no pair."""
    return [
        OutputPair(f"prompt {index}", _generated(reference[index]), _generated(candidate[index]))
        for index in sorted(set(reference) & set(candidate))
        if reference[index]["error"] is None and candidate[index]["error"] is None
    ]


def generation_differences(
    reference: Mapping[int, Line], candidate: Mapping[int, Line]
) -> Iterator[RunDifference]:
    """Yield how the prompts of two generations differ."""
    if set(reference) != set(candidate):
        yield RunDifference("prompts", "prompts asked", str(len(reference)), str(len(candidate)))
    differing = [
        index
        for index in sorted(set(reference) & set(candidate))
        if reference[index]["prompt"] != candidate[index]["prompt"]
    ]
    if differing:
        yield RunDifference(
            "prompts", "prompts", f"{len(differing)} differ", f"such as prompt {differing[0]}"
        )


def output_gates(found: OutputAgreement, tolerances: Tolerances) -> Iterator[Gate]:
    """Yield whether the outputs agree: by the criterion for ports, or by the share that is identical."""
    if found.divergence is not None:
        yield criterion_gate(found)
    is_decided = found.divergence is not None and found.divergence.is_whole
    if tolerances.min_identical is not None or not is_decided:
        yield identity_gate(found, tolerances.min_identical)


def criterion_gate(found: OutputAgreement) -> Gate:
    """Return whether the distributions of the tokens keep to the criterion for ports.

    Log-probabilities of the tokens alone can break it; only whole distributions can meet it.
    """
    divergence = found.divergence
    if divergence is None:
        raise ValueError("there are no log-probabilities to judge")
    statement = Finding(
        FindingCode.TOKENS_DIVERGE if divergence.is_whole else FindingCode.TOKENS_DIVERGE_AT_LEAST,
        {
            "tokens": divergence.tokens,
            "largest": divergence.max_kl,
            "share": divergence.share_above,
            "rare": CRITERION_RARE,
            "allowed": CRITERION_MAX,
            "allowed_share": CRITERION_SHARE,
        },
    )
    if not meets_criterion(divergence):
        outcome = GateOutcome.FAIL
    elif divergence.is_whole:
        outcome = GateOutcome.PASS
    else:
        outcome = GateOutcome.INCONCLUSIVE
        statement = Finding(FindingCode.WHOLE_DISTRIBUTIONS_WOULD_TELL, {"about": statement})
    return Gate(
        name="criterion",
        part="",
        outcome=outcome,
        statement=sentence(statement),
        value=divergence.max_kl,
        limit=CRITERION_MAX,
        unit="nats",
        statement_code=statement,
    )


def identity_gate(found: OutputAgreement, min_identical: float | None) -> Gate:
    """Return whether enough outputs are identical; without a limit only identical ones are above doubt."""
    share = found.identical / found.outputs
    values = {
        "identical": found.identical,
        "outputs": found.outputs,
        "earliest": found.earliest_divergence,
    }
    statement = Finding(FindingCode.OUTPUTS_IDENTICAL, values)
    if min_identical is not None:
        outcome = GateOutcome.PASS if share >= min_identical else GateOutcome.FAIL
        statement = Finding(FindingCode.OUTPUTS_ASKED_FOR, {"about": statement, "asked": min_identical})
    elif share == 1:
        outcome = GateOutcome.PASS
    else:
        outcome = GateOutcome.INCONCLUSIVE
        statement = Finding(FindingCode.OUTPUTS_ALONE_CANNOT_TELL, {"about": statement})
    return Gate(
        name="outputs",
        part="",
        outcome=outcome,
        statement=sentence(statement),
        value=share,
        limit=min_identical,
        unit="fraction",
        statement_code=statement,
    )


def _by_name(summary: PrecisionSummary) -> dict[str, PrecisionOutput]:
    return {_name_of(each.case, each.batch_size, each.prompt): each for each in summary.outputs}


def _name_of(case: Case, batch_size: int, prompt: int) -> str:
    return f"{case.shape} batch {batch_size}, prompt {prompt}"


def _output(output: PrecisionOutput, distributions: Distributions) -> Output:
    return Output(output.output_tokens, _beginning(output.text), output.logprobs or (), distributions)


def _generated(line: Line) -> Output:
    tokens: Sequence[int] = line["output_tokens"]
    return Output(tuple(tokens), _beginning(line["text"]))


def _beginning(text: str | None) -> str | None:
    return None if text is None else text[:_SHOWN_CHARACTERS]
