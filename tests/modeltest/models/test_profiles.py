import re
import subprocess
import sys
from dataclasses import FrozenInstanceError
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import SpecError
from modeltest.models.profiles import (
    block_size,
    environment,
    is_native_model_type,
    keys_for_model_type,
    model_keys,
    profile,
    profile_for_model_type,
    tokenizer_options,
)
from modeltest.plain.toml_file import read_toml

BOOK = read_toml(Path(__file__).resolve().parents[3] / "modeltest" / "models" / "models.toml")

# Written by hand from the predecessor's model files: key, model types, chips, datasets, in MindIE HEAD.
TABLE = """
aquila_7b      | aquila                                  | 1  | BoolQ CEval                        | no
aquila2_7b     | aquila                                  | 1  | BoolQ CEval                        | no
aquila2_34b    | llama                                   | 1  | BoolQ CEval                        | yes
baichuan2_7b   | baichuan                                | 1  | BoolQ CEval                        | yes
baichuan2_13b  | baichuan                                | 1  | BoolQ CEval                        | yes
bloom          | bloom                                   | 8  | CEval                              | yes
chatglm        | chatglm glm                             | 1  | BoolQ CEval                        | yes
codegeex2_6b   | chatglm                                 | 1  | HumanEval                          | yes
codellama      | llama                                   | 8  | HumanEval                          | yes
codeshell_7b   | codeshell                               | 1  | HumanEval                          | no
deepseek       | deepseek                                | 8  | BoolQ                              | yes
deepseek_coder | llama                                   | 8  | BoolQ                              | yes
deepseek_llm   | llama                                   | 8  | BoolQ CEval                        | yes
deepseekv2     | deepseekv2 kimi_k2                      | 8  | BoolQ                              | yes
deepseekv3     | deepseek_v3 kimi_k2 | 1 | AIME2024 GPQA GSM8K TruthfulQA MMLU CEval BoolQ NeedleBench | yes
ernie_moe      | ernie4_5_moe                            | 4  | BoolQ CEval MMLU GSM8K             | yes
gemma          | gemma                                   | 8  | BoolQ                              | no
glm            | glm4_moe                                | 8  | BoolQ CEval GSM8K                  | yes
gpt2           | gpt2                                    | 8  | BoolQ                              | no
gptneox_20b    | gpt_neox                                | 1  | BoolQ CEval                        | no
hunyuan        | hunyuan                                 | 16 | BoolQ CEval GSM8K                  | yes
internlm       | internlm internlm2 internlm3            | 1  | BoolQ CEval GSM8K MMLU             | yes
llama          | llama                                   | 8  | BoolQ CEval GSM8K MMLU             | yes
minicpm        | minicpm                                 | 1  | CEval BoolQ lite_BoolQ lite_GSM8K  | yes
minicpm_spec   | minicpm                                 | 1  | CEval BoolQ lite_BoolQ lite_GSM8K  | yes
minicpm3       | minicpm3                                | 1  | CEval BoolQ lite_BoolQ lite_GSM8K  | no
mistral        | mistral                                 | 1  | CEval BoolQ                        | yes
mixtral        | mixtral                                 | 8  | BoolQ CEval MMLU GSM8K             | yes
phi3           | phi3                                    | 1  | BoolQ                              | yes
qwen           | qwen qwen2 qwen2_moe qwen3 qwen3_moe    | 1  | CEval BoolQ GSM8K MMLU HumanEval_X | yes
skywork        | skywork                                 | 8  | BoolQ CEval MMLU GSM8K             | no
stablelm       | stablelm                                | 8  | BoolQ                              | no
starcoder      | starcoder                               | 8  | HumanEval                          | no
starcoder2     | starcoder2                              | 8  | HumanEval                          | no
telechat       | telechat                                | 8  | CEval BoolQ MMLU TruthfulQA        | yes
vicuna         | llama                                   | 8  | BoolQ CEval                        | yes
wizard         | llama                                   | 8  | HumanEval                          | yes
yi             | llama                                   | 8  | BoolQ CEval                        | yes
yi1_5          | llama                                   | 8  | BoolQ CEval                        | yes
zhinao         | zhinao                                  | 8  | CEval BoolQ MMLU                   | no
ziya           | llama ziya                              | 8  | BoolQ HumanEval                    | yes
"""
ROWS = [[cell.strip() for cell in line.split("|")] for line in TABLE.strip().splitlines()]

