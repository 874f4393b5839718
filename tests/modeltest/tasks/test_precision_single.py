from dataclasses import replace

import pytest
from played_engine import engine_info, performance_spec, play

from modeltest.api import (
    Capability,
    Case,
    Completion,
    FirstDifference,
    Measurement,
    PrecisionSummary,
    PromptedTask,
    RunSpec,
    SpecError,
    TaskOptions,
    TokenPrompt,
    Trial,
    Verdict,
)
from modeltest.tasks.output_logprobs import LOGPROBS
from modeltest.tasks.precision_single import PrecisionSingle, distributions_by_prompt, first_difference

PROMPTS = (TokenPrompt((5, 6)), TokenPrompt((7, 8, 9)))
TASK = PrecisionSingle(PROMPTS)


def precision_spec(*cases: tuple[int, int], sizes: tuple[int, ...] = (2,)) -> RunSpec:
    spec = performance_spec(*cases, batch_sizes=(sizes,))
    options = TaskOptions(prompt_input="[[5,6],[7,8,9]]")
    return replace(spec, mode="precision_single", task="precision_single", options=options)


def say(trial: Trial, **changed: tuple[int, ...]) -> Measurement:
    """Return an answer in which row r says what its prompt begins with, or what `changed` says of `rN`."""
    completions = []
    for row, request in enumerate(trial.requests):
        first = request.prompt.ids[0]
        tokens = changed.get(f"r{row}", tuple(range(first, first + request.max_new_tokens)))
        completions.append(
            Completion(
                request.id, text=f"text {first}", prompt_tokens=request.prompt.ids, output_tokens=tokens
            )
        )
    return Measurement(
        trial.case_index,
        trial.batch_size,
        trial.trial,
        trial.phase,
        tuple(completions),
        prompts=trial.prompts,
    )


def summary(spec: RunSpec, answer=say) -> PrecisionSummary:
    return TASK.summarize_measurements(play(TASK, spec, answer)[1], spec)


def test_it_takes_prompts_and_needs_no_times():
    assert isinstance(TASK, PromptedTask)
    assert TASK.requires(precision_spec((4, 3))) == {Capability.GENERATE, Capability.IGNORE_EOS}


def test_each_case_runs_once_at_each_batch_size_and_keeps_its_text():
    trials, _ = play(TASK, precision_spec((4, 3), (8, 2), sizes=(2, 5)), say)
    assert [(trial.case_index, trial.batch_size) for trial in trials] == [(0, 2), (0, 5), (1, 2), (1, 5)]
    assert all(trial.keeps_text for trial in trials)
    assert [request.prompt for request in trials[1].requests] == [*PROMPTS, *PROMPTS, PROMPTS[0]]


def test_the_output_of_each_prompt_is_given_once_per_batch_size():
    outputs = summary(precision_spec((4, 3), sizes=(2, 5))).outputs
    assert [(each.batch_size, each.prompt, each.rows) for each in outputs] == [
        (2, 0, 1),
        (2, 1, 1),
        (5, 0, 3),
        (5, 1, 2),
    ]
    assert [each.output_tokens for each in outputs] == [(5, 6, 7), (7, 8, 9)] * 2
    assert outputs[1].prompt_tokens == (7, 8, 9)
    assert outputs[1].text == "text 7"
    assert all((each.verdict, each.reasons, each.case) == (Verdict.VALID, (), Case(4, 3)) for each in outputs)


def test_rows_that_disagree_are_invalid_with_the_first_divergent_token():
    def answer(trial):
        return say(trial, r2=(5, 6, 99), r4=(5, 98, 7))

    sound, broken, other = summary(precision_spec((4, 3), sizes=(5, 2)), answer).outputs[0:3]
    sound, broken = broken, sound
    assert (broken.verdict, broken.rows, broken.rows_that_differ) == (Verdict.INVALID, 3, 2)
    assert broken.first_difference == FirstDifference(row=2, token_index=2, expected=7, found=99)
    assert broken.reasons == (
        "prompt 0: 2 of 3 rows differ from row 0, the first is row 2 at token 2: 99 instead of 7",
    )
    assert sound.verdict is Verdict.VALID
    assert other.verdict is Verdict.VALID, "an invalid output is no reference for another batch size"


