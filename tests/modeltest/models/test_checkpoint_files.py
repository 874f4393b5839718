import json
import struct

import pytest

from modeltest.api import RunSpec
from modeltest.models.checkpoint import fingerprint_before, inspect_checkpoint
from modeltest.models.weights import earlier_fingerprint, read_weight_files

CONFIG = {"model_type": "llama", "torch_dtype": "float32"}


def write_weights(path, *, names=("a", "b"), size=100_000, edit=None):
    tensors = {
        name: {"dtype": "U8", "shape": [size], "data_offsets": [place * size, (place + 1) * size]}
        for place, name in enumerate(names)
    }
    data = bytearray(size * len(names))
    if edit is not None:
        data[edit : edit + 10] = b"\7" * 10
    header = json.dumps(tensors).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(data))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    write_weights(tmp_path / "model.safetensors")
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"):
        (tmp_path / name).write_text("{}")
    return tmp_path


def info_of(folder, **changes):
    spec = RunSpec(engine="hf", mode="m", task="t", model="auto", weights=str(folder), **changes)
    return inspect_checkpoint(spec)


@pytest.mark.parametrize(
    "name",
    [
        *("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"),
        *("chat_template.jinja", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt"),
        *("tokenizer.model", "vocab.txt", "additional_chat_templates/tool.jinja", "qwen.tiktoken"),
    ],
)
def test_a6_every_file_that_decides_an_answer_is_in_the_fingerprint(folder, name):
    before = info_of(folder)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps({**CONFIG, "more": 1}))
    after = info_of(folder)
    assert after.fingerprint != before.fingerprint
    assert {each for each in after.files if after.files[each] != before.files.get(each)} == {name}


@pytest.mark.parametrize("name", ["README.md", "LICENSE.txt", "trainer_state.json", "picture.png"])
def test_what_no_loader_reads_is_not(folder, name):
    before = info_of(folder)
    (folder / name).write_text("{}")
    assert info_of(folder) == before


def test_a6_code_counts_where_it_is_run(folder):
    plain, trusted = info_of(folder), info_of(folder, trust_remote_code=True)
    (folder / "modeling").mkdir()
    (folder / "modeling" / "parts.py").write_text("x = 1")
    assert info_of(folder) == plain
    after = info_of(folder, trust_remote_code=True)
    assert after.files.keys() - trusted.files.keys() == {"modeling/parts.py"}


def test_a6_an_adapter_that_is_asked_for_counts(folder, tmp_path_factory):
    adapters = tmp_path_factory.mktemp("adapters")
    for name in ("one", "two"):
        (adapters / name).mkdir()
        write_weights(adapters / name / "adapter_model.safetensors")
    paths = {name: str(adapters / name) for name in ("one", "two")}
    (folder / "lora_adapter.json").write_text(json.dumps(paths))
    (adapters / "data.jsonl").write_text('{"0": "one"}\n')
    before = info_of(folder, lora=str(adapters / "data.jsonl"))
    write_weights(adapters / "two" / "adapter_model.safetensors", edit=50_000)
    assert info_of(folder, lora=str(adapters / "data.jsonl")) == before
    write_weights(adapters / "one" / "adapter_model.safetensors", edit=50_000)
    after = info_of(folder, lora=str(adapters / "data.jsonl"))
    assert after.files["lora one/adapter_model.safetensors"] not in before.files.values()
    assert "the data of lora" in after.files


def test_one_matrix_that_was_edited_makes_other_weights(folder):
    before = info_of(folder)
    write_weights(folder / "model.safetensors", edit=150_000)  # the middle of the second
    assert info_of(folder).files["model.safetensors"] != before.files["model.safetensors"]


def test_the_fingerprint_of_earlier_runs_can_still_be_told(folder):
    files = read_weight_files(folder)
    spec = RunSpec(engine="hf", mode="m", task="t", model="auto", weights=str(folder))
    assert fingerprint_before(spec) == earlier_fingerprint((folder / "config.json").read_bytes(), files)