REUSE, ASYNC, TASKQ = "ATB_LAYER_INTERNAL_TENSOR_REUSE", "ATB_OPERATION_EXECUTE_ASYNC", "TASK_QUEUE_ENABLE"
NAN, NCHW, TILING = "INF_NAN_MODE_ENABLE", "ATB_CONVERT_NCHW_TO_ND", "ATB_LAUNCH_KERNEL_WITH_TILING"
GLOBAL, CONTEXT = "ATB_WORKSPACE_MEM_ALLOC_GLOBAL", "ATB_CONTEXT_WORKSPACE_SIZE"
TRANSPOSE, ALLOC, FALLBACK = "ATB_LLM_ENABLE_AUTO_TRANSPOSE", "PYTORCH_NPU_ALLOC_CONF", "LCCL_ENABLE_FALLBACK"

LEFT = {"padding_side": "left", "truncation_side": "left"}
DEFAULT = {"use_fast": True, **LEFT}


class TestTheTable:
    def test_every_model_word_of_the_predecessor_is_there_and_no_other(self):
        assert model_keys() == tuple(sorted(row[0] for row in ROWS))
        assert len(model_keys()) == 41

    @pytest.mark.parametrize(
        ("key", "types", "chips", "datasets", "in_head"), ROWS, ids=[row[0] for row in ROWS]
    )
    def test_the_profile_is_the_predecessors(self, key, types, chips, datasets, in_head):
        known = profile(key)
        assert known.key == key
        assert known.model_types == tuple(types.split())
        assert known.chips == int(chips)
        assert known.datasets == tuple(datasets.split())
        assert known.in_mindie_head is (in_head == "yes")

    def test_every_set_is_used(self):
        for kind, field in (("environments", "environment"), ("tokenizers", "tokenizer")):
            used = {name for entry in BOOK["models"].values() for name in entry[field]}
            assert used == set(BOOK[kind])

    def test_every_model_type_has_exactly_one_plain_profile_that_accepts_it(self):
        accepted = {name for key in model_keys() for name in profile(key).model_types}
        plain = [name for key in model_keys() for name in profile(key).plain_for]
        assert sorted(plain) == sorted(accepted)
        for key in model_keys():
            assert set(profile(key).plain_for) <= set(profile(key).model_types)

    def test_words_that_name_a_size_say_so(self):
        for key in model_keys():
            assert profile(key).sized is bool(re.search(r"\d+b$", key)), key

    def test_the_one_line_notes_are_one_line(self):
        notes = [profile(key).note for key in model_keys()]
        assert all("\n" not in note for note in notes if note)
        assert "4096" in (profile("gptneox_20b").note or "")


class TestProfile:
    def test_a_profile_cannot_be_changed(self):
        with pytest.raises(FrozenInstanceError):
            profile("llama").chips = 2

    def test_an_unknown_word_names_close_ones(self):
        with pytest.raises(SpecError, match=r"unknown model 'lama'; did you mean llama"):
            profile("lama")
        with pytest.raises(SpecError, match="did you mean qwen"):
            profile("QWEN")

    def test_a_word_like_none_lists_them_all(self):
        with pytest.raises(SpecError, match=r"available: auto, aquila2_34b, .*ziya"):
            profile("0000")

    @given(st.text().filter(lambda word: word not in model_keys()))
    def test_any_other_word_is_a_spec_error(self, word):
        with pytest.raises(SpecError, match="unknown model"):
            profile(word)


