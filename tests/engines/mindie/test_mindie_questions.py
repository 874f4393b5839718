import pytest
import torch

from engines.common.encoding import Encoded
from engines.mindie.questions import ChoiceQuestion, check_order, rows_to_try
from modeltest.api import EngineError, Request, TokenPrompt

LOGPROBS = torch.tensor([-1.0, -2.0, -3.0, -4.0])


def _question(*choices: tuple[int, ...]) -> ChoiceQuestion:
    request = Request("q", TokenPrompt((7, 8)), choices=choices)
    return ChoiceQuestion.of(Encoded(request, (7, 8), choices))


def test_each_token_of_a_choice_is_asked_behind_the_prompt_and_the_tokens_before_it():
    question = _question((1, 2), (1, 3), (0,))
    assert set(question.wanted) == {(7, 8), (7, 8, 1)}
    question.take((7, 8), LOGPROBS, 0)
    question.take((7, 8, 1), LOGPROBS, 2)
    done = question.completion()
    assert done.choice_logprobs == (-5.0, -6.0, -1.0)
    assert done.choice_is_greedy == (False, False, True)


def test_b4_what_a_merged_choice_replaces_is_taken_away():
    request = Request("q", TokenPrompt((7, 8)), choices=((1,), (2, 3)))
    question = ChoiceQuestion.of(Encoded(request, (7, 8), ((1,), (2, 3)), replaces=(0, 1)))
    assert set(question.wanted) == {(7,), (7, 8), (7, 2)}
    question.take((7,), torch.cat([LOGPROBS, torch.full((5,), -9.0)]), 2)  # 8 is foretold with -9
    question.take((7, 8), LOGPROBS, 0)
    question.take((7, 2), LOGPROBS, 3)
    done = question.completion()
    assert done.choice_logprobs == (-2.0, -3.0 - 4.0 + 9.0)
    assert done.choice_is_greedy == (False, True)


def test_a_prompt_that_failed_fails_its_request():
    question = _question((1, 2))
    question.fail((7, 8), "out of memory")
    question.take((7, 8, 1), LOGPROBS, 2)
    assert question.completion().error == "out of memory"


def test_first_last_shortest_and_longest_are_tried():
    assert rows_to_try([(1,)] * 4) == (0, 3)
    assert rows_to_try([(1, 2), (1,), (1, 2, 3), (1, 2)]) == (0, 1, 2, 3)


def test_rows_in_another_order_are_refused():
    prompts = [(1,), (2,), (3,)]
    together = torch.tensor([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
    check_order(prompts, together, 1, torch.tensor([0.01, 0.99]))
    with pytest.raises(EngineError, match=r"row 2 of logits_0.pth is that of request 1"):
        check_order(prompts, together, 1, torch.tensor([4.9, 5.0]))


def test_equal_prompts_may_change_places():
    together = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    check_order([(1,), (1,)], together, 1, torch.tensor([1.0, 0.0]))
