"""What stands around texts: found by trying, kept in front, left out behind."""

import json
from pathlib import Path

import pytest
from made_tokenizers import BOS, EOS, PAD, byte_tokenizer, ids_of

from engines.common.encoding import Encoder
from engines.common.text_tokens import TextTokens
from engines.common.tokenizing import CheckpointTokenizer
from modeltest.api import ChatPrompt, ChoiceRule, EngineError, Request, TextPrompt, TokenPrompt, Turn

LETTERS = tuple(f" {letter}" for letter in "ABCD")


def _encoder(tokenizer) -> Encoder:
    return Encoder(TextTokens(tokenizer), None)


def _asked(prompt, **more):
    return Request("q", prompt if not isinstance(prompt, str) else TextPrompt("", (), prompt), **more)


@pytest.mark.parametrize(
    ("template", "front", "behind"),
    [
        (None, (), ()),
        ("<s> $A", (BOS,), ()),
        ("$A </s>", (), (EOS,)),
        ("<s> $A </s>", (BOS,), (EOS,)),
        ("<pad> <s> $A </s> </s>", (PAD, BOS), (EOS, EOS)),
    ],
)
def test_a2_what_stands_in_front_is_kept_and_what_stands_behind_left_out(template, front, behind):
    tokenizer = byte_tokenizer(template)
    text = ids_of(tokenizer, "a", "Ġ", "b")
    assert tuple(tokenizer.encode("a b")) == (*front, *text, *behind)
    encoder = _encoder(tokenizer)
    assert encoder.encode(_asked("a b", max_new_tokens=1)).prompt_ids == (*front, *text)
    encoded = encoder.encode(_asked("a", choices=(" b", " c")))
    assert encoded.prompt_ids == (*front, *ids_of(tokenizer, "a"))
    assert encoded.choice_ids == (ids_of(tokenizer, "Ġ", "b"), ids_of(tokenizer, "Ġ", "c"))
    assert CheckpointTokenizer(TextTokens(tokenizer)).encode("a b", special=True) == (*front, *text)
    assert CheckpointTokenizer(TextTokens(tokenizer)).encode("a b", special=False) == text


def test_a2_an_end_of_text_behind_every_text_leaves_the_choices_their_own_tokens():
    tokenizer = byte_tokenizer("<s> $A </s>", merges=[("Ġ", letter) for letter in "ABCD"])
    texts = TextTokens(tokenizer)
    assert texts.notes == ("the tokenizer adds </s> behind texts: left out of prompts and choices",)
    encoded = Encoder(texts, None).encode(_asked("Answer:", choices=LETTERS))
    assert encoded.prompt_ids == (BOS, *ids_of(tokenizer, *"Answer:"))
    assert encoded.choice_ids == tuple(ids_of(tokenizer, f"Ġ{letter}") for letter in "ABCD")


def test_the_last_token_of_a_choice_is_not_the_end_of_text():
    tokenizer = byte_tokenizer("<s> $A </s>", merges=[("Ġ", letter) for letter in "ABCD"])
    encoded = _encoder(tokenizer).encode(
        _asked("Answer:", choices=LETTERS, choice_rule=ChoiceRule.LAST_TOKEN)
    )
    assert encoded.choice_ids == tuple(ids_of(tokenizer, f"Ġ{letter}") for letter in "ABCD")


def test_requests_encoded_together_are_encoded_as_they_are_alone():
    tokenizer = byte_tokenizer("<s> $A </s>")
    requests = [
        _asked("a b", max_new_tokens=1),
        _asked("<s>a b", max_new_tokens=1),
        _asked("a ", choices=("b", "c")),
        _asked("a", choices=LETTERS, choice_rule=ChoiceRule.LAST_TOKEN),
        _asked(TokenPrompt((5, 6))),
    ]
    together = list(_encoder(tokenizer).encode_all(requests))
    assert together == [_encoder(tokenizer).encode(request) for request in requests]


