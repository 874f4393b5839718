import json
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import EngineError, ModelInfo, ModelTestError, RunSpec, SpecError
from modeltest.models.checkpoint import describe, inspect_checkpoint
from modeltest.models.profiles import model_keys, profile
from modeltest.plain.contracts import from_plain, to_plain

GPT_NEOX = {
    "model_type": "gpt_neox",
    "torch_dtype": "float16",
    "num_hidden_layers": 44,
    "max_position_embeddings": 2048,
    "vocab_size": 50432,
}
LLAMA = {
    "model_type": "llama",
    "torch_dtype": "float16",
    "num_hidden_layers": 32,
    "num_key_value_heads": 32,
    "max_position_embeddings": 4096,
    "vocab_size": 32000,
}

REMOTE_CODE = {"AutoConfig": "configuration_x.XConfig", "AutoModelForCausalLM": "modeling_x.XForCausalLM"}


def safetensors_bytes(data=b"\1\2\3\4"):
    tensors = {"w": {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}}
    header = json.dumps(tensors).encode()
    return struct.pack("<Q", len(header)) + header + data


def spec_for(weights, **changes):
    spec = RunSpec(engine="pa_fp16", mode="full_BoolQ", task="boolq", model="auto", weights=str(weights))
    return replace(spec, dtype="float16", **changes)


@pytest.fixture
def checkpoint(tmp_path):
    """A function that writes a whole checkpoint with the config given and returns its folder."""

    def write(config, **changes):
        text = config if isinstance(config, str) else json.dumps({**config, **changes}, indent=2)
        (tmp_path / "config.json").write_text(text)
        (tmp_path / "model.safetensors").write_bytes(safetensors_bytes())
        return tmp_path

    return write


def error_of(folder, kind=SpecError, **changes):
    """The message of the error, which must be one line."""
    with pytest.raises(kind) as caught:
        inspect_checkpoint(spec_for(folder, **changes))
    assert type(caught.value) is kind
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestWholeCheckpoint:
    def test_says_all_there_is_to_know(self, checkpoint):
        folder = checkpoint(LLAMA)
        info = inspect_checkpoint(spec_for(folder, model="llama"))
        assert (info.key, info.name, info.model_type) == ("llama", "llama2_7b", "llama")
        assert (info.path, info.dtype, info.quantize) == (str(folder), "float16", None)
        assert (info.max_position_embeddings, info.block_size, info.chips) == (4096, 128, 8)
        assert len(info.fingerprint) == 64
        assert info.tokenizer_options["pad_token_id"] == 0
        assert info.environment["TASK_QUEUE_ENABLE"] == "1"

    def test_survives_the_way_through_json(self, checkpoint):
        info = inspect_checkpoint(spec_for(checkpoint(LLAMA)))
        assert from_plain(ModelInfo, json.loads(json.dumps(to_plain(info)))) == info

    def test_a_relative_path_becomes_absolute(self, checkpoint, monkeypatch):
        folder = checkpoint(LLAMA)
        monkeypatch.chdir(folder.parent)
        assert inspect_checkpoint(spec_for(folder.name)).path == str(folder)

    def test_the_block_size_follows_the_config(self, checkpoint):
        folder = checkpoint({"model_type": "telechat", "n_layer": 38})
        info = inspect_checkpoint(spec_for(folder, model="telechat"))
        assert (info.name, info.block_size) == ("telechat-12b", 96)

    def test_the_fingerprint_changes_with_the_weights(self, checkpoint):
        folder = checkpoint(LLAMA)
        before = inspect_checkpoint(spec_for(folder)).fingerprint
        assert inspect_checkpoint(spec_for(folder, model="llama", seed=7)).fingerprint == before
        (folder / "model.safetensors").write_bytes(safetensors_bytes(b"\1\2\3\5"))
        assert inspect_checkpoint(spec_for(folder)).fingerprint != before


