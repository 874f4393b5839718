from dataclasses import replace

import pytest
from played_engine import PlayedEngine, engine_info, performance_spec, play

from modeltest.api import (
    Capability,
    MeasurementTask,
    PromptedTask,
    PromptSource,
    SpecError,
    TaskOptions,
    TokenPrompt,
    Verdict,
)
from modeltest.run.worker.measurement import inputs_digest
from modeltest.tasks.performance import Performance
from modeltest.tasks.performance_single import PerformanceSingle

PROMPTS = (TokenPrompt((5, 6)), TokenPrompt((7, 8, 9)))


def single_spec(*cases, **fields):
    spec = performance_spec(*cases, **fields)
    options = TaskOptions(prompt_input="[[5,6],[7,8,9]]")
    return replace(spec, mode="performance_single", task="performance_single", options=options)


def dataset_spec(*cases, batches=1, padding=False, **fields):
    options = TaskOptions(prompt_source=PromptSource("boolq", padding, batches))
    return replace(performance_spec(*cases, **fields), options=options)


def rows(count: int) -> tuple[TokenPrompt, ...]:
    return tuple(TokenPrompt((9, *range(20 + number, 25 + 2 * number))) for number in range(count))


@pytest.mark.parametrize("task", [Performance(), PerformanceSingle()])
def test_both_take_prompts_and_stay_what_they_are(task):
    assert isinstance(task, PromptedTask)
    handed = task.with_prompts(PROMPTS)
    assert isinstance(handed, MeasurementTask)
    assert type(handed) is type(task)


def test_every_trial_submits_the_given_prompts():
    spec = single_spec((4, 3), batch_sizes=((3,),))
    trials, _ = play(PerformanceSingle(PROMPTS), spec, PlayedEngine())
    assert len(trials) > 3
    for trial in trials:
        assert [request.prompt for request in trial.requests] == [*PROMPTS, PROMPTS[0]]


def test_the_summary_states_the_real_lengths():
    spec = single_spec((4, 3), batch_sizes=((2,),))
    _, measurements = play(PerformanceSingle(PROMPTS), spec, PlayedEngine())
    (case,) = PerformanceSingle().summarize_measurements(measurements, spec).cases
    assert case.verdict is Verdict.VALID
    assert (case.prompts.shortest, case.prompts.median, case.prompts.longest) == (2, 2.5, 3)
    assert "prompts of 2 to 3 tokens stand for the 4 of the case" in case.prompts.notes


def test_lengths_are_checked_before_anything_is_measured():
    spec = single_spec((4, 3), (2, 3), batch_sizes=((2,),))
    with pytest.raises(SpecError, match=r"a prompt has 3 tokens, case \[2,3\]"):
        next(PerformanceSingle(PROMPTS).trials(spec, engine_info()))


@pytest.mark.parametrize(
    ("prompts", "message"),
    [(None, "performance_single needs prompts"), ("[1,-1]", "element 1 is -1"), ("[]", "an empty list")],
)
def test_prompts_that_are_none_are_refused_without_opening_anything(prompts, message):
    spec = replace(single_spec((4, 3)), options=TaskOptions(prompt_input=prompts))
    with pytest.raises(SpecError, match=message):
        PerformanceSingle().check(spec)
    PerformanceSingle().check(replace(spec, options=TaskOptions(prompt_input="no/such/file")))


def test_rows_of_a_dataset_are_fresh_in_every_trial_and_the_same_in_a_replay():
    spec = dataset_spec((8, 3), batch_sizes=((2,),))
    task = Performance(rows(40))
    first, again = (play(task, spec, PlayedEngine())[0] for _ in range(2))
    assert [inputs_digest(trial) for trial in first] == [inputs_digest(trial) for trial in again]
    asked = [request.prompt for trial in first for request in trial.requests]
    assert len(set(asked)) == len(asked)


@pytest.mark.parametrize(("batches", "expected"), [(1, 3), (7, 7), (50, 20), (None, 20)])
def test_as_many_batches_are_measured_as_the_words_ask_for(batches, expected):
    spec = dataset_spec((60, 3), batches=batches, batch_sizes=((2,),))
    trials, measurements = play(Performance(rows(40)), spec, PlayedEngine())
    assert sum(trial.phase == "measure" for trial in trials) == expected
    (case,) = Performance().summarize_measurements(measurements, spec).cases
    assert (case.verdict, case.trials) == (Verdict.VALID, expected)
    (cut,) = Performance().summarize_measurements(measurements[:-1], spec).cases
    assert cut.verdict is Verdict.INVALID


def test_all_rows_are_measured_with_inf_whatever_the_warm_up_took():
    spec = dataset_spec((60, 3), batches=None, batch_sizes=((3,),))
    trials, _ = play(Performance(rows(20)), spec, PlayedEngine())
    measured = {request.prompt for trial in trials if trial.phase == "measure" for request in trial.requests}
    assert measured == set(rows(20))


def test_a_dataset_too_small_for_a_batch_is_refused_before_anything_is_measured():
    spec = dataset_spec((8, 3), batch_sizes=((2, 41),))
    with pytest.raises(SpecError, match="40 distinct prompts"):
        next(Performance(rows(40)).trials(spec, engine_info()))


@pytest.mark.parametrize(
    "options", [TaskOptions(prefill_batch_size=2), TaskOptions(prefill_length=512)], ids=["batch", "length"]
)
def test_prefill_words_ask_for_an_engine_that_honours_them(options):
    spec = replace(performance_spec((4, 4)), options=options)
    Performance().check(spec)
    assert Capability.PREFILL_LIMITS in Performance().requires(spec)
    assert Capability.PREFILL_LIMITS not in Performance().requires(performance_spec((4, 4)))