@pytest.mark.parametrize("template", ["<s> $A", "<s> $A </s>", "$A </s>", None])
def test_a_prompt_never_has_two_begins(template):
    texts = TextTokens(byte_tokenizer(template))
    written = Encoder(texts, None).encode(_asked("<s>a", max_new_tokens=1)).prompt_ids
    assert written == (BOS, *ids_of(texts.raw, "a"))
    assert CheckpointTokenizer(texts).encode("<s>a", special=True) == written


@pytest.mark.parametrize(("writes", "begins"), [("{{ bos_token }}", (BOS,)), ("", ())])
def test_a_conversation_begins_as_its_template_writes_it(writes, begins):
    tokenizer = byte_tokenizer("<s> $A </s>")
    tokenizer.chat_template = writes + "{% for message in messages %}{{ message.content }}{% endfor %}"
    encoded = _encoder(tokenizer).encode(_asked(ChatPrompt((), (), (Turn("user", "a"),)), max_new_tokens=1))
    assert encoded.prompt_ids == (*begins, *ids_of(tokenizer, "a"))


def _stubborn(front, behind):
    """Return a tokenizer that adds special tokens whether they are asked for or not."""
    raw = byte_tokenizer(None)

    class Stubborn(type(raw)):
        def encode(self, text, add_special_tokens=True):
            return [*front, *super().encode(text, add_special_tokens=add_special_tokens), *behind]

        def __call__(self, texts, add_special_tokens=True, **_):
            return {"input_ids": [self.encode(text) for text in texts]}

    raw.__class__ = Stubborn
    return raw


def test_what_is_added_even_unasked_stands_around_a_prompt_once():
    tokenizer = _stubborn([BOS], [EOS])
    tokenizer.chat_template = "{{ bos_token }}{{ messages[0].content }}"
    encoder = _encoder(tokenizer)
    prompt = (BOS, *ids_of(byte_tokenizer(None), "a"))
    assert encoder.encode(_asked("a", max_new_tokens=1)).prompt_ids == prompt
    chat = _asked(ChatPrompt((), (), (Turn("user", "a"),)), max_new_tokens=1)
    assert encoder.encode(chat).prompt_ids == prompt
    choice = encoder.encode(_asked("a", choices=("b", "c"))).choice_ids[0]
    assert choice == ids_of(byte_tokenizer(None), "b")


def test_a_tokenizer_that_adds_something_else_to_every_text_is_refused():
    tokenizer = byte_tokenizer("<s> $A")

    class Moody(type(tokenizer)):
        def encode(self, text, add_special_tokens=True):
            ids = super().encode(text, add_special_tokens=False)
            return ids if not add_special_tokens else [len(ids) % 4, *ids]

    tokenizer.__class__ = Moody
    with pytest.raises(EngineError, match="does not add the same tokens around every text"):
        TextTokens(tokenizer)


def test_choices_that_share_all_their_tokens_are_refused_before_anything_is_asked():
    from tokenizers import normalizers

    encoder = _encoder(byte_tokenizer("<s> $A", normalizer=normalizers.Lowercase()))
    shared = ids_of(byte_tokenizer(), "Ġ", "a")
    with pytest.raises(EngineError) as refused:
        list(encoder.encode_all([_asked("Q:", choices=(" A", " b", " a"))]))
    assert str(refused.value) == (
        f"the choices ' A' and ' a' of question 'q' are the same tokens to this tokenizer: {list(shared)}; "
        "the model cannot choose between them"
    )
    with pytest.raises(EngineError, match="are the same tokens"):
        encoder.encode(_asked("Q:", choices=(" ax", " bx"), choice_rule=ChoiceRule.LAST_TOKEN))


def test_a_choice_given_twice_is_no_fault_of_the_tokenizer():
    encoded = _encoder(byte_tokenizer()).encode(_asked("Q:", choices=(" a", " a")))
    assert encoded.choice_ids[0] == encoded.choice_ids[1]


def test_a_choice_that_is_one_token_with_the_answer_s_colon_has_no_last_token():
    encoder = _encoder(byte_tokenizer(merges=[("Ġ", "A"), (":", "ĠA")]))
    with pytest.raises(EngineError, match="choice ' A' has no token of its own behind 'Answer:'"):
        encoder.encode(_asked("Q:", choices=(" A", " B"), choice_rule=ChoiceRule.LAST_TOKEN))


