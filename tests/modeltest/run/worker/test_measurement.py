import hashlib
from dataclasses import replace

import pytest

from engines.common.tokenizing import ByteTokenizer
from modeltest.api import (
    Completion,
    EngineError,
    EngineInfo,
    Interruption,
    OutOfMemory,
    Request,
    RunSpec,
    SpecError,
    TextPrompt,
    TokenPrompt,
    Trial,
    TrialPrompts,
)
from modeltest.run.worker import measurement as measurement_module
from modeltest.run.worker.measurement import (
    LEAST_LOGPROB,
    Measured,
    inputs_digest,
    measure,
    run_measurements,
)

SPEC = RunSpec(engine="fake", mode="m", task="t", model="m", weights="w")
INFO = EngineInfo("scripted", "none", "none", 100, (), None, {})


def _trial(batch_size: int, trial: int = 0) -> Trial:
    requests = [Request(f"r{i}", TokenPrompt((i, trial)), max_new_tokens=2) for i in range(batch_size)]
    return Trial(0, batch_size, trial, "measure", tuple(requests))


class ScriptedEngine:
    name = "scripted"

    def __init__(self, fits: int = 100, split: bool = False) -> None:
        self.fits, self.split = fits, split
        self.peaks = iter(range(1, 100))

    def complete(self, requests, *, batch_size):
        requests = list(requests)
        if len(requests) > self.fits:
            raise OutOfMemory("does not fit")
        completions = [
            Completion(r.id, text="x", prompt_tokens=(1,), output_tokens=(7, 8), token_times_ns=(5, 9))
            for r in requests
        ]
        yield from [[c] for c in completions] if self.split else [completions]

    def peak_memory_bytes(self):
        return next(self.peaks)


def test_a_trial_becomes_a_measurement_with_times_tokens_and_peak_memory():
    measurement = measure(ScriptedEngine(), _trial(2))
    assert measurement.completions[1] == Completion("r1", output_tokens=(7, 8), token_times_ns=(5, 9))
    assert measurement.peak_memory_bytes == 2
    assert not measurement.out_of_memory


def test_a_batch_that_does_not_fit_is_a_measurement():
    measurement = measure(ScriptedEngine(fits=1), _trial(2))
    assert measurement.out_of_memory
    assert measurement.completions == ()
    assert measurement.error == "does not fit"


def test_a_timed_batch_that_the_engine_split_is_refused():
    with pytest.raises(EngineError, match="split a timed batch of 2"):
        measure(ScriptedEngine(split=True), _trial(2))


def test_the_task_decides_each_trial_from_the_last_measurement():
    class Doubling:
        def trials(self, spec, info):
            batch_size = 1
            while not (yield _trial(batch_size)).out_of_memory:
                batch_size *= 2

    sizes = [m.batch_size for m in run_measurements(Doubling(), ScriptedEngine(fits=4), INFO, SPEC)]
    assert sizes == [1, 2, 4, 8]


def test_each_measurement_is_out_before_the_next_trial_begins():
    order = []

    class Task:
        def trials(self, spec, info):
            for number in range(2):
                order.append(f"trial {number}")
                yield _trial(1, number)

    for measurement in run_measurements(Task(), ScriptedEngine(), INFO, SPEC):
        order.append(f"journal {measurement.trial}")
    assert order == ["trial 0", "journal 0", "trial 1", "journal 1"]


def test_a_task_without_trials_measures_nothing():
    class Nothing:
        def trials(self, spec, info):
            yield from ()

    assert list(run_measurements(Nothing(), ScriptedEngine(), INFO, SPEC)) == []


def _prompts(*prompts: TokenPrompt | TextPrompt) -> Trial:
    requests = tuple(Request(f"r{index}", prompt) for index, prompt in enumerate(prompts))
    return Trial(0, len(requests), 0, "measure", requests)


def test_digest_is_over_the_ids_row_by_row() -> None:
    digest = inputs_digest(_prompts(TokenPrompt((1, 23)), TokenPrompt((4,))))
    assert digest == hashlib.sha256(b"1 23\n4\n").hexdigest()


def test_digest_tells_rows_from_one_long_row_and_text_apart() -> None:
    trials = [
        _prompts(TokenPrompt((1, 2))),
        _prompts(TokenPrompt((1,)), TokenPrompt((2,))),
        _prompts(TokenPrompt((12,))),
        _prompts(TextPrompt("", (), "1 2")),
        _prompts(TextPrompt("1", (), " 2")),
    ]
    assert len({inputs_digest(trial) for trial in trials}) == len(trials)


PROMPTS = TrialPrompts((2, 2), 7, ("note",))


def test_a_measurement_carries_what_is_said_of_its_prompts_even_out_of_memory() -> None:
    trial = replace(_trial(2), prompts=PROMPTS)
    assert measure(ScriptedEngine(), trial).prompts == PROMPTS
    assert measure(ScriptedEngine(fits=1), trial).prompts == PROMPTS


def test_a_trial_that_keeps_its_text_keeps_prompts_and_no_times() -> None:
    trial = replace(_trial(1), keeps_text=True)
    (completion,) = measure(ScriptedEngine(), trial).completions
    assert completion == Completion("r0", text="x", prompt_tokens=(1,), output_tokens=(7, 8))


def test_the_text_that_is_kept_is_that_of_the_tokenizer() -> None:
    class WithTokenizer(ScriptedEngine):
        def tokenizer(self):
            return ByteTokenizer(0)

    (completion,) = measure(WithTokenizer(), replace(_trial(1), keeps_text=True)).completions
    assert completion.text == "\x07\x08"


