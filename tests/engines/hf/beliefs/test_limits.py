"""Which lengths of a config are tried."""

from transformers import (
    Gemma3Config,
    GPTNeoConfig,
    Llama4TextConfig,
    LlamaConfig,
    MistralConfig,
    Phi3Config,
    Qwen2Config,
)

from engines.hf.beliefs.limits import limits_of


def test_the_window_and_the_trained_length_are_limits():
    config = MistralConfig(sliding_window=30, max_position_embeddings=512)
    assert limits_of(config) == (30, 512)


def test_lengths_inside_the_scaling_of_positions_are_limits():
    rope = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    config = LlamaConfig(
        max_position_embeddings=512, rope_scaling={**rope, "original_max_position_embeddings": 64}
    )
    assert limits_of(config) == (64, 512)


def test_longrope_has_the_length_at_which_factors_change():
    factors = [1.0] * 48
    config = Phi3Config(
        max_position_embeddings=400,
        original_max_position_embeddings=100,
        rope_scaling={"type": "longrope", "short_factor": factors, "long_factor": factors},
    )
    assert 100 in limits_of(config)


def test_a_nested_config_has_those_of_its_text():
    config = Gemma3Config(text_config={"sliding_window": 40, "max_position_embeddings": 300})
    assert {40, 300} <= set(limits_of(config))


def test_a_window_of_another_name_is_found():
    assert 256 in limits_of(GPTNeoConfig(window_size=256))


def test_the_length_at_which_a_model_begins_to_sharpen_its_attention_is_a_limit():
    config = Llama4TextConfig(attention_chunk_size=64, floor_scale=48, max_position_embeddings=512)
    assert limits_of(config) == (48, 64, 512)


def test_numbers_of_other_things_are_no_limits():
    config = LlamaConfig(hidden_size=96, num_hidden_layers=5, vocab_size=999, max_position_embeddings=512)
    assert limits_of(config) == (512,)


def test_a_number_of_layers_is_no_length():
    config = Qwen2Config(max_window_layers=28, max_position_embeddings=8192)
    assert limits_of(config) == (8192,)
