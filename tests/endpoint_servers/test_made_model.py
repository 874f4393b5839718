import numpy as np
import pytest
from made_model import END_IDS, VOCABULARY, MadeModel, decode, encode, lay_out, write_tokenizer

TEXT = "Question: is the sea salt?\nAnswer: yes 是的 ünï"
PROMPT = encode(TEXT)


def test_a_text_comes_back_from_its_tokens():
    assert decode(PROMPT) == TEXT
    assert len(PROMPT) < len(TEXT.encode())


def test_transformers_cuts_texts_as_the_made_tokenizer_does(tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(write_tokenizer(tmp_path))
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": TEXT}]
    for text in (TEXT, "", "a\n\nb  c </s> d<|im_end|>", "Answerrr  theThe the 是是 no nos"):
        assert tokenizer(text)["input_ids"] == encode(text)
        ids = encode(text, special=False)
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == ids
        assert tokenizer.decode(ids) == decode(ids, skip_special=False)
    assert tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True) == lay_out(turns)
    assert len(tokenizer) == VOCABULARY


def test_probabilities_add_up_and_the_same_context_has_the_same():
    for weights in ("base", "finetune", "int4"):
        row = MadeModel(weights).next_logprobs(PROMPT)
        assert np.exp(row).sum() == pytest.approx(1)
        assert (row == MadeModel(weights).next_logprobs(PROMPT)).all()


def test_the_log_probability_of_a_continuation_is_that_of_its_tokens():
    model, yes = MadeModel(), encode(" yes 1", special=False)
    expected = sum(model.next_logprobs([*PROMPT, *yes[:n]])[token] for n, token in enumerate(yes))
    assert model.logprob(PROMPT, yes) == pytest.approx(expected)
    assert len(yes) > 1


@pytest.mark.parametrize(
    ("weights", "least", "most"), [("finetune", 0.01, 5), ("int4", 0.01, 5), ("noise1e-5", 1e-7, 3e-5)]
)
def test_other_weights_are_as_far_from_the_base_as_they_should(weights, least, most):
    distance = abs(
        MadeModel(weights).logprob(PROMPT, encode(" yes", special=False))
        - MadeModel().logprob(PROMPT, encode(" yes", special=False))
    )
    assert least < distance < most


def test_greedy_texts_are_whole_characters_and_end_at_times():
    model = MadeModel()
    made = [model.greedy([*PROMPT, n], 60) for n in range(20)]
    assert all("\ufffd" not in decode(ids).rstrip("\ufffd") for ids in made)
    assert any(any(ord(letter) > 0x4000 for letter in decode(ids)) for ids in made)
    ended = [ids for ids in made if ids[-1] in END_IDS]
    assert 0 < len(ended) < len(made)
