"""Encoding with a tokenizer one can follow by eye: one token per word, blanks glued to the word behind."""

import re
from dataclasses import replace

import pytest
from jinja2 import TemplateError
from made_tokenizers import BOS as BYTES_BOS
from made_tokenizers import byte_tokenizer, ids_of

from engines.common.encoding import Encoded, Encoder
from engines.common.text_tokens import TextTokens
from modeltest.api import ChatPrompt, ChoiceRule, Request, SpecError, TextPrompt, TokenPrompt, Turn

BOS = 1


class Words:
    """Ids by order of appearance from 10; BOS is 1."""

    bos_token = "<s>"
    bos_token_id = BOS
    name_or_path = "folder"
    all_special_ids = (BOS,)

    def __init__(self) -> None:
        self.known: dict[str, int] = {}

    def __call__(self, texts: list[str], add_special_tokens: bool, **_: object) -> dict[str, list[list[int]]]:
        return {"input_ids": [self.encode(text, add_special_tokens) for text in texts]}

    def decode(self, ids: list[int], skip_special_tokens: bool) -> str:
        words = {number: word for word, number in self.known.items()}
        return "".join(words[number] for number in ids)

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        body = text.removeprefix(self.bos_token)
        begins = [BOS] if add_special_tokens or body != text else []
        return begins + [
            self.known.setdefault(word, 10 + len(self.known)) for word in re.findall(r" ?[^ ]+| $", body)
        ]

    def apply_chat_template(self, turns: list[dict[str, str]], **_: object) -> str:
        return (
            self.bos_token
            + " ".join(f"[{turn['role']}] {turn['content']}" for turn in turns)
            + " [assistant]"
        )


def _encoder(context: int | None = None) -> tuple[Encoder, Words]:
    words = Words()
    texts = TextTokens(words)
    words.known.clear()  # of what was tried
    return Encoder(texts, context), words


def test_a_text_gets_the_special_tokens_once():
    encoder, _ = _encoder()
    plain = encoder.encode(Request("r", TextPrompt("", (), "a b")))
    with_bos = encoder.encode(Request("r", TextPrompt("<s>", (), "a b")))
    assert plain.prompt_ids == with_bos.prompt_ids == (BOS, 10, 11)


def test_a_chat_gets_only_the_template_s_special_tokens():
    encoder, _ = _encoder()
    prompt = ChatPrompt((), (), (Turn("user", "hello"),))
    assert encoder.encode(Request("r", prompt)).prompt_ids.count(BOS) == 1


class OfUsersAlone(Words):
    """Its template takes no turn of the system."""

    def apply_chat_template(self, turns: list[dict[str, str]], **_: object) -> str:
        if turns[0]["role"] == "system":
            raise TemplateError("no system turn")
        return super().apply_chat_template(turns)


class WithoutTemplate(OfUsersAlone):
    def apply_chat_template(self, turns: list[dict[str, str]], **_: object) -> str:
        raise ValueError("Cannot use chat template functions because tokenizer.chat_template is not set")


def test_a_conversation_that_the_template_refuses_fails_alone():
    user = Turn("user", "hello")
    refused = Request("r", ChatPrompt((Turn("system", "be brief"),), (), (user,)))
    taken = Request("t", ChatPrompt((), (), (user,)))
    first, second = Encoder(TextTokens(OfUsersAlone()), None).encode_all([refused, taken])
    assert str(first) == "the chat template refuses the conversation: no system turn"
    assert isinstance(second, Encoded)


def test_a_conversation_without_a_template_is_refused():
    request = Request("r", ChatPrompt((), (), (Turn("user", "hello"),)))
    with pytest.raises(
        SpecError, match=r"folder has no chat template that can be used; ask without one: Canno"
    ):
        list(Encoder(TextTokens(WithoutTemplate()), None).encode_all([request]))


