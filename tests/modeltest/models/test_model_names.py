"""The display names the predecessor gave, from the configs of the published checkpoints."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.models.profiles import (
    block_size,
    model_keys,
    profile,
    profile_for_model_type,
    resolve_name,
    tokenizer_options,
)

# Fields the rules read, so that arbitrary configs often meet a rule half-way.
RULE_FIELDS = (
    "model_type",
    "num_hidden_layers",
    "n_layer",
    "intermediate_size",
    "max_window_layers",
    "max_position_embeddings",
    "max_sequence_length",
    "num_key_value_heads",
    "tie_word_embeddings",
    "vocab_size",
    "transformers_version",
    "_name_or_path",
    "text_config",
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
RULE_VALUES = JSON | st.sampled_from((32, 40, 60, 80, 4096, 131072, 128256, 18944, 11008, "qwen2", "a/b"))
CONFIGS = st.dictionaries(st.text(max_size=8), JSON, max_size=4) | st.dictionaries(
    st.sampled_from(RULE_FIELDS), RULE_VALUES
)


def name_of(key, **config):
    return resolve_name(profile(key), config)


def llama(layers, positions=None, *, vocabulary=32000, tied=False, first=False):
    heads = {} if first else {"num_key_value_heads": 8}
    length = {} if positions is None else {"max_position_embeddings": positions}
    return {
        "num_hidden_layers": layers,
        "vocab_size": vocabulary,
        "tie_word_embeddings": tied,
        **heads,
        **length,
    }


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (llama(32, first=True), "llama_7b"),
        (llama(40, first=True), "llama_13b"),
        (llama(60, 2048, first=True), "llama_33b"),
        (llama(80, 2048, first=True), "llama_65b"),
        (llama(32, 4096), "llama2_7b"),
        (llama(40, 4096), "llama2_13b"),
        (llama(80, 4096), "llama2_70b"),
        (llama(32, 8192, vocabulary=128256), "llama3_8b"),
        (llama(80, 8192, vocabulary=128256), "llama3_70b"),
        (llama(32, 131072, vocabulary=128256), "llama3.1_8b"),
        (llama(126, 131072, vocabulary=128256), "llama3.1_405b"),
        (llama(16, 131072, vocabulary=128256, tied=True), "llama3.2_1b"),
        (llama(28, 131072, vocabulary=128256, tied=True), "llama3.2_3b"),
        (llama(96, 4096), "llama2_175b"),
    ],
)
def test_llama_is_named_by_generation_and_layers(config, name):
    assert name_of("llama", **config) == name


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (llama(24, 4096), "llama_24l"),
        (llama(22, 2048), "llama_22l"),
        (llama(5, first=True), "llama_5l"),
        ({"num_key_value_heads": 8}, "llama"),
        ({}, "llama"),
    ],
)
def test_llamas_the_predecessor_crashed_on_are_named_by_their_layers(config, name):
    assert name_of("llama", **config) == name


def test_missing_fields_the_predecessor_needed_do_not_matter():
    without = {"num_key_value_heads": 8, "num_hidden_layers": 32, "max_position_embeddings": 131072}
    assert name_of("llama", **without) == "llama3.1_7b"


@pytest.mark.parametrize(
    ("size", "window", "version", "name"),
    [
        (2816, 21, "4.37.0", "qwen1.5_0.5b"),
        (5504, 21, "4.37.0", "qwen1.5_1.8b"),
        (6912, 35, "4.37.0", "qwen1.5_4b"),
        (11008, 28, "4.37.0", "qwen1.5_7b"),
        (11008, 70, "4.43.1", "qwen2.5_3b"),
        (13696, 35, "4.37.0", "qwen1.5_14b"),
        (27392, 35, "4.37.0", "qwen1.5_32b"),
        (24576, 70, "4.37.0", "qwen1.5_72b"),
        (27648, 70, "4.43.1", "qwen2.5_32b"),
        (27648, 64, "4.43.1", "qwen2.5_coder_32b"),
        (18944, 28, "4.41.2", "qwen2_7b"),
        (18944, 28, "4.43.1", "qwen2.5_7b"),
        (18944, 28, "4.44.0", "qwen2.5_coder_7b"),
        (29568, 80, "4.40.1", "qwen2_72b"),
        (29568, 70, "4.43.1", "qwen2.5_72b"),
        (13824, 70, "4.43.1", "qwen2.5_14b"),
        (4864, 21, "4.43.1", "qwen2.5_0.5b"),
        (8960, 21, "4.43.1", "qwen2.5_1.5b"),
        (18944, 28, "4.50.0", "qwen_28l"),
        (27648, 65, "4.43.1", "qwen_28l"),
        (999, 21, "4.43.1", "qwen_28l"),
    ],
)
def test_qwen2_is_named_by_its_intermediate_size(size, window, version, name):
    config = {"intermediate_size": size, "max_window_layers": window, "transformers_version": version}
    assert name_of("qwen", model_type="qwen2", num_hidden_layers=28, **config) == name


def test_qwen2_without_max_window_layers_is_named_by_its_layers():
    assert name_of("qwen", model_type="qwen2", intermediate_size=2816, num_hidden_layers=24) == "qwen_24l"


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"model_type": "qwen", "num_hidden_layers": 32}, "qwen_7b"),
        ({"model_type": "qwen", "num_hidden_layers": 40}, "qwen_14b"),
        ({"model_type": "qwen", "num_hidden_layers": 80}, "qwen_72b"),
        ({"model_type": "qwen", "num_hidden_layers": 24}, "qwen_24l"),
        ({"model_type": "qwen2_moe", "intermediate_size": 5632}, "qwen2_moe"),
        ({"model_type": "qwen3", "intermediate_size": 25600}, "qwen3_32b"),
        ({"model_type": "qwen3", "intermediate_size": 17408}, "qwen3_14b"),
        ({"model_type": "qwen3", "intermediate_size": 12288}, "qwen3_8b"),
        ({"model_type": "qwen3", "intermediate_size": 3072}, "qwen3"),
        ({"model_type": "qwen3_moe", "num_hidden_layers": 48}, "qwen3_moe_30b"),
        ({"model_type": "qwen3_moe", "num_hidden_layers": 94}, "qwen3_moe_235b"),
    ],
)
def test_the_other_qwens_have_names_of_their_own(config, name):
    assert name_of("qwen", **config) == name


@pytest.mark.parametrize(
    ("key", "config", "name"),
    [
        ("codellama", {"num_hidden_layers": 32}, "codellama_7b"),
        ("codellama", {"num_hidden_layers": 40}, "codellama_13b"),
        ("codellama", {"num_hidden_layers": 48}, "codellama_34b"),
        ("codellama", {"num_hidden_layers": 80}, "codellama_70b"),
        ("codellama", {"num_hidden_layers": 4}, "codellama_4l"),
        (
            "deepseek_coder",
            {"max_position_embeddings": 16384, "num_hidden_layers": 24},
            "deepseek_coder_1.3b",
        ),
        (
            "deepseek_coder",
            {"max_position_embeddings": 16384, "num_hidden_layers": 32},
            "deepseek_coder_6.7b",
        ),
        ("deepseek_coder", llama(30, 4096), "deepseek_coder_7b"),
        ("deepseek_coder", llama(62, 16384), "deepseek_coder_33b"),
        ("deepseek_coder", llama(62, 8192), "deepseek_coder_62l"),
        ("deepseek_llm", llama(30, 4096), "deepseek_llm_7b"),
        ("deepseek_llm", llama(95, 4096), "deepseek_llm_67b"),
        ("deepseek_llm", llama(31, 4096), "deepseek_llm_31l"),
        ("gemma", {"num_hidden_layers": 18}, "gemma-2b"),
        ("gemma", {"num_hidden_layers": 28}, "gemma-7b"),
        ("gemma", {"num_hidden_layers": 26}, "gemma_26l"),
        ("telechat", {"n_layer": 30}, "telechat-7b"),
        ("telechat", {"n_layer": 38}, "telechat-12b"),
        ("telechat", {"n_layer": 3}, "telechat_3l"),
        ("vicuna", {"num_hidden_layers": 32}, "vicuna_7b"),
        ("vicuna", {"num_hidden_layers": 40, "max_sequence_length": 16384}, "vicuna_13b_16k"),
        ("vicuna", {"num_hidden_layers": 40, "max_sequence_length": 2048}, "vicuna_13b"),
        ("wizard", {"num_hidden_layers": 48}, "wizard_34b"),
        ("wizard", {"num_hidden_layers": 40}, "wizard_40l"),
        ("yi", {"num_hidden_layers": 32, "max_position_embeddings": 4096}, "yi_6b"),
        ("yi", {"num_hidden_layers": 48, "max_position_embeddings": 4096}, "yi_9b"),
        ("yi", {"num_hidden_layers": 60, "max_position_embeddings": 200000}, "yi_34b_200k"),
        ("yi", {"num_hidden_layers": 60, "max_position_embeddings": 32768}, "yi_60l"),
        ("yi1_5", {"num_hidden_layers": 60, "max_position_embeddings": 4096}, "yi1.5_34b"),
        ("yi1_5", {"num_hidden_layers": 48}, "yi1.5_9b"),
        ("chatglm", {}, "glm-4"),
        ("chatglm", {"_name_or_path": "THUDM/chatglm3-6b"}, "chatglm3-6b"),
        ("chatglm", {"_name_or_path": "", "num_layers": 28}, "chatglm_28l"),
    ],
)
def test_families_are_named_by_their_tables(key, config, name):
    assert name_of(key, **config) == name


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("aquila2_7b", "aquila2_7b"),
        ("baichuan2_13b", "baichuan2_13b"),
        ("bloom", "bloom"),
        ("deepseek", "deepseek"),
        ("deepseekv2", "deepseekv2"),
        ("deepseekv3", "deepseek_v3"),
        ("ernie_moe", "ernie"),
        ("glm", "glm4_moe"),
        ("gptneox_20b", "gptneox_20b"),
        ("internlm", "internlm"),
        ("minicpm_spec", "minicpm_spec"),
        ("ziya", "ziya"),
    ],
)
def test_the_others_have_one_name_whatever_the_config(key, name):
    assert name_of(key) == name_of(key, num_hidden_layers=7) == name


def test_a_model_chosen_by_type_shows_no_size_it_may_not_have():
    assert resolve_name(profile_for_model_type("gpt_neox"), {"num_hidden_layers": 6}) == "gpt_neox_6l"
    assert resolve_name(profile_for_model_type("baichuan"), {"num_hidden_layers": 40}) == "baichuan_40l"
    assert resolve_name(profile_for_model_type("opt"), {}) == "opt"


@given(key=st.sampled_from(model_keys()), config=CONFIGS)
def test_no_config_whatever_is_without_name_options_and_block_size(key, config):
    known = profile(key)
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", resolve_name(known, config))
    assert set(known.tokenizer) <= set(tokenizer_options(known, config))
    assert block_size(known, config) in (64, 96, 128)


@given(model_type=st.text(min_size=1, max_size=12), config=CONFIGS)
def test_no_model_type_is_without_a_name(model_type, config):
    assert resolve_name(profile_for_model_type(model_type), config)
