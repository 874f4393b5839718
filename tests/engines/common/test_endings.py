"""Where a generation ends; letters are tokens, and token 1 is special."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.common.encoding import Encoded
from engines.common.endings import ends_of, eos_token_ids
from modeltest.api import EngineError, Request, TokenPrompt


class Added:
    special = True

    def __str__(self) -> str:
        return "<|end|>"


class Bytes:
    """A tokenizer whose tokens are bytes, from 10 on, and that notes how much it has decoded."""

    def __init__(self):
        self.added_tokens_decoder = {1: Added()}
        self.all_special_ids = [1]
        self.decoded = []

    def decode(self, ids, *, skip_special_tokens):
        assert skip_special_tokens
        self.decoded.append(len(ids))
        return bytes(token - 10 for token in ids if token != 1).decode(errors="replace")


def _ends(stop=(), *, first=False, eos=(), tokenizer=None):
    request = Request("0", TokenPrompt((5,)), max_new_tokens=9, stop=stop, first_character_only=first)
    loaded = SimpleNamespace(tokenizer=tokenizer or Bytes(), eos_token_ids=frozenset(eos))
    return ends_of([Encoded(request, (5,))], loaded)


def _tokens(text: str) -> list[int]:
    return [1 if byte == ord("|") else byte + 10 for byte in text.encode()]


def _end(ends, tokens) -> int | None:
    """Return after how many tokens the row ends."""
    return next((n for n in range(1, len(tokens) + 1) if ends(0, tokens[n - 1], tokens[:n])), None)


@pytest.mark.parametrize(
    ("text", "stop", "end"),
    [
        ("yes. Question: who", ("Question:", "</s>"), 14),
        ("yes. Quest|ion: who", ("Question:",), 15),
        ("yes</s>", ("Question:", "</s>"), 7),
        ("yes|no", ("<|end|>",), 4),
        ("yes|no", ("Question:",), None),
        ("海水。海", ("。",), 9),
        ("yes", (), None),
    ],
)
def test_a_row_ends_with_the_token_that_completes_a_stop(text, stop, end):
    assert _end(_ends(stop), _tokens(text)) == end


def test_a_row_ends_with_a_token_that_ends_texts():
    assert _end(_ends(eos={10 + ord("x")}), _tokens("yex")) == 3


def test_a_row_ends_with_its_first_character_where_that_is_all():
    assert _end(_ends(first=True), _tokens(" \n水x")) == 5


@given(st.text("ab|海"), st.lists(st.text("ab海", min_size=1, max_size=4), min_size=1, max_size=3))
def test_looking_at_the_newest_text_finds_what_looking_at_the_whole_does(text, stops):
    tokenizer = Bytes()
    tokens = _tokens(text)

    def whole(count):
        said = tokenizer.decode(tokens[:count], skip_special_tokens=True)
        return any(stop in said for stop in stops)

    expected = next((count for count in range(1, len(tokens) + 1) if whole(count)), None)
    assert _end(_ends(tuple(stops), tokenizer=tokenizer), tokens) == expected


def test_a_long_answer_is_not_read_again_for_every_token():
    tokenizer = Bytes()
    assert _end(_ends(("Question:",), tokenizer=tokenizer), _tokens("a" * 500)) is None
    assert max(tokenizer.decoded) == len("Question:") + 8


@pytest.mark.parametrize("wrong", ["2", True, 2.0, [2, None]])
def test_an_end_of_text_that_is_no_token_is_refused(wrong):
    with pytest.raises(EngineError, match="the number of a token is needed"):
        eos_token_ids(SimpleNamespace(eos_token_id=wrong))


def test_an_end_of_text_may_be_one_token_or_several_of_the_first_source_that_names_any():
    for ids, expected in ((2, {2}), ([2, 7], {2, 7})):
        sources = (
            None,
            SimpleNamespace(),
            SimpleNamespace(eos_token_id=ids),
            SimpleNamespace(eos_token_id=5),
        )
        assert eos_token_ids(*sources) == expected
    assert eos_token_ids(None) == frozenset()
