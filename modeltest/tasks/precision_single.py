"""`precision_single`: the greedy output of given prompts, token by token, to compare devices."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest

from modeltest.api import (
    Capability,
    Completion,
    EngineInfo,
    Finding,
    FindingCode,
    FirstDifference,
    Measurement,
    MeasurementTask,
    PrecisionOutput,
    PrecisionSummary,
    RunSpec,
    TokenPrompt,
    Trial,
    Verdict,
    modes_named,
)
from modeltest.findings import sentence
from modeltest.tasks.inputs import request_id
from modeltest.tasks.output_logprobs import (
    LOGPROBS,
    Distributions,
    logprobs_trial,
    read_distributions,
    read_logprobs,
)
from modeltest.tasks.prompt_sources import choose_prompts
from modeltest.tasks.readings import MEASURE
from modeltest.tasks.shapes import (
    Combination,
    check_batch_sizes,
    check_cases,
    check_context,
    check_prompt_input,
    combinations,
)

TRIAL = 0
"""Each batch is run once: greedy decoding has nothing to repeat."""


class PrecisionSingle:
    """Runs each case once at each batch size, with one of the prompts in each row in turn.

    Rows with the same prompt must say the same: a row that does not makes its output INVALID. An output that
    changes with the batch size is NOISY. The end of text is ignored, so that every output has as many tokens
    as the case; prompts are computed whole in every row, for the rows of a batch are what is compared.
    Log-probabilities, where they are asked for, are those of the output at the first batch size of a case.
    """

    name = "precision_single"
    title = "Greedy output of given prompts"
    modes = modes_named("precision_single")

    def __init__(self, prompts: Sequence[TokenPrompt] | None = None) -> None:
        self._prompts = prompts

    def with_prompts(self, prompts: Sequence[TokenPrompt]) -> MeasurementTask:
        """Return this task with the prompts that were given."""
        return PrecisionSingle(prompts)

    def check(self, spec: RunSpec) -> None:
        """Refuse shapes that cannot be run and prompts that are none.

        Raises: SpecError.
        """
        check_cases(spec, takes_prompts=True)
        check_batch_sizes(spec)
        check_prompt_input(spec)

    def requires(self, spec: RunSpec) -> frozenset[Capability]:
        """Return what the engine must be capable of."""
        needed = {Capability.GENERATE, Capability.IGNORE_EOS}
        is_scored = spec.options.logprobs or spec.options.logits
        return frozenset(needed | {Capability.CHOICE_LOGPROBS} if is_scored else needed)

    def trials(self, spec: RunSpec, engine: EngineInfo) -> Generator[Trial, Measurement, None]:
        """Yield one trial per case and batch size.

        Raises: SpecError for a case longer than the model's context and for prompts that do not suit a case.
        """
        check_context(spec.cases, engine)
        prompts = choose_prompts(spec, engine, self._prompts)
        for combination, inputs in [(each, prompts.inputs_of(each)) for each in combinations(spec)]:
            submitted = inputs.of_trial(TRIAL, 0)
            measurement = yield Trial(
                case_index=combination.case_index,
                batch_size=combination.batch_size,
                trial=TRIAL,
                phase=MEASURE,
                requests=submitted.requests,
                prompts=submitted.prompts,
                keeps_text=True,
            )
            if _wants_logprobs(combination, spec):
                every = engine.vocabulary_size if spec.options.logits else None
                yield from _logprobs_trials(combination, measurement, every)

    def summarize_measurements(
        self, measurements: Iterable[Measurement], spec: RunSpec, engine: EngineInfo | None = None
    ) -> PrecisionSummary:
        """Return one output per case, batch size and prompt; what was not measured is INVALID."""
        found: dict[tuple[int, int], dict[int, Measurement]] = {}
        for each in measurements:
            found.setdefault((each.case_index, each.batch_size), {})[each.trial] = each
        outputs: list[PrecisionOutput] = []
        references: dict[tuple[int, int], PrecisionOutput] = {}
        for combination in combinations(spec):
            trials = found.get((combination.case_index, combination.batch_size), {})
            for output in _whole_outputs(combination, trials, spec):
                key = combination.case_index, output.prompt
                if output.verdict is Verdict.VALID:
                    outputs.append(_compared(output, references.setdefault(key, output)))
                else:
                    outputs.append(output)
        return PrecisionSummary(tuple(outputs))


def _wants_logprobs(combination: Combination, spec: RunSpec) -> bool:
    """Say whether log-probabilities are asked for: once per case, at its first batch size."""
    is_first = combination.batch_size == spec.batch_sizes_of(combination.case_index)[0]
    return (spec.options.logprobs or spec.options.logits) and is_first


def _logprobs_trials(
    combination: Combination, measurement: Measurement, vocabulary_size: int | None
) -> Generator[Trial, Measurement, None]:
    for output in _outputs(combination, {TRIAL: measurement}):
        if output.output_tokens:
            number = _logprobs_number(output.prompt)
            yield logprobs_trial(
                combination,
                number,
                output.prompt_tokens,
                output.output_tokens,
                vocabulary_size=vocabulary_size,
            )


def _logprobs_number(prompt: int) -> int:
    return TRIAL + 1 + prompt


def distributions_by_prompt(
    measurements: Iterable[Measurement], spec: RunSpec
) -> Iterator[tuple[Combination, int, Distributions]]:
    """Yield case, prompt and the log-probabilities of the whole vocabulary in each place of its output."""
    for measurement in measurements if spec.options.logits else ():
        if measurement.phase != LOGPROBS:
            continue
        case = spec.cases[measurement.case_index]
        combination = Combination(measurement.case_index, case, measurement.batch_size)
        read = read_distributions(combination, measurement)
        if not isinstance(read, Finding):
            yield combination, measurement.trial - _logprobs_number(0), read


def _whole_outputs(
    combination: Combination, trials: Mapping[int, Measurement], spec: RunSpec
) -> Iterator[PrecisionOutput]:
    for output in _outputs(combination, trials):
        is_wanted = _wants_logprobs(combination, spec) and output.output_tokens
        yield _with_logprobs(output, combination, trials) if is_wanted else output


def _with_logprobs(
    output: PrecisionOutput, combination: Combination, trials: Mapping[int, Measurement]
) -> PrecisionOutput:
    measurement = trials.get(_logprobs_number(output.prompt))
    read: tuple[float, ...] | Finding = Finding(FindingCode.LOGPROBS_UNMEASURED)
    if measurement:
        read = read_logprobs(combination, measurement, output.output_tokens)
    if isinstance(read, tuple):
        return replace(output, logprobs=read)
    return _with_reason(output, Verdict.INVALID, read)


def _outputs(combination: Combination, trials: Mapping[int, Measurement]) -> Iterator[PrecisionOutput]:
    measurement = trials.get(TRIAL)
    if measurement is None:
        yield _faulty(combination, 0, Finding(FindingCode.NOT_MEASURED))
        return
    count = measurement.prompts.available if measurement.prompts else 1
    rows = {completion.request_id: completion for completion in measurement.completions}
    for prompt in range(count):
        numbers = range(prompt, combination.batch_size, count)
        if fault := _fault(combination, measurement, rows, numbers):
            yield _faulty(combination, prompt, fault)
        else:
            yield _agreement(combination, prompt, {row: rows[_name(combination, row)] for row in numbers})


def _fault(
    combination: Combination,
    measurement: Measurement,
    rows: Mapping[str, Completion],
    numbers: Sequence[int],
) -> Finding | None:
    if measurement.out_of_memory:
        return Finding(FindingCode.BATCH_OUT_OF_MEMORY, {"batch_size": combination.batch_size})
    if measurement.error is not None:
        return Finding(FindingCode.TEXT, {"text": measurement.error})
    for row in numbers:
        completion = rows.get(_name(combination, row))
        if completion is None:
            return Finding(FindingCode.ROW_MISSING, {"row": row})
        if completion.error is not None:
            return Finding(FindingCode.ROW_FAILED, {"row": row, "error": completion.error})
        if len(completion.output_tokens) != combination.case.output_tokens:
            found, wanted = len(completion.output_tokens), combination.case.output_tokens
            return Finding(FindingCode.ROW_OF_WRONG_LENGTH, {"row": row, "found": found, "wanted": wanted})
    return None


def _agreement(combination: Combination, prompt: int, rows: Mapping[int, Completion]) -> PrecisionOutput:
    (first_row, first), *others = rows.items()
    differences = [
        difference
        for row, completion in others
        if (difference := first_difference(row, first.output_tokens, completion.output_tokens))
    ]
    output = PrecisionOutput(
        case=combination.case,
        batch_size=combination.batch_size,
        prompt=prompt,
        prompt_tokens=first.prompt_tokens,
        output_tokens=first.output_tokens,
        logprobs=None,
        text=first.text,
        rows=len(rows),
        rows_that_differ=len(differences),
        first_difference=differences[0] if differences else None,
        verdict=Verdict.VALID,
        reasons=(),
    )
    if not differences:
        return output
    at = differences[0]
    differing = {"differing": len(differences), "rows": len(rows), "first_row": first_row, "row": at.row}
    return _with_reason(
        output, Verdict.INVALID, Finding(FindingCode.ROWS_DIFFER, {**differing, **_tokens_at(at)})
    )


def first_difference(row: int, expected: Sequence[int], found: Sequence[int]) -> FirstDifference | None:
    """Return where the tokens of `row` leave those expected; `None` when they do not."""
    for index, (wanted, token) in enumerate(zip_longest(expected, found)):
        if wanted != token:
            return FirstDifference(row, index, wanted, token)
    return None


def _compared(output: PrecisionOutput, first: PrecisionOutput) -> PrecisionOutput:
    """Return `output`, with a reason when it differs from that of the first batch size."""
    difference = first_difference(0, first.output_tokens, output.output_tokens)
    if difference is None:
        return output
    values = {"batch_size": first.batch_size, **_tokens_at(difference)}
    return _with_reason(output, Verdict.NOISY, Finding(FindingCode.OUTPUT_DIFFERS_BY_BATCH, values))


def _with_reason(output: PrecisionOutput, verdict: Verdict, about: Finding) -> PrecisionOutput:
    reason = Finding(FindingCode.IN_PROMPT, {"prompt": output.prompt, "about": about})
    return replace(
        output,
        verdict=verdict,
        reasons=(*output.reasons, sentence(reason)),
        reason_codes=(*output.reason_codes, reason),
    )


def _tokens_at(difference: FirstDifference) -> dict[str, int | None]:
    found, expected = difference.found, difference.expected
    return {"token_index": difference.token_index, "found": found, "expected": expected}


def _faulty(combination: Combination, prompt: int, reason: Finding) -> PrecisionOutput:
    return PrecisionOutput(
        case=combination.case,
        batch_size=combination.batch_size,
        prompt=prompt,
        prompt_tokens=(),
        output_tokens=(),
        logprobs=None,
        text=None,
        rows=0,
        rows_that_differ=0,
        first_difference=None,
        verdict=Verdict.INVALID,
        reasons=(sentence(reason),),
        reason_codes=(reason,),
    )


def _name(combination: Combination, row: int) -> str:
    return request_id(combination.case, combination.batch_size, TRIAL, row)
