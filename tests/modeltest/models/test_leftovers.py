import json
import re
import struct

import pytest

from modeltest.api import EngineError, RunSpec, SpecError
from modeltest.models.checkpoint import inspect_checkpoint
from modeltest.models.config_json import read_json_object
from modeltest.models.layers import check_layers

LLAMA = {"model_type": "llama", "torch_dtype": "float32", "num_hidden_layers": 2, "vocab_size": 8}
EXTRA_MARKS = (".eh_proj.",)


def layers(count, prefix="model.layers", weight="mlp.up_proj.weight"):
    return [f"{prefix}.{number}.{weight}" for number in range(count)]


@pytest.fixture
def checkpoint(tmp_path):
    """A function that writes a checkpoint with these weights, of four bytes each, and inspects it."""

    def inspect(config, names, values=None):
        (tmp_path / "config.json").write_text(json.dumps(config, indent=2))
        tensors = {
            name: {"dtype": "U8", "shape": [4], "data_offsets": [4 * place, 4 * place + 4]}
            for place, name in enumerate(names)
        }
        header = json.dumps(tensors).encode()
        data = b"".join((values or {}).get(name, b"\1\2\3\4") for name in names)
        whole = struct.pack("<Q", len(header)) + header + data
        (tmp_path / "model.safetensors").write_bytes(whole)
        spec = RunSpec(engine="hf", mode="full_BoolQ", task="boolq", model="auto", weights=str(tmp_path))
        return inspect_checkpoint(spec)

    return inspect


@pytest.fixture
def config(tmp_path):
    """A function that makes a config as read from its file."""

    def read(**values):
        (tmp_path / "c.json").write_text(json.dumps(values))
        return read_json_object(tmp_path / "c.json")

    return read


class TestLayers:
    def test_a3_fewer_layers_in_the_config_than_in_the_weights_are_refused(self, checkpoint):
        with pytest.raises(
            EngineError, match=r"config.json:4: num_hidden_layers is 1, .* 1 more .*layers\.1 "
        ):
            checkpoint({**LLAMA, "num_hidden_layers": 1}, layers(2))

    @pytest.mark.parametrize("number", [0, -1, True, "2", 2.0])
    def test_a3_a_number_of_layers_that_no_model_has_is_refused(self, checkpoint, number):
        with pytest.raises(SpecError, match=r"config\.json:4: num_hidden_layers is"):
            checkpoint({**LLAMA, "num_hidden_layers": number}, layers(2))

    def test_a3_more_layers_in_the_config_than_in_the_weights_are_refused(self, checkpoint):
        with pytest.raises(EngineError, match=r"is 3, but the weights end with layer model\.layers\.1"):
            checkpoint({**LLAMA, "num_hidden_layers": 3}, layers(2))

    def test_as_many_layers_are_taken(self, checkpoint):
        assert checkpoint(LLAMA, layers(2)).harmless_weights == ()

    def test_a_layer_that_predicts_further_tokens_is_none_of_the_decoder(self, checkpoint):
        names = [*layers(3), "model.layers.2.eh_proj.weight"]
        (known,) = checkpoint(LLAMA, names).harmless_weights
        assert re.search(known.pattern, "model.layers.2.mlp.up_proj.weight")
        assert not re.search(known.pattern, "model.layers.1.mlp.up_proj.weight")
        assert "(MTP)" in known.reason

    def test_a_real_layer_before_such_a_head_is_still_refused(self, checkpoint):
        names = [*layers(3), "model.layers.2.eh_proj.weight"]
        with pytest.raises(EngineError, match="1 more decoder layer"):
            checkpoint({**LLAMA, "num_hidden_layers": 1}, names)

    @pytest.mark.parametrize(
        ("values", "names"),
        [
            ({"n_layer": 2}, layers(2, "h")),
            ({"n_layer": 2}, layers(2, "transformer.h")),
            ({"n_layers": 2}, layers(2, "transformer.blocks")),
            ({"num_layers": 2}, layers(2, "transformer.encoder.layers")),
            ({"text_config": {"num_hidden_layers": 2}}, layers(2, "language_model.model.layers")),
            ({"num_hidden_layers": 2}, [*layers(2), *layers(9, "vision_tower.encoder.layers")]),
            ({"num_hidden_layers": 2}, [*layers(2), *layers(9, "visual.blocks"), *layers(1, "mtp.layers")]),
            ({"num_hidden_layers": 2}, layers(2, weight="mlp.experts.7.up_proj.weight")),
            (
                {"num_hidden_layers": 12, "decoder_layers": 2},
                [*layers(2, "model.decoder.layers"), *layers(12, "model.encoder.layers")],
            ),
            ({}, layers(7)),
            ({"num_hidden_layers": 8}, [*layers(4, "model.L.layers"), *layers(4, "model.H.layers")]),
            ({"num_hidden_layers": 8}, ["w"]),
        ],
    )
    def test_families_that_name_their_layers_otherwise(self, config, values, names):
        assert check_layers(config(**values), names, extra_marks=EXTRA_MARKS) == ()

    def test_the_number_of_the_nested_text_config_counts(self, config):
        values = config(num_hidden_layers=9, text_config={"num_hidden_layers": 1})
        with pytest.raises(EngineError, match="is 1"):
            check_layers(values, layers(2), extra_marks=EXTRA_MARKS)


class TestHarmless:
    @pytest.mark.parametrize(
        ("model_type", "name", "reason"),
        [
            ("llama", "model.layers.0.self_attn.rotary_emb.inv_freq", "rotary"),
            ("gpt_neox", "gpt_neox.layers.0.attention.masked_bias", "masks"),
            ("gpt2", "h.0.attn.bias", "masks"),
            ("gpt_neo", "transformer.h.0.attn.attention.bias", "masks"),
            ("qwen3_next", "mtp.fc.weight", "MTP"),
            ("mimo", "model.mtp_layers.0.input_layernorm.weight", "MTP"),
            ("gemma3", "vision_tower.vision_model.post_layernorm.weight", "images"),
        ],
    )
    def test_a3_a_harmless_leftover_is_known_by_its_name(self, checkpoint, model_type, name, reason):
        (known,) = checkpoint({"model_type": model_type}, [name]).harmless_weights
        assert reason in known.reason

    @pytest.mark.parametrize(
        ("model_type", "name"),
        [
            ("llama", "model.layers.0.self_attn.q_proj.bias"),
            ("llama", "model.layers.0.attn.bias"),
            ("gpt2", "h.0.attn.c_attn.bias"),
            ("llama", "score.weight"),
            ("llama", "lm_head.weight"),
        ],
    )
    def test_anything_else_is_not(self, checkpoint, model_type, name):
        assert checkpoint({"model_type": model_type}, [name]).harmless_weights == ()


TIED = {**LLAMA, "tie_word_embeddings": True}
NAMES = (*layers(2), "model.embed_tokens.weight", "lm_head.weight")


class TestTied:
    def test_an_output_layer_that_is_the_embedding_is_harmless(self, checkpoint):
        (known,) = checkpoint(TIED, NAMES).harmless_weights
        assert "output layer" in known.reason

    def test_a3_an_output_layer_of_its_own_beside_a_config_that_ties_it_is_refused(self, checkpoint):
        with pytest.raises(EngineError, match=r"config\.json:6: tie_word_embeddings is true, but .* lm_head"):
            checkpoint(TIED, NAMES, {"lm_head.weight": b"\1\2\3\5"})

    def test_a_config_that_does_not_tie_them_allows_both(self, checkpoint):
        assert not checkpoint(LLAMA, NAMES, {"lm_head.weight": b"\1\2\3\5"}).harmless_weights
