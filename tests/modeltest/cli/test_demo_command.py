"""`modeltest demo-model`: options in, a checkpoint and the next command out."""

import json
import shlex

import pytest
from click.testing import CliRunner

from modeltest.api import PrerequisiteError, SpecError
from modeltest.cli.demo import demo_model as command
from modeltest.demo import FAMILIES, build


def invoke(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def config_of(directory):
    return json.loads((directory / "config.json").read_text())


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_written(family, tmp_path):
    result = invoke(family, tmp_path / "model")
    assert (result.exit_code, config_of(tmp_path / "model")["model_type"]) == (0, family)
    assert f"wrote a {family} model, fp32, seed 0" in result.output
    assert str(tmp_path / "model") in result.output


@pytest.mark.parametrize(("word", "dtype"), [("fp32", "float32"), ("bf16", "bfloat16"), ("fp16", "float16")])
def test_dtype_words_name_torch_dtypes(word, dtype, tmp_path):
    assert invoke("gpt2", tmp_path / "model", "--dtype", word).exit_code == 0
    assert config_of(tmp_path / "model")["dtype"] == dtype


def test_the_seed_decides_the_weights(tmp_path):
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        invoke("llama", tmp_path / name, "--seed", seed)
    first, same, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert first == same != other


@pytest.mark.parametrize("family", ["llama", "internlm2"])
def test_the_command_it_recommends_is_one_run_sh_understands(family, tmp_path):
    from modeltest.grammar.modes import all_modes
    from modeltest.grammar.parse import parse
    from modeltest.models.profiles import model_keys
    from modeltest.registry import declared_modes

    output = invoke(family, tmp_path / "model", "--dtype", "bf16").output
    words = shlex.split(output.split("try it: ")[1])
    assert words[:2] == ["bash", "run.sh"]
    spec = parse(words[2:], modes=all_modes(declared_modes()), model_keys=model_keys())
    assert (spec.engine, spec.dtype, spec.task) == ("hf_bf16", "bfloat16", "boolq")
    assert spec.weights == str(tmp_path / "model")
    assert spec.trust_remote_code == (family == "internlm2")


def test_an_existing_model_is_replaced_with_force_only(tmp_path):
    invoke("llama", tmp_path / "model")
    assert isinstance(invoke("gpt2", tmp_path / "model").exception, SpecError)
    assert config_of(tmp_path / "model")["model_type"] == "llama"
    assert invoke("gpt2", tmp_path / "model", "--force").exit_code == 0
    assert config_of(tmp_path / "model")["model_type"] == "gpt2"


@pytest.mark.parametrize(
    "arguments",
    [("bert",), ("llama", "--dtype", "int8"), ("llama", "--seed", "-1"), ("llama", "--seed", 2**63)],
)
def test_wrong_words_end_with_two_and_the_allowed_ones(arguments, tmp_path):
    family, *options = arguments
    result = invoke(family, tmp_path / "model", *options)
    assert result.exit_code == 2
    assert not (tmp_path / "model").exists()


def test_missing_packages_are_a_prerequisite(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "find_spec", lambda _name: None)
    error = invoke("llama", tmp_path / "model").exception
    assert isinstance(error, PrerequisiteError)
    assert error.exit_code == 3