def test_an_output_that_changes_with_the_batch_size_is_noisy():
    def answer(trial):
        return (
            say(trial) if trial.batch_size == 2 else say(trial, r0=(5, 99, 7), r2=(5, 99, 7), r4=(5, 99, 7))
        )

    outputs = summary(precision_spec((4, 3), sizes=(2, 5)), answer).outputs
    assert [each.verdict for each in outputs] == [Verdict.VALID, Verdict.VALID, Verdict.NOISY, Verdict.VALID]
    assert outputs[2].reasons == (
        "prompt 0: the output differs from that of batch 2 from token 1 on: 99 instead of 6",
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: replace(m, completions=(), out_of_memory=True, error="x"), "batch 2 ran out of memory"),
        (lambda m: replace(m, completions=(), error="device lost"), "device lost"),
        (lambda m: replace(m, completions=m.completions[1:]), "row 0 did not come back"),
        (
            lambda m: replace(m, completions=(replace(m.completions[0], error="NaN"), *m.completions[1:])),
            "row 0 failed: NaN",
        ),
        (
            lambda m: replace(
                m, completions=(replace(m.completions[0], output_tokens=(5,)), *m.completions[1:])
            ),
            "row 0 has 1 of 3 output tokens",
        ),
    ],
)
def test_what_did_not_come_back_is_invalid(change, reason):
    output = summary(precision_spec((4, 3)), lambda trial: change(say(trial))).outputs[0]
    assert (output.verdict, output.reasons, output.output_tokens) == (Verdict.INVALID, (reason,), ())


def test_a_run_cut_short_is_invalid_and_says_so():
    spec = precision_spec((4, 3), sizes=(2, 5))
    _, measurements = play(TASK, spec, say)
    outputs = TASK.summarize_measurements(measurements[:1], spec).outputs
    assert [(each.batch_size, each.verdict) for each in outputs] == [
        (2, Verdict.VALID),
        (2, Verdict.VALID),
        (5, Verdict.INVALID),
    ]
    assert outputs[2].reasons == ("not measured: the run was cut short",)


def test_the_order_of_completions_does_not_matter():
    spec = precision_spec((4, 3), sizes=(5,))
    swapped = summary(
        spec, lambda trial: replace(say(trial), completions=tuple(reversed(say(trial).completions)))
    )
    assert swapped == summary(spec)


@pytest.mark.parametrize(
    ("expected", "found", "difference"),
    [
        ((1, 2), (1, 2), None),
        ((1, 2), (3, 4), FirstDifference(7, 0, 1, 3)),
        ((1, 2), (1,), FirstDifference(7, 1, 2, None)),
        ((1,), (1, 5), FirstDifference(7, 1, None, 5)),
    ],
)
def test_the_first_difference_may_be_an_end(expected, found, difference):
    assert first_difference(7, expected, found) == difference


def test_prompts_that_do_not_suit_are_refused_before_anything_runs():
    with pytest.raises(SpecError, match="3 tokens, case"):
        next(TASK.trials(precision_spec((2, 3)), engine_info()))
    with pytest.raises(SpecError, match="2 prompts do not fit into a batch of 1"):
        next(TASK.trials(precision_spec((4, 3), sizes=(1,)), engine_info()))
    with pytest.raises(SpecError, match="outside the vocabulary"):
        next(TASK.trials(precision_spec((4, 3)), engine_info(vocabulary_size=8)))
    with pytest.raises(SpecError, match="precision_single needs prompts"):
        TASK.check(replace(precision_spec((4, 3)), options=TaskOptions()))


def logprobs_spec(*cases: tuple[int, int], sizes: tuple[int, ...] = (2,)) -> RunSpec:
    spec = precision_spec(*cases, sizes=sizes)
    return replace(spec, options=replace(spec.options, logprobs=True))


def score(trial: Trial) -> Measurement:
    """Say what `say` does; a token is the likelier the shorter the text before it."""
    if trial.phase != LOGPROBS:
        return say(trial)
    completions = [
        Completion(request.id, choice_logprobs=(-float(len(request.prompt.ids)),))
        for request in trial.requests
    ]
    return Measurement(trial.case_index, trial.batch_size, trial.trial, trial.phase, tuple(completions))