class TestPath:
    @pytest.mark.parametrize("weights", ["", "no/such/folder", "x" * 5000])
    def test_weights_that_do_not_exist_are_named(self, weights):
        assert f"'{weights}'" in error_of(weights)

    def test_a_file_is_not_a_folder(self, checkpoint):
        file = checkpoint(LLAMA) / "model.safetensors"
        assert f"weights '{file}' are not a folder" in error_of(file)

    def test_a_folder_without_config_is_no_checkpoint(self, tmp_path):
        assert f"weights '{tmp_path}' hold no config.json" in error_of(tmp_path)

    @pytest.mark.parametrize(("text", "message"), [("{", "config.json:1: not JSON"), ("[]", "holds a list")])
    def test_a_config_that_is_no_object_is_named(self, checkpoint, text, message):
        assert message in error_of(checkpoint(text))


class TestModelType:
    def test_a_type_with_line_breaks_keeps_the_message_on_one_line(self, checkpoint):
        assert r"model_type 'a\nb' does not fit" in error_of(
            checkpoint({"model_type": "a\nb"}), model="llama"
        )

    @pytest.mark.parametrize("value", [None, "", 3])
    def test_a_config_without_model_type_is_refused(self, checkpoint, value):
        folder = checkpoint(LLAMA, model_type=value)
        assert f"{folder / 'config.json'} names no model_type" in error_of(folder)

    def test_a_wrong_word_learns_what_it_takes_and_who_takes_this(self, checkpoint):
        folder = checkpoint({"dtype": "float16", "model_type": "chatglm"})
        message = error_of(folder, model="qwen")
        assert f"{folder / 'config.json'}:3: model_type 'chatglm' does not fit model 'qwen'" in message
        assert "takes qwen, qwen2, qwen2_moe, qwen3, qwen3_moe" in message
        assert "models that take it: chatglm, codegeex2_6b, auto" in message

    def test_a_type_no_word_takes_is_left_to_auto(self, checkpoint):
        folder = checkpoint(LLAMA, model_type="deepseek_v2")
        message = error_of(folder, model="deepseekv2")
        assert "models that take it: auto (checkpoints from Hugging Face say deepseek_v2" in message

    def test_an_unknown_word_is_refused(self, checkpoint):
        assert "unknown model 'lama'; did you mean llama" in error_of(checkpoint(LLAMA), model="lama")

    def test_auto_goes_by_the_type(self, checkpoint):
        info = inspect_checkpoint(spec_for(checkpoint(GPT_NEOX)))
        assert (info.key, info.name) == ("gpt_neox", "gpt_neox_44l")
        assert info.environment["PYTORCH_NPU_ALLOC_CONF"] == "max_split_size_mb:2048"

    def test_auto_takes_types_nobody_lists(self, checkpoint):
        info = inspect_checkpoint(spec_for(checkpoint({"model_type": "opt", "num_hidden_layers": 12})))
        assert (info.key, info.name, info.chips, info.block_size) == ("opt", "opt_12l", 1, 128)
        assert info.environment == {}

    @pytest.mark.parametrize("key", model_keys())
    def test_every_word_takes_a_bare_checkpoint_of_its_types(self, checkpoint, key):
        for model_type in profile(key).model_types:
            info = inspect_checkpoint(spec_for(checkpoint({"model_type": model_type}), model=key))
            assert (info.key, info.model_type) == (key, model_type)


