import json

import pytest

from modeltest.api import MINDIE_KINDS, SpecError
from modeltest.models.config_json import read_json_object
from modeltest.models.quantisation import quantisation, weight_folders

DESCRIPTION = "quant_model_description.json"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text('{\n"model_type": "llama"\n}')
    return tmp_path


def kind_of(folder, **config):
    if config:
        (folder / "config.json").write_text(json.dumps({"model_type": "llama", **config}, indent=1))
    return quantisation(read_json_object(folder / "config.json"))


def refusal(folder, **config):
    with pytest.raises(SpecError) as caught:
        kind_of(folder, **config)
    return str(caught.value)


@pytest.mark.parametrize("kind", MINDIE_KINDS)
def test_every_kind_of_mindie_is_read_from_the_config(folder, kind):
    assert kind_of(folder, quantize=kind) == kind
    assert kind_of(folder, quantize=kind.upper()) == kind


@pytest.mark.parametrize("value", ["w2a2", "", 8, ["w8a8"]])
def test_an_unknown_kind_is_refused_with_its_line(folder, value):
    message = refusal(folder, quantize=value)
    assert "config.json:3: unknown quantize " in message
    assert "known: w8a8, w8a8s" in message


@pytest.mark.parametrize("name", [DESCRIPTION, "quant_model_description_w8a8_dynamic.json"])
def test_the_description_says_it_when_the_config_does_not(folder, name):
    (folder / name).write_text('{"model_quant_type": "W8A8_DYNAMIC"}')
    assert kind_of(folder) == "w8a8_dynamic"


def test_the_config_wins_over_the_description(folder):
    (folder / DESCRIPTION).write_text('{"model_quant_type": "W8A8"}')
    assert kind_of(folder, quantize="w8a16") == "w8a16"


def test_mix_has_its_new_name_when_a_description_exists(folder):
    assert kind_of(folder, quantize="w8a8_mix") == "w8a8_mix"
    (folder / DESCRIPTION).write_text("{}")
    assert kind_of(folder) == "w8a8_pdmix"


def test_a_description_is_refused_by_its_own_name(folder):
    description = folder / DESCRIPTION
    description.write_text('{\n"model_quant_type": "w1"}')
    assert f"{description}:2: unknown model_quant_type" in refusal(folder)
    description.write_text("{")
    assert f"{description}:1: not JSON" in refusal(folder)


@pytest.mark.parametrize("method", ["gptq", "awq", "compressed-tensors"])
def test_the_method_of_transformers_is_told(folder, method):
    assert kind_of(folder, quantization_config={"quant_method": method, "bits": 4}) == method


@pytest.mark.parametrize("settings", [None, {}, [], {"group_size": 64}, {"quant_method": None}])
def test_settings_without_method_are_no_quantisation(folder, settings):
    assert kind_of(folder, quantization_config=settings) is None


@pytest.mark.parametrize("kind", [None, "w8a8", "w8a8s", "gptq"])
def test_weights_lie_in_the_folder_itself(tmp_path, kind):
    assert weight_folders(tmp_path, kind, 8) == (tmp_path,)


def test_compressed_weights_lie_in_a_folder_per_rank(tmp_path):
    with pytest.raises(SpecError, match=r"part0-of-1 is missing for 1 devices; there are no such folders"):
        weight_folders(tmp_path, "w8a8sc", 1)
    for rank in range(2):
        (tmp_path / f"part{rank}-of-2").mkdir()
    assert [path.name for path in weight_folders(tmp_path, "w8a8sc", 2)] == ["part0-of-2", "part1-of-2"]
    (tmp_path / "part1-of-2").rmdir()
    with pytest.raises(SpecError, match=r"part1-of-2 is missing for 2 devices; it was split for 2"):
        weight_folders(tmp_path, "w8a8sc", 2)
