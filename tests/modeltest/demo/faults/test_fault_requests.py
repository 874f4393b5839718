"""Faults of what is asked and of what is made of the answer."""

from dataclasses import replace

import pytest

from modeltest.api import Completion, Finish, Request, TextPrompt, TokenPrompt
from modeltest.demo.faults.requests import (
    Specials,
    as_ids,
    mixed_up,
    other_answer,
    other_prompt,
    other_request,
)

SPECIALS = Specials(begin=1, all=frozenset({1, 2, 3}))
IDS = (1, 10, 2, 11, 12, 3)
ASKED = Request("a", TokenPrompt(IDS), max_new_tokens=6)


class Letters:
    """Says `a` for token 10, `b` for 11, ..., and a full stop for token 30."""

    def decode(self, ids):
        return "".join("." if token == 30 else chr(ord("a") + token - 10) for token in ids)


def answered(name, strength, tokens, request=ASKED):
    answer = Completion("a", text="?", output_tokens=tokens, finish=Finish.STOP)
    return other_answer(name, strength, answer, request, SPECIALS, Letters())


@pytest.mark.parametrize(
    ("name", "strength", "ids"),
    [
        ("double_bos", 1, (1, *IDS)),
        ("truncated_prompt", 2, (2, 11, 12, 3)),
        ("truncated_prompt", 16, (3,)),
        ("prompt_end_lost", 1, (1, 10, 2, 11, 12)),
        ("prompt_end_lost", 6, (1,)),
        ("padding_seen", 3, (1, 1, 1, *IDS)),
        ("other_template", 1.0, (10, 11, 12)),
        ("other_template", 0.5, (10, 11, 12, 3)),
    ],
)
def test_a_prompt_becomes_another_and_never_empty(name, strength, ids):
    assert other_prompt(name, strength, IDS, SPECIALS) == ids
    assert other_request(name, strength, ASKED, SPECIALS).prompt == TokenPrompt(ids)


def test_a_prompt_of_text_is_changed_once_its_ids_are_known():
    request = Request("q", TextPrompt("", (), "so?"), choices=(" A", " B"))
    with pytest.raises(ValueError, match="'q' is asked as text: what it becomes is to be known first"):
        other_request("double_bos", 1, request, SPECIALS)
    read = Completion("q", prompt_tokens=IDS, choice_tokens=((20,), (21,)))
    known = as_ids(request, read)
    assert other_request("double_bos", 1, known, SPECIALS) == Request(
        "q", TokenPrompt((1, *IDS)), choices=((20,), (21,))
    )
    assert as_ids(replace(request, choices=(), max_new_tokens=4), read).choices == ()


def test_a_fault_of_answers_asks_as_it_should():
    for name in ("wrong_stop_token", "answers_swapped", "sampling_left_on", "attention_scale"):
        assert other_request(name, 1, ASKED, SPECIALS) == ASKED


def test_an_answer_goes_on_behind_the_token_that_ends_a_text():
    assert other_request("stop_token_missed", 2, ASKED, SPECIALS).ignore_eos
    answer = answered("stop_token_missed", 2, (10, 2, 11, 12, 13, 10))
    assert (answer.output_tokens, answer.text, answer.finish) == ((10, 2, 11, 12), "abc", Finish.STOP)


def test_an_answer_that_goes_on_still_ends_at_a_stop_text():
    request = Request("a", TokenPrompt(IDS), max_new_tokens=6, stop=("b",))
    assert answered("stop_token_missed", 2, (10, 2, 11, 12, 13, 10), request).text == "a"


def test_an_answer_ends_at_a_token_that_ends_none():
    answer = answered("wrong_stop_token", 1, (10, 30, 11, 30, 12))
    assert (answer.output_tokens, answer.text, answer.finish) == ((10, 30), "a.", Finish.STOP)
    assert answered("wrong_stop_token", 2, (10, 30, 11, 30, 12)).output_tokens == (10, 30, 11, 30)


def test_a_timed_answer_and_one_that_failed_are_left_alone():
    timed = Request("a", TokenPrompt(IDS), max_new_tokens=6, ignore_eos=True)
    assert answered("wrong_stop_token", 1, (30, 11), timed).output_tokens == (30, 11)
    failed = Completion("a", error="no")
    assert other_answer("wrong_stop_token", 1, failed, ASKED, SPECIALS, Letters()) is failed


def test_a_share_of_neighbours_get_each_others_answer():
    answers = [Completion(str(number), text=str(number)) for number in range(1000)]
    mixed = mixed_up("answers_swapped", 0.1, answers)
    assert [answer.request_id for answer in mixed] == [answer.request_id for answer in answers]
    wrong = sum(answer.text != answer.request_id for answer in mixed)
    assert 60 < wrong < 140
    assert mixed == mixed_up("answers_swapped", 0.1, answers)
    assert mixed_up("attention_scale", 0.1, answers) is answers


def test_answers_of_other_shapes_are_not_mixed_up():
    answers = [Completion("0", choice_logprobs=(1.0,)), Completion("1", choice_logprobs=(1.0, 2.0))]
    assert mixed_up("answers_swapped", 1.0, answers) == answers