class TestDtype:
    @pytest.mark.parametrize(
        ("config", "dtype"),
        [
            ({"torch_dtype": "float16"}, "float16"),
            ({"dtype": "float16"}, "float16"),
            ({"dtype": "bfloat16", "torch_dtype": "float16"}, "bfloat16"),
            ({"torch_dtype": "torch.bfloat16"}, "bfloat16"),
            ({"torch_dtype": "half"}, "float16"),
            ({"text_config": {"dtype": "float32"}}, "float32"),
            ({"text_config": {"torch_dtype": "float32"}}, "float32"),
            ({"dtype": "float16", "text_config": {"dtype": "float32"}}, "float16"),
            ({"dtype": None, "torch_dtype": "float16"}, "float16"),
            ({"dtype": "auto"}, None),
            ({"dtype": {"": "float16"}, "text_config": 3}, None),
            ({}, None),
        ],
    )
    def test_is_read_wherever_it_stands(self, checkpoint, config, dtype):
        folder = checkpoint({"model_type": "llama", **config})
        assert inspect_checkpoint(spec_for(folder, allow_dtype_cast=True)).dtype == dtype

    def test_another_dtype_than_the_word_asks_for_is_refused_with_its_line(self, checkpoint):
        folder = checkpoint('{\n  "model_type": "llama",\n\n  "torch_dtype": "bfloat16"\n}')
        message = error_of(folder)
        assert (
            f"{folder / 'config.json'}:4: torch_dtype is \"bfloat16\" but 'pa_fp16' runs float16" in message
        )
        assert 'change this line to "torch_dtype": "float16"' in message
        assert "--allow-dtype-cast" in message

    def test_the_line_is_that_of_the_entry_that_counts(self, checkpoint):
        folder = checkpoint(
            '{"model_type": "llama",\n"x": {"dtype": "float16"},\n"text_config": {\n"dtype": "float32"}}'
        )
        assert "config.json:4: dtype is" in error_of(folder)

    def test_a_cast_may_be_allowed(self, checkpoint):
        folder = checkpoint(LLAMA, torch_dtype="bfloat16")
        assert inspect_checkpoint(spec_for(folder, allow_dtype_cast=True)).dtype == "bfloat16"

    def test_a_word_without_dtype_takes_what_is_there(self, checkpoint):
        folder = checkpoint(LLAMA, torch_dtype="bfloat16")
        spec = replace(spec_for(folder), engine="hf", dtype=None)
        assert inspect_checkpoint(spec).dtype == "bfloat16"

    def test_a_config_without_dtype_fits_every_word(self, checkpoint):
        assert inspect_checkpoint(spec_for(checkpoint({"model_type": "llama"}))).dtype is None


class TestQuantize:
    def test_the_kind_is_part_of_what_is_known(self, checkpoint):
        assert inspect_checkpoint(spec_for(checkpoint(LLAMA, quantize="w8a8"))).quantize == "w8a8"
        assert inspect_checkpoint(spec_for(checkpoint(LLAMA))).quantize is None

    def test_weights_split_by_rank_are_read_rank_by_rank(self, checkpoint):
        folder = checkpoint(LLAMA, quantize="w8a8sc")
        weights = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").unlink()
        for rank in range(2):
            (folder / f"part{rank}-of-2").mkdir()
            (folder / f"part{rank}-of-2" / "model.safetensors").write_bytes(weights)
        info = inspect_checkpoint(spec_for(folder, world_size=2))
        assert (info.quantize, len(info.fingerprint)) == ("w8a8sc", 64)
        assert "part0-of-4 is missing for 4 devices; it was split for 2" in error_of(folder, world_size=4)
        (folder / "part1-of-2" / "model.safetensors").write_bytes(weights[:-1])
        assert "part1-of-2/model.safetensors is truncated" in error_of(folder, EngineError, world_size=2)


class TestRemoteCode:
    def test_a_checkpoint_with_code_needs_the_word(self, checkpoint):
        folder = checkpoint({"model_type": "baichuan", "auto_map": REMOTE_CODE})
        message = error_of(folder, model="baichuan2_7b")
        assert f"{folder / 'config.json'}:3: this checkpoint brings its own Python code" in message
        assert "trust_remote_code" in message
        assert "--trust-remote-code" in message

    def test_the_word_is_enough(self, checkpoint):
        folder = checkpoint({"model_type": "baichuan", "auto_map": REMOTE_CODE})
        info = inspect_checkpoint(spec_for(folder, trust_remote_code=True, model="baichuan2_13b"))
        assert info.name == "baichuan2_13b"

    def test_types_transformers_knows_do_not_need_the_code(self, checkpoint):
        folder = checkpoint({"model_type": "deepseek_v3", "auto_map": REMOTE_CODE})
        assert inspect_checkpoint(spec_for(folder)).name == "deepseek_v3"

    @pytest.mark.parametrize("code", [None, [], "AutoModelForCausalLM", {"AutoConfig": "c.C"}])
    def test_an_entry_without_a_language_model_is_passed_over(self, checkpoint, code):
        folder = checkpoint({"model_type": "baichuan", "auto_map": code})
        assert inspect_checkpoint(spec_for(folder)).model_type == "baichuan"