def test_choices_are_split_off_the_whole():
    encoder, words = _encoder()
    encoded = encoder.encode(Request("r", TextPrompt("", (), "is it"), choices=(" yes", " no way")))
    assert encoded.prompt_ids == (BOS, words.known["is"], words.known[" it"])
    assert encoded.choice_ids == ((words.known[" yes"],), (words.known[" no"], words.known[" way"]))


def test_blanks_at_the_end_of_the_prompt_move_into_the_choice():
    encoder, words = _encoder()
    encoded = encoder.encode(Request("r", TextPrompt("", (), "is it "), choices=("yes",)))
    assert encoded.prompt_ids == (BOS, words.known["is"], words.known[" it"])
    assert encoded.choice_ids == ((words.known[" yes"],),)


def test_the_last_token_rule_takes_only_the_last_token():
    encoder, words = _encoder()
    request = Request(
        "r", TextPrompt("", (), "is it"), choices=(" no way",), choice_rule=ChoiceRule.LAST_TOKEN
    )
    assert encoder.encode(request).choice_ids == ((words.known[" way"],),)


COLON_C = [("Ġ", "C"), (":", "ĠC")]
"""Merges that make one token of a prompt's last `:` and the choice ` C`."""


def test_b4_a_choice_that_merges_with_the_prompt_s_end_takes_its_place():
    raw = byte_tokenizer(merges=COLON_C)
    encoded = Encoder(TextTokens(raw), None).encode(
        Request("r", TextPrompt("", (), "Q:"), choices=(" A", " C", " Cx"))
    )
    assert encoded.prompt_ids == (BYTES_BOS, *ids_of(raw, "Q", ":"))
    # As long as the prompt alone: no token is left for ` C`; ` Cx` is cut as lm-evaluation-harness does.
    assert encoded.choice_ids == (ids_of(raw, "Ġ", "A"), ids_of(raw, ":ĠC"), ids_of(raw, "x"))
    assert encoded.replaces == (0, 1, 0)


def test_a_prompt_is_not_cut_so_short_that_a_merged_choice_has_nothing_before_it():
    raw = byte_tokenizer(None, merges=COLON_C)
    request = Request("r", TextPrompt("", (), "abcQ:"), choices=(" C",))
    assert Encoder(TextTokens(raw), 3).encode(request).cut_tokens == 2
    assert Encoder(TextTokens(raw), 2).encode(request).prompt_ids == ids_of(raw, "Q", ":")
    with pytest.raises(ValueError, match="no room"):
        Encoder(TextTokens(raw), 1).encode(request)


def test_a_choice_that_merges_with_the_whole_prompt_is_refused():
    encoder = Encoder(TextTokens(byte_tokenizer(None, merges=COLON_C)), None)
    with pytest.raises(
        ValueError, match="choice ' C' merges with the whole prompt: no token is left before it"
    ):
        encoder.encode(Request("r", TextPrompt("", (), ":"), choices=(" C",)))


def test_token_ids_are_used_as_they_are():
    encoder, _ = _encoder()
    assert encoder.encode(Request("r", TokenPrompt((5, 6)))).prompt_ids == (5, 6)


def test_a_choice_without_tokens_is_refused():
    encoder, _ = _encoder()
    with pytest.raises(ValueError, match="no token"):
        encoder.encode(Request("r", TextPrompt("", (), "a"), choices=("",)))


def test_an_empty_prompt_is_refused():
    encoder, _ = _encoder()
    with pytest.raises(ValueError, match="no tokens"):
        encoder.encode(Request("r", TokenPrompt(())))


SHOTS = TextPrompt("head", (" s1 s1", " s2 s2"), " q q")


