import pytest

from engines.common.text_tokens import TextTokens
from engines.common.tokenizing import ByteTokenizer, CheckpointTokenizer
from engines.fake import END_OF_TEXT, FakeEngine
from modeltest.api import EngineError, SpecError, Tokenizing, Turn

FAMILIES = ("gpt2", "gpt_neox", "gemma", "llama", "qwen2", "internlm2")
TEXT = "The sea is salt. 海"


@pytest.fixture(params=FAMILIES)
def raw(request, demo_model):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(demo_model(request.param), trust_remote_code=True)


def test_texts_are_encoded_as_the_checkpoint_does(raw):
    tokenizer = CheckpointTokenizer(TextTokens(raw))
    assert tokenizer.encode(TEXT, special=True) == tuple(raw.encode(TEXT))
    assert tokenizer.encode(TEXT, special=False) == tuple(raw.encode(TEXT, add_special_tokens=False))


def test_the_prefix_is_the_begin_of_text_or_else_its_end(raw):
    expected = raw.eos_token_id if raw.bos_token_id is None else raw.bos_token_id
    assert CheckpointTokenizer(TextTokens(raw)).prefix_token_id == expected


def test_a_text_that_writes_the_prefix_itself_does_not_get_it_twice(raw):
    tokenizer = CheckpointTokenizer(TextTokens(raw))
    text = raw.decode([tokenizer.prefix_token_id]) + TEXT
    assert tokenizer.encode(text, special=True) == tokenizer.encode(text, special=False)
    assert tokenizer.encode(text, special=True)[0] == tokenizer.prefix_token_id
    assert tokenizer.encode(text, special=True).count(tokenizer.prefix_token_id) == 1


def test_a_conversation_is_laid_out_by_the_template(raw):
    tokenizer = CheckpointTokenizer(TextTokens(raw))
    turns = [Turn("user", "q"), Turn("assistant", "a"), Turn("user", "r")]
    messages = [{"role": turn.role, "content": turn.content} for turn in turns]
    text = tokenizer.lay_out(turns, generation_prompt=True)
    assert text == raw.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    begun = tokenizer.lay_out([*turns, Turn("assistant", "The answer")], generation_prompt=False)
    assert begun == text + "The answer"


REFUSES_SYSTEM = (
    "{% for message in messages %}{% if message.role == 'system' %}{{ raise_exception('no system') }}"
    "{% endif %}{{ message.content }}{% endfor %}"
)


def test_a_template_that_refuses_the_system_turn_goes_without_it(raw):
    raw.chat_template = REFUSES_SYSTEM
    turns = [Turn("system", "s"), Turn("user", "q")]
    assert CheckpointTokenizer(TextTokens(raw)).lay_out(turns, generation_prompt=True) == "q"


def test_a_template_that_refuses_everything_is_an_error(raw):
    raw.chat_template = "{{ raise_exception('never') }}"
    with pytest.raises(SpecError, match="refuses the conversation: never"):
        CheckpointTokenizer(TextTokens(raw)).lay_out([Turn("user", "q")], generation_prompt=True)


def test_a_checkpoint_without_a_template_says_so(raw):
    raw.chat_template = None
    tokenizer = CheckpointTokenizer(TextTokens(raw))
    assert tokenizer.chat_template is None
    with pytest.raises(SpecError, match="has no chat template"):
        tokenizer.lay_out([Turn("user", "q")], generation_prompt=True)


def test_a_tokenizer_without_begin_and_end_has_no_prefix(raw):
    raw.bos_token = raw.eos_token = None
    with pytest.raises(EngineError, match="begin or the end of a text"):
        _ = CheckpointTokenizer(TextTokens(raw)).prefix_token_id


def test_the_fake_engine_offers_its_bytes():
    engine = FakeEngine()
    assert isinstance(engine, Tokenizing)
    tokenizer = engine.tokenizer()
    assert isinstance(tokenizer, ByteTokenizer)
    assert tokenizer.prefix_token_id == END_OF_TEXT
    assert tokenizer.encode("é", special=True) == (0xC3, 0xA9)
    assert tokenizer.lay_out([Turn("user", "q"), Turn("assistant", "a")], generation_prompt=True) == "qa"


def test_token_ids_become_the_text_again_with_their_special_tokens(raw):
    tokenizer = CheckpointTokenizer(TextTokens(raw))
    assert tokenizer.decode(tokenizer.encode(TEXT, special=False)) == TEXT
    assert tokenizer.decode([tokenizer.prefix_token_id]) == raw.decode([tokenizer.prefix_token_id]) != ""


def test_bytes_become_the_text_again():
    tokenizer = ByteTokenizer(END_OF_TEXT)
    assert tokenizer.decode(tokenizer.encode(TEXT, special=True)) == TEXT
    assert tokenizer.decode([0xE6]) == "\N{REPLACEMENT CHARACTER}"