class TestContext:
    @pytest.mark.parametrize(
        ("config", "tokens"),
        [
            ({"max_position_embeddings": 4096, "n_ctx": 7}, 4096),
            ({"n_positions": 1024}, 1024),
            ({"max_sequence_length": 2048}, 2048),
            ({"seq_length": 32768}, 32768),
            ({"n_ctx": 1024}, 1024),
            ({"model_max_length": 4096}, 4096),
            ({"text_config": {"max_position_embeddings": 131072}}, 131072),
            ({"max_position_embeddings": "many", "seq_length": 8192}, 8192),
            ({"max_position_embeddings": True}, None),
            ({}, None),
        ],
    )
    def test_is_read_under_any_name(self, checkpoint, config, tokens):
        folder = checkpoint({"model_type": "llama", **config})
        assert inspect_checkpoint(spec_for(folder)).max_position_embeddings == tokens

    def test_the_last_word_of_the_command_wins(self, checkpoint):
        spec = spec_for(checkpoint(GPT_NEOX), model="gptneox_20b", max_position_embeddings=4096)
        info = inspect_checkpoint(spec)
        assert (info.name, info.max_position_embeddings) == ("gptneox_20b", 4096)


class TestWeights:
    def test_a_checkpoint_without_weights_is_refused(self, checkpoint):
        folder = checkpoint(LLAMA)
        (folder / "model.safetensors").unlink()
        assert f"{folder} holds no weights" in error_of(folder)

    def test_torch_weights_are_refused_with_a_way_out(self, checkpoint):
        folder = checkpoint(LLAMA)
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
        assert "convert them with: modeltest convert --model" in error_of(folder)

    def test_truncated_weights_are_the_engines_error(self, checkpoint):
        folder = checkpoint(LLAMA)
        (folder / "model.safetensors").write_bytes(safetensors_bytes()[:-1])
        assert "model.safetensors is truncated" in error_of(folder, EngineError)

    def test_words_that_do_not_fit_are_refused_before_weights_are_read(self, checkpoint):
        folder = checkpoint(LLAMA)
        (folder / "model.safetensors").write_bytes(b"")
        assert "does not fit" in error_of(folder, model="qwen")


@given(
    config=st.dictionaries(
        st.sampled_from(
            (
                "model_type",
                "dtype",
                "torch_dtype",
                "quantize",
                "quantization_config",
                "auto_map",
                "text_config",
                "num_hidden_layers",
                "n_layer",
                "max_position_embeddings",
                "_name_or_path",
            )
        ),
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=5)
        | st.lists(st.integers(), max_size=2)
        | st.dictionaries(st.sampled_from(("dtype", "quant_method", "n_layer")), st.integers()),
    ),
    key=st.sampled_from(("auto", "llama", "chatglm", "telechat")),
)
def test_any_config_is_inspected_or_refused_in_one_line(tmp_path_factory, config, key):
    folder = tmp_path_factory.mktemp("any")
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **config}))
    (folder / "model.safetensors").write_bytes(safetensors_bytes())
    try:
        assert inspect_checkpoint(spec_for(folder, model=key)).name
    except ModelTestError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right


class TestDescribe:
    def test_a_row_has_the_same_columns_for_every_model(self):
        rows = [describe(profile(key)) for key in model_keys()]
        assert {tuple(row) for row in rows} == {
            ("model", "model_type", "chips", "datasets", "block size", "in MindIE", "note")
        }

    def test_a_row_tells_all_block_sizes(self):
        assert describe(profile("telechat"))["block size"] == "128/96"
        row = describe(profile("gemma"))
        assert (row["model"], row["block size"], row["in MindIE"]) == ("gemma", "64", "no")
        assert (row["model_type"], row["chips"], row["datasets"]) == ("gemma", "8", "BoolQ")
