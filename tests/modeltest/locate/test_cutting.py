"""Checkpoints of the first layers: what they hold, what they share, and that transformers loads them."""

import json
import shutil

import pytest

from modeltest.api import PrerequisiteError, SpecError
from modeltest.locate import cutting
from modeltest.locate.cut_logprobs import logprobs_behind_layers
from modeltest.locate.cutting import OUTSIDE, cut_config, read_source, require_room, write_cut
from modeltest.models.layers import LayerField
from modeltest.models.weights import read_weight_files

torch = pytest.importorskip("torch")
IDS = tuple(range(40, 70))


def plain_logprobs(model, ids):
    asked = torch.tensor([ids])
    logprobs = model(input_ids=asked).logits[0, :-1].float().log_softmax(-1)
    return logprobs.gather(-1, asked[0, 1:, None])[:, 0].tolist()


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma", "qwen2", "gpt_neox"])
def test_a_cut_tells_what_the_first_layers_of_the_whole_model_do(tmp_path, demo_model, family):
    from transformers import AutoModelForCausalLM

    directory = demo_model(family)
    whole = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    right = logprobs_behind_layers(whole, IDS)
    source = read_source(directory)
    assert source.layers == len(right)
    assert right[-1] == pytest.approx(plain_logprobs(whole, IDS), abs=1e-5)
    for layers in range(1, source.layers):
        cut = write_cut(source, layers, tmp_path)
        loaded, info = AutoModelForCausalLM.from_pretrained(
            cut, dtype=torch.float32, output_loading_info=True
        )
        assert not info["missing_keys"]
        assert not info["unexpected_keys"]
        assert plain_logprobs(loaded.eval(), IDS) == pytest.approx(right[layers - 1], abs=1e-5)
    assert right[0] != pytest.approx(right[-1], abs=1e-3)


def test_cuts_share_the_files_of_their_layers(tmp_path, demo_model):
    source = read_source(demo_model("llama"))
    one = write_cut(source, 1, tmp_path)
    two = write_cut(source, source.layers, tmp_path)
    for name in (OUTSIDE, "layer-00000.safetensors"):
        assert (one / name).samefile(two / name)
    assert len(list(one.glob("*.safetensors"))) == 2
    sizes = {path.stat().st_ino: path.stat().st_size for path in tmp_path.rglob("*.safetensors")}
    assert source.size_bytes < sum(sizes.values()) < 1.1 * source.size_bytes + 65536
    assert json.loads((one / "config.json").read_text())["num_hidden_layers"] == 1
    assert len(read_weight_files(one)) == 2


def test_disks_without_hard_links_get_links_by_name(tmp_path, demo_model, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(cutting.os, "link", refuse)
    cut = write_cut(read_source(demo_model("llama")), 1, tmp_path)
    assert (cut / OUTSIDE).is_symlink()
    assert len(read_weight_files(cut)) == 2


def test_a_cut_that_was_begun_is_made_anew_and_one_that_is_there_is_left(tmp_path, demo_model):
    source = read_source(demo_model("llama"))
    (tmp_path / ".1-layers.tmp").mkdir()
    (tmp_path / ".1-layers.tmp" / "rest").write_text("")
    cut = write_cut(source, 1, tmp_path)
    assert not (cut / "rest").exists()
    (cut / "mark").write_text("")
    assert (write_cut(source, 1, tmp_path) / "mark").exists()


def test_tokenizer_and_other_files_come_along_and_other_weights_do_not(tmp_path, demo_model):
    shutil.copytree(demo_model("llama"), tmp_path / "m")
    (tmp_path / "m" / "pytorch_model.bin").write_bytes(b"")
    cut = write_cut(read_source(tmp_path / "m"), 1, tmp_path / "cuts")
    assert (cut / "tokenizer.json").exists()
    assert not (cut / "pytorch_model.bin").exists()


def test_lists_of_one_entry_per_layer_are_cut_and_others_are_not():
    values = {
        "num_hidden_layers": 4,
        "layer_types": ["a", "b", "a", "b"],
        "eos_token_id": [1, 2, 3, 4],
        "rope": [1, 2],
        "hidden_size": 4,
    }
    cut = cut_config(values, LayerField(("num_hidden_layers",), 4), 3)
    assert cut == {**values, "num_hidden_layers": 3, "layer_types": ["a", "b", "a"]}


def test_a_nested_config_is_cut_where_its_layers_are_named():
    values = {"model_type": "x", "text_config": {"num_hidden_layers": 2, "layer_types": ["a", "b"]}}
    cut = cut_config(values, LayerField(("text_config", "num_hidden_layers"), 2), 1)
    assert cut["text_config"] == {"num_hidden_layers": 1, "layer_types": ["a"]}
    assert values["text_config"]["num_hidden_layers"] == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_hidden_layers": None}, "layers of a llama model are not understood"),
        ({"num_hidden_layers": 1}, "layers of a llama model are not understood"),
        ({"num_kv_shared_layers": 1}, "num_kv_shared_layers the first layers of a llama"),
    ],
)
def test_layers_that_are_not_understood_are_refused_by_name(tmp_path, demo_model, change, said):
    shutil.copytree(demo_model("llama"), tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(SpecError, match=said):
        read_source(tmp_path / "m")


def test_a_disk_without_room_is_refused_before_anything_is_written(tmp_path, demo_model, monkeypatch):
    source = read_source(demo_model("llama"))
    assert require_room([source], tmp_path) == source.size_bytes
    used = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(cutting.shutil, "disk_usage", lambda _: used._replace(free=source.size_bytes - 1))
    with pytest.raises(PrerequisiteError, match="make room"):
        require_room([source], tmp_path)
