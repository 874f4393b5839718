"""Guesses from what a row has said, worked out by hand."""

from engines.hf.answering.drafts import LOOKED_BACK, Drafts


def test_what_came_after_the_same_tokens_is_guessed_to_come_again():
    assert Drafts([1, 2, 3, 4, 5, 9, 1, 2, 3]).guess(3) == [4, 5, 9]


def test_more_of_the_same_tokens_before_it_count_more_than_a_later_place():
    # After 2 came 8 last, but after 1, 2 came 3.
    assert Drafts([1, 2, 3, 7, 2, 8, 5, 1, 2]).guess(1) == [3]


def test_of_equal_places_the_last_counts():
    assert Drafts([4, 1, 4, 2, 4]).guess(1) == [2]


def test_where_too_little_is_known_the_newest_token_fills_up():
    assert Drafts([1, 2, 1]).guess(4) == [2, 1, 1, 1]
    assert Drafts([1, 2, 3]).guess(2) == [3, 3]


def test_what_is_said_is_looked_up_too():
    drafts = Drafts([1, 2])
    drafts.extend([6, 7, 6])
    assert drafts.guess(1) == [7]


def test_of_a_long_prompt_the_end_alone_is_looked_through():
    forgotten = Drafts([1, 2, *range(10, 10 + LOOKED_BACK), 1])
    assert forgotten.guess(1) == [1]


def test_where_nothing_is_to_be_guessed_nothing_is_looked_through():
    drafts = Drafts([1, 2, 1])
    assert drafts.guess(0) == []
    assert drafts._followed == {}
    assert drafts.guess(1) == [2]
