import pytest

from engines.fake import FakeEngine, FakeOptions
from modeltest.api import ModelInfo, OutOfMemory, Request, RunSpec, SpecError, TextPrompt, TokenPrompt

INFO = ModelInfo("m", "m", "none", "", None, None, None, 128, 1, None)


def _engine(**options: str) -> FakeEngine:
    spec = RunSpec(engine="fake", mode="m", task="t", model="m", weights="none", engine_options=options)
    engine = FakeEngine()
    engine.check(spec, INFO)
    engine.load(spec, INFO)
    return engine


def _requests(count: int) -> list[Request]:
    return [Request(str(i), TextPrompt("", (), f"question {i}"), max_new_tokens=5) for i in range(count)]


def _timed(count: int) -> list[Request]:
    return [Request(str(i), TokenPrompt((5,) * 100), max_new_tokens=3, ignore_eos=True) for i in range(count)]


def test_latency_follows_the_formula():
    engine = _engine(prefill_ms_per_token="0.02", step_ms="2", row_ms="0.5")
    (batch,) = engine.complete(_timed(4), batch_size=4)
    # 4 rows x 100 tokens x 0.02 ms, then 2 + 4 x 0.5 ms a step.
    assert batch[0].token_times_ns == (8_000_000, 12_000_000, 16_000_000)


def test_noise_is_seeded():
    first, second = (_engine(noise="0.2") for _ in range(2))
    times = [next(engine.complete(_timed(1), batch_size=1))[0].token_times_ns for engine in (first, second)]
    assert times[0] == times[1]
    assert times[0][1] - times[0][0] != 1_100_000


def test_every_nth_request_fails_and_every_mth_is_lost():
    engine = _engine(fail_every="4", lose_every="5")
    completions = [c for batch in engine.complete(_requests(10), batch_size=3) for c in batch]
    assert [c.request_id for c in completions] == ["0", "1", "2", "3", "5", "6", "7", "8"]
    assert [c.request_id for c in completions if c.error] == ["3", "7"]


def test_batches_beyond_the_memory_do_not_fit():
    engine = _engine(out_of_memory_above="2")
    with pytest.raises(OutOfMemory, match="3 rows, 2 would fit"):
        list(engine.complete(_requests(3), batch_size=3))
    assert len(list(engine.complete(_requests(4), batch_size=2))) == 2


def test_an_answer_can_be_dictated():
    engine = _engine(answer="B because")
    (batch,) = engine.complete(_requests(1), batch_size=1)
    assert batch[0].text == "B bec"
    assert batch[0].finish.value == "length"


def test_tokens_of_a_continuation_have_made_up_log_probabilities_that_sum_to_its_own():
    continued = Request("0", TokenPrompt((5, 6)), choices=((7, 8, 9), (7, 9)), each_token=True)
    ((one,),) = _engine().complete([continued], batch_size=1)
    (long, short) = one.token_logprobs
    assert (len(long), len(short)) == (3, 2)
    assert one.choice_logprobs == (sum(long), sum(short))
    assert long[0] == short[0], "the same token behind the same ones"
    behind = Request("1", TokenPrompt((5, 6, 7)), choices=((9,), (8,)))
    ((other,),) = _engine().complete([behind], batch_size=1)
    assert other.choice_logprobs == (short[1], long[1])
    assert other.token_logprobs == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nonsense": "1"}, "no option 'nonsense'; available: prefill_ms_per_token"),
        ({"step_ms": "fast"}, "step_ms='fast' is not a float"),
        ({"fail_every": "1.5"}, "is not a int"),
        ({"sleep": "maybe"}, "is not a bool"),
        ({"noise": "nan"}, "must be from 0 to 1000000000"),
        ({"step_ms": "-1"}, "must be from 0 to 1000000000"),
    ],
)
def test_a_wrong_option_is_named(options, message):
    with pytest.raises(SpecError, match="engine fake") as caught:
        FakeOptions.parse(options)
    assert message in str(caught.value)


def test_options_are_converted():
    assert FakeOptions.parse({"sleep": "yes", "context_tokens": "9", "noise": "0.5"}) == FakeOptions(
        sleep=True, context_tokens=9, noise=0.5
    )