class TestProfileForModelType:
    @pytest.mark.parametrize(
        ("model_type", "key"),
        [
            ("llama", "llama"),
            ("chatglm", "chatglm"),
            ("glm", "chatglm"),
            ("qwen3_moe", "qwen"),
            ("kimi_k2", "deepseekv3"),
            ("deepseekv2", "deepseekv2"),
            ("glm4_moe", "glm"),
            ("ernie4_5_moe", "ernie_moe"),
            ("internlm3", "internlm"),
            ("minicpm", "minicpm"),
            ("ziya", "ziya"),
        ],
    )
    def test_a_known_type_gets_the_plain_profile(self, model_type, key):
        assert profile_for_model_type(model_type) == profile(key)

    @pytest.mark.parametrize(
        ("model_type", "lender"),
        [("gpt_neox", "gptneox_20b"), ("baichuan", "baichuan2_7b"), ("codeshell", "codeshell_7b")],
    )
    def test_a_profile_of_one_size_lends_everything_but_its_name(self, model_type, lender):
        found = profile_for_model_type(model_type)
        assert (found.key, found.name) == (model_type, ())
        assert environment(found) == environment(profile(lender))
        assert tokenizer_options(found, {}) == tokenizer_options(profile(lender), {})

    def test_a_type_nobody_lists_gets_a_generic_profile(self):
        found = profile_for_model_type("opt")
        assert (found.key, found.model_types, found.chips) == ("opt", ("opt",), 1)
        assert block_size(found, {}) == 128
        assert environment(found) == {}
        assert tokenizer_options(found, {}) == DEFAULT

    @given(st.text(min_size=1))
    def test_any_type_gets_a_profile_with_a_key_fit_for_a_folder(self, model_type):
        found = profile_for_model_type(model_type)
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", found.key)


class TestModelTypes:
    def test_all_words_for_a_type_are_found(self):
        assert keys_for_model_type("chatglm") == ("chatglm", "codegeex2_6b")
        assert keys_for_model_type("ziya") == ("ziya",)
        assert keys_for_model_type("opt") == ()
        assert len(keys_for_model_type("llama")) == 10

    def test_types_that_need_their_own_code_are_not_native(self):
        assert is_native_model_type("llama")
        for name in ("qwen", "baichuan", "chatglm", "internlm2", "telechat", "kimi_k2", "minicpm"):
            assert not is_native_model_type(name)

    def test_the_native_types_are_those_transformers_loads(self):
        auto = pytest.importorskip("transformers.models.auto.modeling_auto")
        if tuple(int(part) for part in version("transformers").split(".")[:2]) < (5, 23):
            pytest.skip("an older transformers does not know the newest types yet")
        assert set(BOOK["native_model_types"]) <= set(auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)

    def test_every_listed_type_that_transformers_loads_is_native(self):
        auto = pytest.importorskip("transformers.models.auto.modeling_auto")
        listed = {name for key in model_keys() for name in profile(key).model_types}
        assert listed & set(auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) <= set(BOOK["native_model_types"])


class TestBlockSize:
    def test_is_128_unless_the_model_wants_another(self):
        others = {key: block_size(profile(key), {}) for key in model_keys()}
        assert {key: size for key, size in others.items() if size != 128} == {"gemma": 64}

    @pytest.mark.parametrize(("layers", "tokens"), [(30, 128), (38, 96), ("38", 128), (None, 128)])
    def test_the_larger_telechat_takes_96(self, layers, tokens):
        assert block_size(profile("telechat"), {"n_layer": layers}) == tokens