def test_log_probabilities_are_asked_for_once_per_prompt_token_after_token():
    spec = logprobs_spec((4, 3), sizes=(2, 5))
    assert Capability.CHOICE_LOGPROBS in TASK.requires(spec)
    trials, measurements = play(TASK, spec, score)
    assert [(each.batch_size, each.trial, each.phase) for each in trials] == [
        (2, 0, "measure"),
        (2, 1, "logprobs"),
        (2, 2, "logprobs"),
        (5, 0, "measure"),
    ]
    assert [(request.prompt.ids, request.choices) for request in trials[2].requests] == [
        ((7, 8, 9), ((7,),)),
        ((7, 8, 9, 7), ((8,),)),
        ((7, 8, 9, 7, 8), ((9,),)),
    ]
    outputs = TASK.summarize_measurements(measurements, spec).outputs
    assert [each.logprobs for each in outputs] == [(-2.0, -3.0, -4.0), (-3.0, -4.0, -5.0), None, None]
    assert all(each.verdict is Verdict.VALID for each in outputs)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: replace(m, completions=(), error="device lost"), "no log-probabilities: device lost"),
        (lambda m: replace(m, completions=(), out_of_memory=True), "no log-probabilities: out of memory"),
        (lambda m: replace(m, completions=m.completions[1:]), "of token 0: no answer came back"),
        (
            lambda m: replace(m, completions=(replace(m.completions[0], error="NaN"), *m.completions[1:])),
            "of token 0: NaN",
        ),
    ],
)
def test_log_probabilities_that_were_not_given_are_invalid(change, reason):
    def answer(trial):
        return change(score(trial)) if trial.phase == LOGPROBS else score(trial)

    output = summary(logprobs_spec((4, 3)), answer).outputs[0]
    assert (output.verdict, output.logprobs) == (Verdict.INVALID, None)
    assert reason in output.reasons[0]


def test_log_probabilities_that_are_still_to_come_are_invalid():
    spec = logprobs_spec((4, 3))
    _, measurements = play(TASK, spec, score)
    assert [each.verdict for each in TASK.summarize_measurements(measurements[:2], spec).outputs] == [
        Verdict.VALID,
        Verdict.INVALID,
    ]


def test_of_whole_distributions_the_output_token_is_read_and_all_are_kept():
    spec = precision_spec((4, 3))
    spec = replace(spec, options=replace(spec.options, logits=True))
    assert Capability.CHOICE_LOGPROBS in TASK.requires(spec)

    def answer(trial):
        if trial.phase != LOGPROBS:
            return say(trial)
        rows = [
            Completion(request.id, choice_logprobs=tuple(-float(token) for (token,) in request.choices))
            for request in trial.requests
        ]
        return Measurement(trial.case_index, trial.batch_size, trial.trial, trial.phase, tuple(rows))

    trials, measurements = play(TASK, spec, answer)
    assert trials[1].requests[0].choices == tuple((token,) for token in range(1000)), "the vocabulary"
    outputs = TASK.summarize_measurements(measurements, spec).outputs
    assert [each.logprobs for each in outputs] == [(-5.0, -6.0, -7.0), (-7.0, -8.0, -9.0)]
    kept = list(distributions_by_prompt(measurements, spec))
    assert [prompt for _, prompt, _ in kept] == [0, 1]
    assert [len(place) for place in kept[1][2]] == [1000] * 3
    assert list(distributions_by_prompt(measurements, logprobs_spec((4, 3)))) == []


def test_a_token_beyond_the_vocabulary_asked_for_is_invalid():
    spec = precision_spec((4, 3))
    spec = replace(spec, options=replace(spec.options, logits=True))

    def answer(trial):
        if trial.phase != LOGPROBS:
            return say(trial)
        rows = [Completion(request.id, choice_logprobs=(-0.5, -1.0)) for request in trial.requests]
        return Measurement(trial.case_index, trial.batch_size, trial.trial, trial.phase, tuple(rows))

    output = summary(spec, answer).outputs[0]
    assert output.verdict is Verdict.INVALID
    assert "token 0 is 5, the vocabulary asked for has 2" in output.reasons[0]
