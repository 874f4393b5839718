"""The demo tokenizer: single-token answers, lossless text, BOS rules and the chat template, as loaded."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from modeltest.demo import FAMILIES
from modeltest.demo.families import FAMILY_BY_NAME, VOCABULARY_SIZE, Specials
from modeltest.demo.tokenizer import SINGLE_TOKENS, chat_template, tokenizer_files

WITH_BOS = ("gemma", "llama", "internlm2")
TEXTS = (
    "Question: is confectionary sugar the same as powdered sugar?\nAnswer:",
    "以下是中国关于逻辑学考试的单项选择题，请选出其中的正确答案。\n答案：",
    "  two  spaces,\ttabs\r\nand 12345 numbers's \u00e9\u0301 🙂",
    "",
)

every_family = pytest.mark.parametrize("family", FAMILIES)


def trained_on(texts, family="llama"):
    """Return the tokenizer that `texts` give, as any reader of tokenizer.json sees it."""
    files = tokenizer_files(FAMILY_BY_NAME[family], texts)
    return Tokenizer.from_str(json.dumps(files["tokenizer.json"]))


class TestAnswers:
    @every_family
    @pytest.mark.parametrize("answer", SINGLE_TOKENS)
    def test_is_one_token(self, family, answer, loaded):
        _, tokenizer = loaded(family)
        assert len(tokenizer.encode(answer, add_special_tokens=False)) == 1

    @every_family
    @pytest.mark.parametrize("answer", [" yes", " no", " A", " D"])
    def test_is_the_last_token_after_a_prompt(self, family, answer, loaded):
        _, tokenizer = loaded(family)
        prompt = tokenizer.encode("is it so?\nAnswer:", add_special_tokens=False)
        alone = tokenizer.encode(answer, add_special_tokens=False)
        assert tokenizer.encode("is it so?\nAnswer:" + answer, add_special_tokens=False) == prompt + alone

    @every_family
    def test_all_are_different_tokens(self, family, loaded):
        _, tokenizer = loaded(family)
        ids = [tokenizer.encode(answer, add_special_tokens=False)[0] for answer in SINGLE_TOKENS]
        assert len(set(ids)) == len(SINGLE_TOKENS)

    @every_family
    @pytest.mark.parametrize(
        "texts",
        [
            [],
            # Learns "ye", "es" and "Ġn" first, so that the answers begin as other pieces than single bytes.
            ["eyes yesterday es es es dyes ye ye nnn n n n noon"] * 9,
            [" yes no A B C D"] * 9,
            [" yyes yyyes esno noes AAA ABAB DADA" * 5, "ABBA CD DC" * 7],
        ],
    )
    def test_is_one_token_whatever_the_training_text(self, family, texts):
        tokenizer = trained_on(texts, family)
        for answer in SINGLE_TOKENS:
            assert len(tokenizer.encode(answer, add_special_tokens=False).ids) == 1, answer

    @given(st.lists(st.text(alphabet=" yesnoABCD\n", max_size=40), max_size=20))
    def test_is_one_token_after_training_on_its_own_letters(self, texts):
        tokenizer = trained_on(texts * 2)
        for answer in SINGLE_TOKENS:
            assert len(tokenizer.encode(answer, add_special_tokens=False).ids) == 1, answer


class TestVocabulary:
    @every_family
    @pytest.mark.parametrize("texts", [[], ["the cat sat on the mat"] * 3])
    def test_has_always_the_same_size(self, family, texts):
        assert trained_on(texts, family).get_vocab_size() == VOCABULARY_SIZE

    @every_family
    def test_every_id_has_its_own_token(self, family, loaded):
        _, tokenizer = loaded(family)
        tokens = tokenizer.convert_ids_to_tokens(range(VOCABULARY_SIZE))
        assert None not in tokens
        assert len(set(tokens)) == VOCABULARY_SIZE

    @every_family
    def test_the_samples_fill_it_with_words(self, family, loaded):
        _, tokenizer = loaded(family)
        reserved = [token for token in tokenizer.get_vocab() if token.startswith("<|reserved_")]
        assert len(reserved) < 20

    @every_family
    def test_a_prompt_takes_fewer_tokens_than_bytes(self, family, loaded):
        _, tokenizer = loaded(family)
        english, chinese = TEXTS[0], TEXTS[1]
        assert len(tokenizer.encode(english)) < 0.6 * len(english)
        assert len(tokenizer.encode(chinese)) < 0.6 * len(chinese.encode())

    def test_equal_texts_give_equal_files(self):
        family = FAMILY_BY_NAME["qwen2"]
        assert tokenizer_files(family, TEXTS) == tokenizer_files(family, TEXTS)


class TestLosslessness:
    @every_family
    @pytest.mark.parametrize("text", TEXTS)
    def test_text_comes_back(self, family, text, loaded):
        assert self.decoded(loaded(family)[1], text) == self.expected(family, text)

    @given(text=st.text(max_size=60), family=st.sampled_from(FAMILIES))
    def test_any_text_comes_back(self, text, family, loaded):
        assert self.decoded(loaded(family)[1], text) == self.expected(family, text)

    @given(text=st.text(max_size=40), ending=st.sampled_from(SINGLE_TOKENS))
    def test_text_comes_back_behind_bos(self, text, ending, loaded):
        _, tokenizer = loaded("llama")
        assert tokenizer.decode(tokenizer(text + ending)["input_ids"]) == "<s>" + text + ending

    @staticmethod
    def decoded(tokenizer, text):
        return tokenizer.decode(tokenizer.encode(text, add_special_tokens=False))

    @staticmethod
    def expected(family, text):
        # qwen2's tokenizer composes characters first, as the published ones do.
        return unicodedata.normalize("NFC", text) if family == "qwen2" else text


class TestSpecialTokens:
    @every_family
    def test_bos_is_put_before_a_text_by_some_families_only(self, family, loaded):
        _, tokenizer = loaded(family)
        plain = tokenizer.encode("a text", add_special_tokens=False)
        bos = [tokenizer.bos_token_id] if family in WITH_BOS else []
        assert tokenizer("a text")["input_ids"] == bos + plain

    @every_family
    def test_an_empty_text_is_bos_or_nothing(self, family, loaded):
        _, tokenizer = loaded(family)
        assert tokenizer("")["input_ids"] == ([tokenizer.bos_token_id] if family in WITH_BOS else [])

    @every_family
    def test_padding_is_no_other_token(self, family, loaded):
        _, tokenizer = loaded(family)
        assert tokenizer.pad_token_id not in (None, tokenizer.eos_token_id, tokenizer.bos_token_id)

    @pytest.mark.parametrize(
        ("family", "eos"),
        [
            ("gpt2", "<|endoftext|>"),
            ("gpt_neox", "<|endoftext|>"),
            ("qwen2", "<|endoftext|>"),
            ("llama", "</s>"),
            ("internlm2", "</s>"),
            ("gemma", "<eos>"),
        ],
    )
    def test_end_of_text_is_the_familys(self, family, eos, loaded):
        _, tokenizer = loaded(family)
        assert tokenizer.eos_token == eos

    @every_family
    def test_ids_agree_with_the_models_config(self, family, loaded):
        model, tokenizer = loaded(family)
        assert model.config.eos_token_id == tokenizer.eos_token_id
        assert model.config.pad_token_id == tokenizer.pad_token_id
        if family in WITH_BOS:
            assert model.config.bos_token_id == tokenizer.bos_token_id

    @every_family
    def test_all_are_known_as_special(self, family, loaded):
        _, tokenizer = loaded(family)
        specials = FAMILY_BY_NAME[family].specials.tokens
        assert sorted(tokenizer.all_special_ids) == list(range(len(specials)))
        assert tokenizer.decode(list(range(len(specials))), skip_special_tokens=True) == ""

    @every_family
    def test_a_batch_can_be_padded_on_the_left(self, family, loaded):
        _, tokenizer = loaded(family)
        batch = tokenizer(["a", "a much longer text"], padding=True, padding_side="left")
        assert batch["input_ids"][0][0] == tokenizer.pad_token_id
        assert batch["attention_mask"][0][0] == 0
        assert batch["attention_mask"][0][-1] == 1


class TestLoading:
    @every_family
    def test_the_file_alone_gives_the_same_tokens(self, family, loaded, demo_model):
        """AutoTokenizer may rebuild the pipeline by the family's own class: it must be the one written."""
        _, tokenizer = loaded(family)
        alone = Tokenizer.from_file(str(demo_model(family) / "tokenizer.json"))
        for text in TEXTS:
            assert alone.encode(text).ids == tokenizer(text)["input_ids"]

    def test_the_tokenizer_of_internlm2_needs_no_trust(self, demo_model):
        tokenizer = AutoTokenizer.from_pretrained(demo_model("internlm2"), trust_remote_code=False)
        assert tokenizer("yes")["input_ids"][0] == tokenizer.bos_token_id

    @every_family
    def test_a_saved_copy_gives_the_same_tokens(self, family, loaded, demo_model, tmp_path):
        _, tokenizer = loaded(family)
        tokenizer.save_pretrained(tmp_path)
        (tmp_path / "config.json").write_bytes((demo_model(family) / "config.json").read_bytes())
        copy = AutoTokenizer.from_pretrained(tmp_path, trust_remote_code=False)
        for text in TEXTS:
            assert copy(text)["input_ids"] == tokenizer(text)["input_ids"]