class TestEnvironment:
    def test_llama_has_all_eight_variables(self):
        assert environment(profile("llama")) == {
            REUSE: "1",
            NAN: "0",
            ASYNC: "1",
            NCHW: "1",
            TASKQ: "1",
            GLOBAL: "1",
            CONTEXT: "0",
            TILING: "1",
        }

    def test_mixtral_turns_global_workspace_and_transpose_off(self):
        changed = {**environment(profile("llama")), GLOBAL: "0", TRANSPOSE: "0"}
        assert environment(profile("mixtral")) == changed

    def test_qwen_has_the_five(self):
        assert environment(profile("qwen")) == dict.fromkeys((REUSE, ASYNC, TASKQ, TILING, GLOBAL), "1")

    @pytest.mark.parametrize("key", ["baichuan2_7b", "baichuan2_13b", "internlm", "gptneox_20b"])
    def test_some_add_the_allocator_to_the_five(self, key):
        qwen = environment(profile("qwen"))
        assert environment(profile(key)) == {**qwen, ALLOC: "max_split_size_mb:2048"}

    @pytest.mark.parametrize("key", ["gpt2", "minicpm", "minicpm_spec", "minicpm3"])
    def test_some_add_the_fallback_to_the_eight(self, key):
        assert environment(profile(key)) == {**environment(profile("llama")), FALLBACK: "1"}

    @pytest.mark.parametrize("key", ["bloom", "glm", "deepseekv3"])
    def test_some_set_nothing(self, key):
        assert environment(profile(key)) == {}

    @pytest.mark.parametrize(
        ("key", "base", "missing"),
        [
            ("chatglm", "llama", {CONTEXT, TILING}),
            ("codegeex2_6b", "llama", {NAN, CONTEXT, TILING}),
            ("codeshell_7b", "llama", {NAN, CONTEXT, TILING}),
            ("deepseek_coder", "llama", {TILING}),
            ("deepseek_llm", "llama", {TILING}),
            ("deepseekv2", "mixtral", {NAN, GLOBAL}),
            ("ernie_moe", "mixtral", {NAN, GLOBAL}),
            ("starcoder", "llama", {NCHW, CONTEXT}),
            ("starcoder2", "llama", {NCHW, CONTEXT}),
            ("telechat", "llama", {TILING}),
        ],
    )
    def test_some_leave_variables_out(self, key, base, missing):
        whole = environment(profile(base))
        assert environment(profile(key)) == {
            name: value for name, value in whole.items() if name not in missing
        }

    def test_the_caller_may_change_what_it_gets(self):
        environment(profile("llama"))[REUSE] = "0"
        assert environment(profile("llama"))[REUSE] == "1"


class TestTokenizerOptions:
    @pytest.mark.parametrize("key", ["codellama", "deepseek", "glm", "phi3", "starcoder2", "yi1_5", "zhinao"])
    def test_the_default_is_fast_and_left(self, key):
        assert tokenizer_options(profile(key), {}) == DEFAULT

    @pytest.mark.parametrize(
        ("key", "options"),
        [
            ("bloom", {}),
            ("aquila2_34b", {"use_fast": True, "padding_side": "left", "pad_token": "<|endoftext|>"}),
            ("baichuan2_7b", {"use_fast": False, **LEFT}),
            ("gptneox_20b", LEFT),
            ("internlm", {"use_fast": False, "padding_side": "left"}),
            ("qwen", {"padding_side": "left", "pad_token": "<|extra_0|>", "eos_token": "<|endoftext|>"}),
            ("mistral", {**DEFAULT, "pad_token": "[PAD]"}),
            ("mixtral", {**DEFAULT, "pad_token": "[PAD]"}),
            ("starcoder", {**DEFAULT, "pad_token": "[PAD]"}),
            ("llama", {**DEFAULT, "pad_token_id": 0}),
            ("vicuna", {**DEFAULT, "pad_token_id": 0}),
        ],
    )
    def test_some_models_want_others(self, key, options):
        assert tokenizer_options(profile(key), {}) == options

    @pytest.mark.parametrize("key", ["llama", "yi", "yi1_5"])
    def test_sixty_layers_need_the_slow_tokenizer(self, key):
        assert tokenizer_options(profile(key), {"num_hidden_layers": 60})["use_fast"] is False
        assert tokenizer_options(profile(key), {"num_hidden_layers": 48})["use_fast"] is True

    @pytest.mark.parametrize("key", ["baichuan2_7b", "baichuan2_13b"])
    def test_the_small_baichuan_vocabulary_is_padded_with_id_zero(self, key):
        assert tokenizer_options(profile(key), {"vocab_size": 64000})["pad_token_id"] == 0
        assert "pad_token_id" not in tokenizer_options(profile(key), {"vocab_size": 125696})

    def test_the_caller_may_change_what_it_gets(self):
        tokenizer_options(profile("llama"), {})["use_fast"] = False
        assert tokenizer_options(profile("llama"), {})["use_fast"] is True


def test_the_model_words_are_known_without_heavy_imports():
    code = (
        "import sys; from modeltest.models.profiles import model_keys; model_keys(); "
        "import modeltest.models.checkpoint; "
        "sys.exit(bool({'torch', 'transformers', 'pandas', 'safetensors'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