@pytest.mark.parametrize(
    ("context", "shots_left", "cut", "length"),
    [
        (8, 2, 0, 8),  # BOS head s1 s1 s2 s2 q q
        (7, 1, 0, 6),  # one shot too many: BOS head s2 s2 q q
        (5, 0, 0, 4),
        (4, 0, 0, 4),
        (3, 0, 1, 3),  # nothing to drop any more: cut at the left
    ],
)
def test_a_prompt_too_long_loses_whole_shots_before_it_is_cut(context, shots_left, cut, length):
    encoder, words = _encoder(context)
    encoded = encoder.encode(Request("r", SHOTS, max_new_tokens=1))
    assert (encoded.dropped_shots, encoded.cut_tokens) == (2 - shots_left, cut)
    assert len(encoded.prompt_ids) == length
    assert encoded.prompt_ids[-1] == words.known[" q"]


def test_room_is_kept_for_the_new_tokens_that_are_fed_back():
    encoder, _ = _encoder(8)
    assert encoder.encode(Request("r", SHOTS, max_new_tokens=1)).dropped_shots == 0
    assert encoder.encode(Request("r", SHOTS, max_new_tokens=2)).dropped_shots == 1


def test_room_is_kept_for_the_longest_choice():
    encoder, _ = _encoder(8)
    assert encoder.encode(Request("r", SHOTS, choices=(" a", " b"))).dropped_shots == 0
    assert encoder.encode(Request("r", SHOTS, choices=(" a", " b c"))).dropped_shots == 1


def test_shots_of_a_chat_are_dropped_whole():
    encoder, words = _encoder(9)
    shot = (Turn("user", "u"), Turn("assistant", "a"))
    prompt = ChatPrompt((Turn("system", "s"),), (shot, shot), (Turn("user", "q"),))
    encoded = encoder.encode(Request("r", prompt))
    assert encoded.dropped_shots == 2
    assert words.known[" q"] in encoded.prompt_ids


def test_new_tokens_that_leave_no_room_are_refused():
    encoder, _ = _encoder(8)
    with pytest.raises(ValueError, match="no room"):
        encoder.encode(Request("r", SHOTS, max_new_tokens=50))


def test_token_ids_that_the_model_has_not_are_refused():
    encoder = Encoder(TextTokens(Words()), None, 30)
    assert encoder.encode(Request("r", TokenPrompt((0, 29)))).prompt_ids == (0, 29)
    with pytest.raises(ValueError, match="the prompt has the token id 30; this model has 30, from 0"):
        encoder.encode(Request("r", TokenPrompt((0, 30))))
    with pytest.raises(ValueError, match="the choice has the token id 31; this model has 30, from 0"):
        encoder.encode(Request("r", TokenPrompt((0, 29)), choices=((1,), (2, 31))))
    with pytest.raises(ValueError, match="the prompt has the token id -1; ids count from 0"):
        encoder.encode(Request("r", TokenPrompt((-1, 2))))


CONTINUED = Request("r", TokenPrompt((5, 6, 7)), choices=((8, 9), (10,)), each_token=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": TextPrompt("", (), "a b")}, "needs token ids for the prompt and the choices"),
        ({"choices": (" a", " b")}, "needs token ids for the prompt and the choices"),
        ({"choices": ((8,), ())}, "choices of at least one token"),
        ({"choices": ()}, "give one as a choice of token ids"),
        ({"choice_rule": ChoiceRule.LAST_TOKEN}, "give choice_rule continuation"),
    ],
    ids=["text prompt", "text choices", "no token", "no choice", "last token"],
)
def test_a_request_for_each_token_of_something_else_than_ids_is_refused(changes, message):
    encoder, _ = _encoder()
    with pytest.raises(ValueError, match=message):
        encoder.encode(replace(CONTINUED, **changes))


def test_what_is_asked_of_each_token_is_never_cut():
    encoder, _ = _encoder(4)  # the last token of a continuation is read, not fed
    assert encoder.encode(CONTINUED).choice_ids == ((8, 9), (10,))
    longer = replace(CONTINUED, prompt=TokenPrompt((4, 5, 6, 7)))
    assert encoder.encode(replace(longer, each_token=False)).cut_tokens == 1
    with pytest.raises(ValueError, match="exceed the context of 4 tokens by 1, and each_token cuts"):
        encoder.encode(longer)