class TestChatTemplate:
    TURNS = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1?"})

    @every_family
    def test_lays_out_turns_and_begins_the_answer(self, family, loaded):
        _, tokenizer = loaded(family)
        bos = tokenizer.bos_token if family in WITH_BOS else ""
        assert tokenizer.apply_chat_template(
            list(self.TURNS), tokenize=False, add_generation_prompt=True
        ) == (
            f"{bos}<|im_start|>system\nBe brief.<|im_end|>\n"
            "<|im_start|>user\n1+1?<|im_end|>\n<|im_start|>assistant\n"
        )

    def test_leaves_the_answer_out_unless_asked(self, loaded):
        _, tokenizer = loaded("gpt2")
        turns = [*self.TURNS, {"role": "assistant", "content": "2"}]
        assert tokenizer.apply_chat_template(turns, tokenize=False).endswith(
            "<|im_start|>assistant\n2<|im_end|>\n"
        )

    @every_family
    def test_marks_are_single_tokens_and_bos_stands_once(self, family, loaded):
        _, tokenizer = loaded(family)
        text = tokenizer.apply_chat_template(list(self.TURNS), tokenize=False)
        ids = tokenizer.encode(text, add_special_tokens=False)
        start, end = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
        assert (ids.count(start), ids.count(end)) == (2, 2)
        if family in WITH_BOS:
            assert ids.count(tokenizer.bos_token_id) == 1

    def test_uses_the_marks_it_is_given(self):
        template = chat_template(Specials(eos="e", pad="p", turn_start="[", turn_end="]"))
        assert "'['" in template
        assert "']\\n'" in template
        assert "bos_token" not in template
