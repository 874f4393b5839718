"""The bridge on a scripted engine: what is asked, in what form, and what is made of the answers."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from modeltest.api import (
    Completion,
    EngineError,
    EngineInfo,
    PrerequisiteError,
    Request,
    RunSpec,
    SpecError,
    TextPrompt,
    TokenPrompt,
)

pytest.importorskip("lm_eval")
from modeltest.lm_eval.bridge import DEFAULT_CONTEXT_TOKENS, EngineLM

PREFIX = 0
SPEC = RunSpec(engine="scripted", mode="lm_eval", task="lm_eval", model="m", weights="w", batch_sizes=((2,),))


class LetterTokenizer:
    """A token per letter; prompts begin with a token that is no letter."""

    name = "letters"
    chat_template = "template"
    prefix_token_id = PREFIX

    def encode(self, text: str, *, special: bool) -> tuple[int, ...]:
        return ((PREFIX,) if special else ()) + tuple(PREFIX if one == "<" else ord(one) for one in text)

    def lay_out(self, turns, *, generation_prompt):
        return "".join(f"{turn.role}:{turn.content};" for turn in turns) + "assistant:" * generation_prompt


def likely(request: Request) -> Completion:
    return Completion(
        request.id,
        text=f"said {request.id}",
        choice_tokens=tuple(tuple(choice) for choice in request.choices),
        choice_logprobs=tuple(-float(len(choice)) for choice in request.choices),
        choice_is_greedy=tuple(len(choice) == 1 for choice in request.choices),
    )


@dataclass
class ScriptedEngine:
    """Answers by a function; notes what it was asked."""

    answer: Callable[[Request], Completion | None] = likely
    asked: list[Request] = field(default_factory=list)
    batch_sizes: list[int] = field(default_factory=list)
    name: str = "scripted"

    def complete(self, requests: Iterable[Request], *, batch_size: int) -> Iterator[Sequence[Completion]]:
        self.batch_sizes.append(batch_size)
        for request in requests:
            self.asked.append(request)
            completion = self.answer(request)
            yield [] if completion is None else [completion]


class TokenizingEngine(ScriptedEngine):
    def tokenizer(self) -> LetterTokenizer:
        return LetterTokenizer()


@dataclass
class Instance:
    """What the bridge reads of `lm_eval.api.instance.Instance`."""

    args: tuple[Any, ...]


def bridge(engine: ScriptedEngine, context_tokens: int | None = None, told: list | None = None) -> EngineLM:
    info = EngineInfo("scripted", "cpu", "float32", 256, (), context_tokens, {"torch": "1"})
    heard = [] if told is None else told
    return EngineLM(engine, info, SPEC, tell=lambda *values: heard.append(values))


def instances(*arguments: tuple[Any, ...]) -> list[Instance]:
    return [Instance(args) for args in arguments]


def test_continuations_of_one_context_are_asked_together():
    engine, told = ScriptedEngine(), []
    answers = bridge(engine, told=told).loglikelihood(
        instances(("q", " A"), ("r", " yes"), ("q", "B"), ("q", " A"))
    )
    assert answers == [(-2.0, False), (-4.0, False), (-1.0, True), (-2.0, False)]
    assert [request.choices for request in engine.asked] == [(" A", "B"), (" yes",)]
    assert engine.batch_sizes == [2]
    assert told[-1] == (2, 2, "loglikelihood requests")


def test_a_context_is_handed_on_as_it_is_with_its_trailing_blanks():
    engine = ScriptedEngine()
    bridge(engine).loglikelihood(instances(("Answer: ", "yes")))
    assert engine.asked[0].prompt == TextPrompt("", (), "Answer: ")


def test_an_empty_context_is_the_prefix_token():
    engine = TokenizingEngine()
    bridge(engine).loglikelihood(instances(("", "ab")))
    assert engine.asked[0].prompt == TokenPrompt((PREFIX,))
    assert engine.asked[0].choices == ((97, 98),)


def test_a_continuation_that_begins_with_the_prefix_token_has_it_as_its_context():
    engine = TokenizingEngine()
    bridge(engine).loglikelihood(instances(("", "<ab")))
    assert engine.asked[0].prompt == TokenPrompt((PREFIX,))
    assert engine.asked[0].choices == ((97, 98),)


@pytest.mark.parametrize(("context", "continuation"), [("q", ""), ("", ""), ("", "<")])
def test_a_continuation_without_tokens_is_refused(context, continuation):
    with pytest.raises(EngineError, match="no tokens"):
        bridge(TokenizingEngine()).loglikelihood(instances((context, continuation)))


def test_choices_behind_a_context_that_was_cut_unevenly_are_asked_again_alone():
    def cut(request: Request) -> Completion:
        one = likely(request)
        alone = len(request.choices) == 1
        return Completion(
            request.id,
            choice_tokens=one.choice_tokens,
            choice_logprobs=(-9.0,) if alone else one.choice_logprobs,
            choice_is_greedy=one.choice_is_greedy,
            cut_prompt_tokens=5,
        )

    engine = ScriptedEngine(answer=cut)
    answers = bridge(engine).loglikelihood(instances(("q", "A"), ("q", "BB")))
    assert [request.choices for request in engine.asked] == [("A", "BB"), ("A",), ("BB",)]
    assert answers == [(-9.0, True), (-9.0, False)]


def test_a_long_text_is_read_in_windows_that_predict_each_token_once():
    engine = TokenizingEngine()
    (answer,) = bridge(engine, context_tokens=4).loglikelihood_rolling(instances(("abcdefghi",)))
    # The whole is the prefix token and nine letters; ten tokens to predict, four at a time.
    assert [request.prompt.ids + request.choices[0] for request in engine.asked] == [
        (PREFIX, PREFIX, *b"abc"),
        (*b"cdefg",),
        (*b"efghi",),
    ]
    assert [len(request.choices[0]) for request in engine.asked] == [4, 4, 2]
    assert answer == -10.0


def test_rolling_takes_the_length_lm_eval_assumes_when_the_model_names_none():
    engine = TokenizingEngine()
    bridge(engine).loglikelihood_rolling(instances(("a" * DEFAULT_CONTEXT_TOKENS,)))
    assert [len(request.choices[0]) for request in engine.asked] == [DEFAULT_CONTEXT_TOKENS, 1]


def test_documents_are_summed_each_for_itself():
    answers = bridge(TokenizingEngine()).loglikelihood_rolling(instances(("abc",), ("",), ("a",)))
    assert answers == [-4.0, -1.0, -2.0]


def test_generation_carries_limit_and_stops_and_equal_requests_are_asked_once():
    engine = ScriptedEngine()
    options = {"until": ["\n"], "max_gen_toks": 5, "do_sample": False}
    texts = bridge(engine).generate_until(instances(("q", options), ("r", options), ("q", options)))
    assert texts == ["said 0", "said 1", "said 0"]
    assert [(request.max_new_tokens, request.stop) for request in engine.asked] == [(5, ("\n",))] * 2


def test_a_prompt_too_long_loses_its_left_end_and_leaves_room_for_all_new_tokens():
    engine = TokenizingEngine()
    bridge(engine, context_tokens=8).generate_until(instances(("abcdefgh", {"max_gen_toks": 5})))
    assert engine.asked[0].prompt == TokenPrompt((*b"fgh",))


def test_a_prompt_that_fits_is_handed_on_as_text():
    engine = TokenizingEngine()
    bridge(engine, context_tokens=8).generate_until(instances(("ab", {"max_gen_toks": 5})))
    assert engine.asked[0].prompt == TextPrompt("", (), "ab")


def test_sampling_is_refused_before_anything_is_asked():
    engine = ScriptedEngine()
    with pytest.raises(SpecError, match="sampling"):
        bridge(engine).generate_until(instances(("q", {"do_sample": True})))
    assert engine.asked == []


def test_failed_requests_are_counted_after_all_were_asked_and_nothing_is_answered():
    def fail_some(request: Request) -> Completion:
        return likely(request) if request.id in "04" else Completion(request.id, error=f"broke {request.id}")

    engine = ScriptedEngine(answer=fail_some)
    with pytest.raises(EngineError, match=r"4 of 6 loglikelihood requests failed.*: broke 1$"):
        bridge(engine).loglikelihood(instances(*((f"q{i}", "A") for i in range(6))))
    assert len(engine.asked) == 6


def test_a_request_that_is_never_answered_has_failed():
    engine = ScriptedEngine(answer=lambda request: None if request.id == "1" else likely(request))
    with pytest.raises(EngineError, match=r"1 of 3 generate_until requests failed.*gave no answer"):
        bridge(engine).generate_until(instances(*((f"q{i}", {}) for i in range(3))))


def test_an_answer_to_nothing_is_a_defect_of_the_engine():
    engine = ScriptedEngine(answer=lambda request: Completion("other"))
    with pytest.raises(EngineError, match="'other', which was not asked"):
        bridge(engine).generate_until(instances(("q", {})))


def test_an_engine_that_does_not_know_what_is_greedy_is_refused():
    engine = ScriptedEngine(answer=lambda request: Completion(request.id, choice_logprobs=(-1.0,)))
    with pytest.raises(EngineError, match="greedy"):
        bridge(engine).loglikelihood(instances(("q", "A")))


@pytest.mark.parametrize(
    "ask",
    [
        lambda lm: lm.loglikelihood(instances(("", "A"))),
        lambda lm: lm.loglikelihood_rolling(instances(("abc",))),
        lambda lm: lm.apply_chat_template([{"role": "user", "content": "q"}]),
        lambda lm: lm.tokenizer_name,
    ],
)
def test_what_needs_a_tokenizer_says_so_on_an_engine_without_one(ask):
    with pytest.raises(PrerequisiteError, match="'scripted' offers no tokenizer"):
        ask(bridge(ScriptedEngine()))


def test_conversations_are_laid_out_by_the_tokenizer():
    lm = bridge(TokenizingEngine())
    turns = [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]
    assert lm.apply_chat_template(turns) == "system:s;user:q;assistant:"
    assert lm.apply_chat_template(turns, add_generation_prompt=False) == "system:s;user:q;"
    assert (lm.tokenizer_name, lm.chat_template(True), lm.chat_template(False)) == (
        "letters",
        "template",
        None,
    )


def test_the_results_name_engine_dtype_and_versions():
    info = bridge(ScriptedEngine(), context_tokens=8).get_model_info()
    assert info["model"] == "modeltest-scripted"
    assert (info["model_dtype"], info["max_length"], info["engine_versions"]) == (
        "float32",
        8,
        {"torch": "1"},
    )
