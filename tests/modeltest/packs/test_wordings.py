"""Questions that a pack also has as text."""

from made_packs import letters

from modeltest.api import ChatPrompt, ChoiceRule, Request, TextPrompt, TokenPrompt, Turn
from modeltest.packs.wordings import chosen_wordings

CHOICES = (" A", " B", " C", " D")


def pairs(count, *, task=0):
    asked = []
    for number in range(count):
        question = letters(100 * task + number, prompt=range(1, 9 + number % 5))
        asked.append(
            (question, Request(question.id, TextPrompt("head ", ("shot ",), f"{number}"), choices=CHOICES))
        )
    return asked


def test_as_many_of_each_task_and_the_longest_prompt_first():
    found = chosen_wordings([pairs(20), pairs(20, task=1)], count=6, seed=0)
    assert len(found) == 6
    by_task = [
        [each for each in found if each.question in ids]
        for ids in ({q.id for q, _ in pairs(20, task=t)} for t in (0, 1))
    ]
    assert [len(each) for each in by_task] == [3, 3]
    assert found[0].question == "mmlu/anatomy/4", "it has 12 tokens, and none has more"
    assert found[0].text == "head shot 4"
    assert found[0].choices == CHOICES


def test_another_seed_draws_others_and_the_same_draws_the_same():
    asked = [pairs(20)]
    assert chosen_wordings(asked, count=6, seed=1) == chosen_wordings(asked, count=6, seed=1)
    assert chosen_wordings(asked, count=6, seed=1) != chosen_wordings(asked, count=6, seed=2)


def test_a_conversation_stays_one_and_a_rule_is_kept():
    question = letters(0)
    turns = (Turn("user", "which?"),)
    request = Request("x", ChatPrompt((), (), turns), choices=CHOICES, choice_rule=ChoiceRule.LAST_TOKEN)
    (found,) = chosen_wordings([[(question, request)]], seed=0)
    assert (found.text, found.turns, found.choice_rule) == (None, turns, ChoiceRule.LAST_TOKEN)
    assert found.id == "wording/mmlu/anatomy/0"


def test_what_was_asked_with_token_ids_has_no_text():
    question = letters(0)
    by_ids = Request("x", TokenPrompt((1, 2)), choices=((1,), (2,)))
    of_choices = Request("y", TextPrompt("", (), "a"), choices=((1,), (2,)))
    assert chosen_wordings([[(question, by_ids), (question, of_choices)]], seed=0) == []
    assert chosen_wordings([], seed=0) == []