@pytest.mark.parametrize("setting", ["truncation", "padding"])
def test_cutting_and_padding_of_tokenizer_json_are_switched_off_and_told(setting, tmp_path):
    from transformers import PreTrainedTokenizerFast

    byte_tokenizer().save_pretrained(tmp_path)
    path = Path(tmp_path) / "tokenizer.json"
    content = json.loads(path.read_text())
    content["truncation"] = {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0}
    content["padding"] = {
        "strategy": {"Fixed": 64},
        "direction": "Left",
        "pad_to_multiple_of": None,
        "pad_id": PAD,
        "pad_type_id": 0,
        "pad_token": "<pad>",
    }
    content["padding" if setting == "truncation" else "truncation"] = None
    path.write_text(json.dumps(content))
    texts = TextTokens(PreTrainedTokenizerFast.from_pretrained(tmp_path))
    told = "truncates texts to 8 tokens" if setting == "truncation" else "pads texts"
    assert texts.notes == (f"tokenizer.json {told}: switched off",)
    assert len(texts.ids("a" * 20)) == 20
    assert [len(ids) for ids in texts.ids_of_all(["a", "b" * 20])] == [1, 20]


def _with_batches(change):
    raw = byte_tokenizer()

    class Changed(type(raw)):
        def __call__(self, texts, **_):
            return {"input_ids": change([self.encode(text, add_special_tokens=False) for text in texts])}

    raw.__class__ = Changed
    return raw


def test_a_tokenizer_that_cannot_be_kept_from_cutting_is_refused():
    with pytest.raises(EngineError, match="it truncates or pads, and cannot be told not to"):
        TextTokens(_with_batches(lambda rows: [row[:512] for row in rows]))


def test_a_tokenizer_that_cannot_be_kept_from_padding_is_refused():
    with pytest.raises(EngineError, match="it pads, and cannot be told not to"):
        TextTokens(_with_batches(lambda rows: [[PAD, *row] for row in rows]))


def test_texts_that_change_on_their_way_through_the_tokens_are_told():
    from tokenizers import normalizers

    (note,) = TextTokens(byte_tokenizer(normalizer=normalizers.Lowercase())).notes
    assert note.startswith("the tokenizer changes texts: 'The sea is salt. IT")
    assert "comes back as 'the sea is salt. it" in note


def test_tidied_blanks_are_told():
    raw = byte_tokenizer()

    class Tidy(type(raw)):
        def decode(self, ids, **more):
            return super().decode(ids, **more).replace(" .", ".")

    raw.__class__ = Tidy
    (note,) = TextTokens(raw).notes
    assert "'O, he said .\\nAnswer:' comes back as 'O, he said.\\nAnswer:'" in note


def test_tokens_without_an_embedding_are_refused():
    tokenizer = byte_tokenizer()
    TextTokens(tokenizer, embeddings=len(tokenizer))
    with pytest.raises(EngineError, match=f"has {len(tokenizer)} tokens, the model embeddings for 200"):
        TextTokens(tokenizer, embeddings=200)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "gemma", "llama", "qwen2", "internlm2"])
def test_of_the_demo_models_there_is_nothing_to_tell(family, demo_model):
    from transformers import AutoTokenizer

    raw = AutoTokenizer.from_pretrained(demo_model(family), trust_remote_code=True)
    texts = TextTokens(raw)
    assert texts.notes == ()
    assert texts.as_prompt(texts.ids("It is so.")) == tuple(raw.encode("It is so."))


def test_a_tokenizer_that_fails_over_its_own_settings_is_an_error_of_the_engine():
    tokenizer = byte_tokenizer(None)
    tokenizer.model_max_length = [8]  # as tokenizer_config.json may have it
    with pytest.raises(EngineError, match=r"cannot be used \(TypeError: .*copy or download its files again"):
        TextTokens(tokenizer)
