import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import SpecError
from modeltest.tasks.given_prompts import is_list, parse_prompts


@pytest.mark.parametrize(
    ("text", "prompts"),
    [
        ("[1,2,3]", ((1, 2, 3),)),
        (" [ 7 ]\n", ((7,),)),
        ("[[1,2],[3]]", ((1, 2), (3,))),
        ('["hello","what is your name"]', ("hello", "what is your name")),
        ("['it''s', 'so']", ("its", "so")),
        ("[(1, 2), [3]]", ((1, 2), (3,))),
        ('["[1,2]"]', ("[1,2]",)),
    ],
)
def test_token_ids_texts_and_lists_of_token_ids_are_read(text, prompts):
    assert parse_prompts(text, where="X") == prompts


@given(st.lists(st.lists(st.integers(0, 2**31), min_size=1), min_size=1))
def test_what_python_or_json_writes_is_read(rows):
    expected = tuple(map(tuple, rows))
    assert parse_prompts(json.dumps(rows), where="X") == parse_prompts(repr(rows), where="X") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "X is empty; expected a list of token ids such as"),
        (" \n", "X is empty"),
        ("[]", "X is an empty list"),
        ("[[1],[]]", "X, prompt 1 has no token ids"),
        ("[1,-2]", "X: element 1 is -2; a token id is 0 or more"),
        ("[1,2.5]", "X: element 1 is 2.5, not a token id"),
        ("[1,true]", "X: element 1 is True, not a token id"),
        ('[1,"a"]', "X: element 1 is 'a', not a token id"),
        ("[[1],2]", r"X: element 0 is \[1\], not a token id"),
        ('[["a"]]', "X, prompt 0: element 0 is 'a', not a token id"),
        ('["a",""]', "X: element 1 is an empty text"),
        ('["\\ud800"]', "X: element 0 holds half a character"),
        ("7", "X is 7, not a list"),
        ('{"a": 1}', "X is {'a': 1}, not a list"),
        ("(1, 2)", r"X is \(1, 2\), not a list"),
        ("1 2 3", "X is not a list: '1 2 3'"),
        ("[1,2", r"X is not a list: '\[1,2'.*in quotes where a shell would split it"),
        ("[open('x')]", "X is not a list"),
        ("[" * 100_000, "X is not a list"),
    ],
)
def test_what_is_no_list_of_prompts_is_refused_by_its_element(text, message):
    with pytest.raises(SpecError, match=message):
        parse_prompts(text, where="X")


@pytest.mark.parametrize(
    ("text", "expected"), [("[1]", True), (" [1]", True), ("prompts.txt", False), ("", False)]
)
def test_what_does_not_begin_as_a_list_names_a_file(text, expected):
    assert is_list(text) is expected
