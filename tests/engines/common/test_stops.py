"""Where an answer ends; letters are tokens, and a letter between angle brackets is special."""

from dataclasses import dataclass

import pytest

from engines.common.stops import cut_at, stop_ids, up_to_stop


@dataclass(frozen=True)
class Added:
    content: str
    special: bool

    def __str__(self) -> str:
        return self.content


class Letters:
    @property
    def added_tokens_decoder(self):
        return {1: Added("<|end|>", True), 2: Added("tool", False), 3: Added("<s>", True)}


def _decode(ids):
    return "".join(chr(token) for token in ids if token > 9)


def _ids(text):
    return tuple(1 if letter == "|" else ord(letter) for letter in text)


def test_special_tokens_among_the_stops_are_known_by_their_ids():
    assert stop_ids(Letters(), ("<|end|>", "tool", "Q:")) == {1}
    assert stop_ids(Letters(), ()) == frozenset()


@pytest.mark.parametrize(
    ("said", "stops", "kept", "is_stopped"),
    [
        ("yes. no", (), "yes. no", False),
        ("yes. no", ("?",), "yes. no", False),
        ("yes. no", (". ",), "yes. ", True),
        ("ab", ("ab",), "ab", True),
        ("a", ("a",), "a", True),
        ("yes|Q: who", ("<|end|>", "Q:"), "yes|", True),
        ("Q: yes|no", ("<|end|>", "Q:"), "Q:", True),
        ("yes|no", (), "yes|no", False),
    ],
)
def test_an_answer_ends_with_the_token_that_completes_a_stop(said, stops, kept, is_stopped):
    special = stop_ids(Letters(), stops)
    assert up_to_stop(_ids(said), stops, special, _decode) == (_ids(kept), is_stopped)


def test_the_text_ends_before_the_stop():
    assert cut_at("yes. no", (". ",)) == "yes"
    assert cut_at("a\nb Q", ("Q", "\n")) == "a"