def test_a_batch_that_is_not_timed_may_come_back_in_parts() -> None:
    trial = _trial(2)
    scored = tuple(replace(request, max_new_tokens=0, choices=((1,),)) for request in trial.requests)
    assert len(measure(ScriptedEngine(split=True), replace(trial, requests=scored)).completions) == 2


@pytest.mark.parametrize(
    ("said", "kept", "error"),
    [
        ((-0.5, float("-inf")), (-0.5, LEAST_LOGPROB), None),
        ((-0.5, float("nan")), (), "a log-probability is not a number"),
    ],
)
def test_log_probabilities_in_a_journal_are_numbers_and_their_choices_are_left_out(said, kept, error):
    class Scoring(ScriptedEngine):
        def complete(self, requests, *, batch_size):
            yield [
                Completion(
                    each.id, choice_logprobs=said, choice_tokens=((1,), (2,)), choice_is_greedy=(True, False)
                )
                for each in requests
            ]

    trial = _trial(1)
    scored = tuple(replace(request, max_new_tokens=0, choices=((1,), (2,))) for request in trial.requests)
    (completion,) = measure(Scoring(), replace(trial, requests=scored)).completions
    assert completion == Completion("r0", choice_logprobs=kept, error=error)


def test_the_peak_of_the_process_is_that_of_the_trial_alone(monkeypatch):
    """The engine's own peak is asked for last: on the cpu that begins a new one."""
    asked = []

    class CountingEngine(ScriptedEngine):
        def complete(self, requests, *, batch_size):
            asked.append("batch")
            return super().complete(requests, batch_size=batch_size)

        def peak_memory_bytes(self):
            asked.append("engine")
            return super().peak_memory_bytes()

    monkeypatch.setattr(measurement_module, "forget_resident_peak", lambda: asked.append("new") or True)
    monkeypatch.setattr(measurement_module, "resident_peak_bytes", lambda: asked.append("read") or 4096)
    assert measure(CountingEngine(), _trial(1)).peak_host_memory_bytes == 4096
    assert asked == ["engine", "new", "batch", "read", "engine"]


def test_where_the_kernel_keeps_an_older_peak_none_is_told(monkeypatch):
    monkeypatch.setattr(measurement_module, "forget_resident_peak", lambda: False)
    assert measure(ScriptedEngine(), _trial(1)).peak_host_memory_bytes is None


class Sizes:
    """Measures batches of one row, one after the other; what each gave is kept."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.told = []

    def trials(self, spec, info):
        for number in range(self.count):
            self.told.append((yield _trial(1, number)))


def test_what_is_in_the_journal_is_told_to_the_task_and_not_measured_again():
    whole = list(run_measurements(Sizes(4), ScriptedEngine(), INFO, SPEC))
    task = Sizes(4)
    rest = list(run_measurements(task, ScriptedEngine(), INFO, SPEC, measured=Measured(journalled=whole[:2])))
    assert [measurement.trial for measurement in rest] == [2, 3]
    assert task.told[:2] == whole[:2]
    assert [measurement.trial for measurement in task.told] == [0, 1, 2, 3]


def test_a_whole_journal_leaves_nothing_to_measure():
    whole = list(run_measurements(Sizes(2), ScriptedEngine(), INFO, SPEC))
    assert not list(
        run_measurements(Sizes(2), ScriptedEngine(), INFO, SPEC, measured=Measured(journalled=whole))
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"trial": 1}, r"it has trial 0/1/1 \(measure\), this run has 0/1/0"),
        ({"batch_size": 2}, "it has trial 0/2/0"),
        ({"phase": "warmup"}, r"trial 0/1/0 \(warmup\), this run has 0/1/0 \(measure\)"),
        ({"inputs_sha256": "0"}, "with other prompts"),
    ],
)
def test_a_journal_of_other_trials_is_refused(change, problem):
    (first,) = run_measurements(Sizes(1), ScriptedEngine(), INFO, SPEC)
    journalled = [replace(first, **change)]
    with pytest.raises(SpecError, match=problem):
        list(
            run_measurements(Sizes(2), ScriptedEngine(), INFO, SPEC, measured=Measured(journalled=journalled))
        )


def test_a_journal_with_more_trials_than_the_run_is_refused():
    whole = list(run_measurements(Sizes(3), ScriptedEngine(), INFO, SPEC))
    with pytest.raises(SpecError, match="more trials than this run has"):
        list(run_measurements(Sizes(2), ScriptedEngine(), INFO, SPEC, measured=Measured(journalled=whole)))


@pytest.mark.parametrize("out_of_memory", [True, False])
def test_a_trial_that_is_given_up_is_measured_without_the_engine(out_of_memory):
    lost = Interruption("t", "the worker was killed", 1, given_up=True, out_of_memory=out_of_memory)
    asked = []
    measured = Measured(given_up={"0/1/1": lost})
    found = list(
        run_measurements(Sizes(3), ScriptedEngine(), INFO, SPEC, measured=measured, on_trial=asked.append)
    )
    assert asked == ["0/1/0", "0/1/2"]
    assert [one.out_of_memory for one in found] == [False, out_of_memory, False]
    assert (found[1].error, found[1].completions) == ("the worker was killed", ())
    assert found[1].inputs_sha256 == inputs_digest(_trial(1, 1))
