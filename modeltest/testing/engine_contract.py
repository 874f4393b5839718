"""What every engine must honour, as a class of tests for pytest.

class TestMine(EngineContract):
    @pytest.fixture(scope="class")
    def loaded(self):
        spec, model = ...
        engine = MyEngine()
        yield Loaded(engine, engine.load(spec, model), (spec, model))
        engine.close()
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from modeltest.api import (
    Capability,
    ChatPrompt,
    ChoiceRule,
    Completion,
    Engine,
    EngineInfo,
    Finish,
    ModelInfo,
    Request,
    Reusable,
    RunSpec,
    TextPrompt,
    TokenPrompt,
    Turn,
)
from modeltest.plain.contracts import from_plain, to_plain


@dataclass(frozen=True, slots=True)
class Loaded:
    """An engine that has loaded a model: what `load` returned, and what it was given."""

    engine: Engine
    info: EngineInfo
    asked: tuple[RunSpec, ModelInfo]


def complete(engine: Engine, requests: Sequence[Request], batch_size: int = 3) -> dict[str, Completion]:
    """Return the completions of `requests`, by id; each is there once."""
    batches = engine.complete(iter(requests), batch_size=batch_size)
    completions = [completion for batch in batches for completion in batch]
    assert len(completions) == len(requests)
    return {completion.request_id: completion for completion in completions}


def _text(question: str) -> TextPrompt:
    return TextPrompt("", (), question)


CHOICES = [
    Request(f"c{i}", _text("The sea is salt. " * i + "Is it?\nAnswer:"), choices=(" yes", " no"))
    for i in range(1, 8)
]
GENERATIONS = [
    Request(f"g{i}", _text("The sea is salt. " * i + "Why?\nAnswer:"), max_new_tokens=4) for i in range(1, 8)
]
TIMED = [
    Request(f"t{i}", TokenPrompt(tuple(range(40 + i, 56 + i))), max_new_tokens=6, ignore_eos=True)
    for i in range(3)
]

CONTINUED = [
    Request(
        f"k{i}",
        TokenPrompt(tuple(40 + (i * place) % 17 for place in range(1, 4 + 3 * i))),
        choices=tuple(tuple(40 + (place * place + i) % 17 for place in range(n)) for n in (1, 3 * i, 16)),
        each_token=True,
    )
    for i in range(1, 5)
]
"""Prompts and continuations of several lengths, in ids that any vocabulary has."""

SUM_TOLERANCE = 1e-4
"""Of a sum of log-probabilities, relative: whoever adds them in float32 is nearer."""

ROUNDING = {"none": 0.0, "float32": 1e-4, "float16": 0.1, "bfloat16": 0.5}
"""By dtype, how far a log-probability may move with what runs beside it, in nats; else the most of these."""


class EngineContract:
    """The contract of `modeltest.api.Engine`: derive a test class that has the fixture `loaded`."""

    def test_it_says_what_it_is(self, loaded: Loaded) -> None:
        """It says what it is, and `EngineInfo` is written and read without loss."""
        engine = loaded.engine
        info = loaded.info
        assert info.engine == engine.name
        assert info.vocabulary_size > 0
        assert all(0 <= token < info.vocabulary_size for token in info.special_token_ids)
        assert from_plain(type(info), to_plain(info)) == info

    def test_every_request_is_answered_once_whatever_the_batch_size(self, loaded: Loaded) -> None:
        """Every request is answered once, whatever the batch size."""
        engine = loaded.engine
        requests = (CHOICES if Capability.CHOICE_LOGPROBS in engine.capabilities else []) + GENERATIONS
        for batch_size in (1, 3, 100):
            completions = complete(engine, requests, batch_size)
            assert set(completions) == {request.id for request in requests}
            assert not any(completion.error for completion in completions.values())

    def test_batches_hold_at_most_the_batch_size(self, loaded: Loaded) -> None:
        """Batches hold at most the batch size."""
        engine = loaded.engine
        for batch in engine.complete(iter(CHOICES), batch_size=3):
            assert len(batch) <= 3

    def test_each_choice_has_one_log_probability(self, loaded: Loaded) -> None:
        """Each choice has one finite log-probability."""
        engine = loaded.engine
        if Capability.CHOICE_LOGPROBS not in engine.capabilities:
            pytest.skip("the engine does not claim it")
        for completion in complete(engine, CHOICES).values():
            assert len(completion.choice_logprobs) == 2
            assert all(math.isfinite(value) and value < 0 for value in completion.choice_logprobs)
            assert completion.prompt_tokens

    def test_every_token_of_a_continuation_has_a_log_probability(self, loaded: Loaded) -> None:
        """Every token of a continuation has a log-probability, and they sum to that of the choice."""
        engine = _telling_tokens(loaded)
        found = complete(engine, CONTINUED)
        sums = complete(engine, [replace(request, each_token=False) for request in CONTINUED])
        for request in CONTINUED:
            told, bare = found[request.id], sums[request.id]
            assert told.error is None
            assert bare.token_logprobs == (), "none where none are asked for"
            assert told.prompt_tokens == bare.prompt_tokens
            assert told.choice_tokens == request.choices
            assert list(map(len, told.token_logprobs)) == list(map(len, request.choices))
            assert all(math.isfinite(value) and value <= 0 for of in told.token_logprobs for value in of)
            assert list(map(math.fsum, told.token_logprobs)) == pytest.approx(
                list(told.choice_logprobs), rel=SUM_TOLERANCE
            )
            for longer, one, other in zip(
                request.choices, told.choice_logprobs, bare.choice_logprobs, strict=True
            ):
                assert abs(one - other) <= _rounding(loaded) * len(longer)

    def test_log_probabilities_of_tokens_do_not_depend_on_the_batch_size(self, loaded: Loaded) -> None:
        """Log-probabilities of tokens are the same at every batch size, but for rounding."""
        engine = _telling_tokens(loaded)
        alone, some, all_ = (complete(engine, CONTINUED, size) for size in (1, 3, 100))
        for request in CONTINUED:
            for other in (some, all_):
                assert _apart(alone[request.id], other[request.id]) <= _rounding(loaded)

    def test_log_probabilities_of_tokens_are_those_of_single_choices(self, loaded: Loaded) -> None:
        """A token's log-probability is that of a choice of this token behind all before it."""
        engine = _telling_tokens(loaded)
        steps = {
            (request.id, choice, at): Request(
                f"{request.id}/{choice}/{at}",
                TokenPrompt(_ids_of(request) + ids[:at]),
                choices=((ids[at],),),
            )
            for request in CONTINUED
            for choice, ids in enumerate(request.choices)
            if isinstance(ids, tuple)
            for at in range(len(ids))
        }
        found, asked = complete(engine, CONTINUED), complete(engine, list(steps.values()))
        for (name, choice, at), step in steps.items():
            (right,) = asked[step.id].choice_logprobs
            assert abs(found[name].token_logprobs[choice][at] - right) <= _rounding(loaded), step.id

    def test_tokens_that_cannot_be_told_apart_from_the_prompt_are_refused(self, loaded: Loaded) -> None:
        """Texts, other rules and prompts without a continuation are refused, and fail alone."""
        engine = _telling_tokens(loaded)
        whole = CONTINUED[0]
        asked = [
            replace(whole, id="text", prompt=_text("Is it?")),
            replace(whole, id="texts", choices=(" yes", " no")),
            replace(whole, id="last", choice_rule=ChoiceRule.LAST_TOKEN),
            replace(whole, id="empty", choices=((), (41,))),
            replace(whole, id="none", choices=(), max_new_tokens=1),
        ]
        found = complete(engine, [*asked, whole])
        assert found[whole.id].error is None
        for request in asked:
            assert found[request.id].error, request.id
            assert found[request.id].token_logprobs == ()

    def test_generation_keeps_its_limit_and_says_why_it_ended(self, loaded: Loaded) -> None:
        """Generation keeps its limit and says why it ended."""
        engine = loaded.engine
        for completion in complete(engine, GENERATIONS).values():
            assert 0 < len(completion.output_tokens) <= 4
            assert completion.text is not None
            assert completion.finish is (Finish.LENGTH if len(completion.output_tokens) == 4 else Finish.STOP)

    def test_a_timed_batch_is_one_batch_with_a_growing_time_for_every_token(self, loaded: Loaded) -> None:
        """A timed batch is one batch, with a growing time for every token."""
        engine = loaded.engine
        if Capability.TOKEN_TIMES not in engine.capabilities:
            pytest.skip("the engine does not claim it")
        batches = list(engine.complete(iter(TIMED), batch_size=3))
        assert len(batches) == 1
        for completion in batches[0]:
            times = completion.token_times_ns
            assert len(completion.output_tokens) == len(times) == 6
            assert times[0] > 0
            assert list(times) == sorted(times)

    def test_a_batch_of_which_only_the_end_is_timed_gives_the_same_tokens_and_one_time(
        self, loaded: Loaded
    ) -> None:
        """A batch of which only the end is timed gives the same tokens."""
        engine = loaded.engine
        if not loaded.info.times_end_alone:
            pytest.skip("the engine does not claim it")
        (timed,) = engine.complete(iter(TIMED), batch_size=3)
        requests = [replace(request, only_end_timed=True) for request in TIMED]
        (bare,) = engine.complete(iter(requests), batch_size=3)
        assert {one.request_id: one.output_tokens for one in bare} == {
            one.request_id: one.output_tokens for one in timed
        }
        assert all((one.end_ns or 0) > 0 and one.token_times_ns == () for one in bare)
        assert all(one.end_ns is None for one in timed)

    def test_ignoring_the_end_of_text_gives_exactly_the_tokens_asked_for(self, loaded: Loaded) -> None:
        """With `ignore_eos` there are exactly the tokens asked for."""
        engine = loaded.engine
        if Capability.IGNORE_EOS not in engine.capabilities:
            pytest.skip("the engine does not claim it")
        requests = [replace(request, max_new_tokens=40) for request in TIMED]
        for completion in complete(engine, requests).values():
            assert len(completion.output_tokens) == 40
            assert completion.finish is Finish.LENGTH

    def test_ignoring_the_end_of_text_once_does_not_last(self, loaded: Loaded) -> None:
        """Ignoring the end of text once does not last."""
        engine = loaded.engine
        before = complete(engine, GENERATIONS)
        complete(engine, TIMED)
        assert {key: value.text for key, value in complete(engine, GENERATIONS).items()} == {
            key: value.text for key, value in before.items()
        }

    def test_equal_requests_get_equal_answers(self, loaded: Loaded) -> None:
        """Equal requests get equal answers."""
        engine = loaded.engine
        first, second = complete(engine, CHOICES), complete(engine, CHOICES)
        assert {k: v.choice_logprobs for k, v in first.items()} == {
            k: v.choice_logprobs for k, v in second.items()
        }

    def test_a_chat_is_completed(self, loaded: Loaded) -> None:
        """A conversation is completed."""
        engine = loaded.engine
        turns = (Turn("user", "Is the sea salt?"),)
        request = Request("chat", ChatPrompt((Turn("system", "Be brief."),), (), turns), max_new_tokens=3)
        assert complete(engine, [request])["chat"].error is None

    def test_no_request_gives_no_batch(self, loaded: Loaded) -> None:
        """No request gives no batch."""
        engine = loaded.engine
        assert list(engine.complete(iter([]), batch_size=4)) == []

    def test_a_request_that_cannot_be_completed_fails_alone(self, loaded: Loaded) -> None:
        """A request that cannot be completed fails alone."""
        engine = loaded.engine
        if loaded.info.context_tokens is None:
            pytest.skip("the engine has no limit")
        impossible = Request("long", _text("x"), max_new_tokens=loaded.info.context_tokens + 10)
        completions = complete(engine, [impossible, *GENERATIONS])
        assert completions["long"].error
        assert all(completions[request.id].error is None for request in GENERATIONS)

    def test_a_timed_prompt_is_computed_whole_however_often_it_is_asked(self, loaded: Loaded) -> None:
        """A timed prompt is computed whole, however often it is asked."""
        engine = loaded.engine
        if Capability.IGNORE_EOS not in engine.capabilities or engine.usage().computed_tokens is None:
            pytest.skip("the engine times nothing or does not count")
        requests = [replace(TIMED[0], id=f"same{row}", max_new_tokens=2) for row in range(2)]
        before = engine.usage()
        for _ in range(2):
            complete(engine, requests)
        after = engine.usage()
        prompt_and_step = 16 + 1
        computed = (after.computed_tokens or 0) - (before.computed_tokens or 0)
        assert computed >= 2 * 2 * prompt_and_step
        assert after.reused_tokens == before.reused_tokens

    def test_an_engine_that_can_begin_anew_answers_as_before(self, loaded: Loaded) -> None:
        """An engine that can begin anew answers as before."""
        engine = loaded.engine
        if not isinstance(engine, Reusable):
            pytest.skip(f"{engine.name} serves one run only")
        timed = Request("t", TokenPrompt((5, 6, 7)), 3, ignore_eos=True)
        asked = [Request("c", _text("Is it so?"), choices=("yes", "no")), Request("g", _text("One, two,"), 4)]

        def answers() -> list[tuple[object, ...]]:
            batches = [batch for each in (asked, [timed]) for batch in engine.complete(each, batch_size=2)]
            rows = sorted((row for batch in batches for row in batch), key=lambda row: row.request_id)
            return [(row.output_tokens, row.choice_tokens, row.choice_logprobs) for row in rows]

        first, counted = answers(), engine.usage().forward_calls
        info = engine.begin(*loaded.asked)
        one, other = (replace(each, load_s=None, memory_limit_bytes=None) for each in (info, loaded.info))
        assert one == other
        assert answers() == first
        if counted is not None:
            assert (engine.usage().forward_calls or 0) > counted, "counts go on"


def _telling_tokens(loaded: Loaded) -> Engine:
    if Capability.TOKEN_LOGPROBS not in loaded.engine.capabilities:
        pytest.skip("the engine does not claim it")
    return loaded.engine


def _rounding(loaded: Loaded) -> float:
    return ROUNDING.get(loaded.info.dtype, max(ROUNDING.values()))


def _ids_of(request: Request) -> tuple[int, ...]:
    assert isinstance(request.prompt, TokenPrompt)
    return request.prompt.ids


def _apart(one: Completion, other: Completion) -> float:
    """Return the largest difference of two log-probabilities of a token."""
    pairs = [
        pair
        for left, right in zip(one.token_logprobs, other.token_logprobs, strict=True)
        for pair in zip(left, right, strict=True)
    ]
    return max(abs(left - right) for left, right in pairs)
