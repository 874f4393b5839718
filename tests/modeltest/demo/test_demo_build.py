"""Writing a demo checkpoint: the same bytes every time, whole or not at all, and never over other files."""

import builtins
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors import safe_open

from modeltest.api import PrerequisiteError, SpecError
from modeltest.demo import FAMILIES, build, build_demo_model
from modeltest.demo.families import (
    BIAS_SD,
    FAMILY_BY_NAME,
    HIDDEN,
    LAYERS,
    VOCABULARY_SIZE,
    WEIGHT_SD,
)
from modeltest.installation import install_command

JSON_FILES = {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"}

every_family = pytest.mark.parametrize("family", FAMILIES)


def digests(directory):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()}


def tensors(directory):
    with safe_open(directory / "model.safetensors", framework="pt") as weights:
        return {name: weights.get_tensor(name) for name in weights.keys()}  # noqa: SIM118


class TestFiles:
    @every_family
    def test_are_those_of_a_published_checkpoint(self, family, demo_model):
        code = {"configuration_internlm2.py", "modeling_internlm2.py"} if family == "internlm2" else set()
        assert set(digests(demo_model(family))) == {"model.safetensors", *JSON_FILES, *code}

    @every_family
    def test_are_tiny(self, family, demo_model):
        assert sum(path.stat().st_size for path in demo_model(family).iterdir()) < 4_000_000

    def test_may_be_read_by_whom_the_umask_allows(self, tmp_path, demo_model):
        plain = tmp_path / "plain"
        plain.write_text("")
        modes = {path.stat().st_mode & 0o777 for path in demo_model("llama").iterdir()}
        assert modes == {plain.stat().st_mode & 0o777}

    @every_family
    def test_all_token_ids_of_the_config_are_in_the_vocabulary(self, family, demo_model):
        config = json.loads((demo_model(family) / "config.json").read_text())
        ids = [config[f"{role}_token_id"] for role in ("bos", "eos", "pad")]
        assert all(0 <= number < config["vocab_size"] == VOCABULARY_SIZE for number in ids)

    def test_the_returned_path_is_the_directory(self, tmp_path):
        assert build_demo_model("llama", tmp_path / "a" / "b") == tmp_path / "a" / "b"


class TestDeterminism:
    @every_family
    def test_equal_arguments_give_equal_bytes(self, family, demo_model, tmp_path):
        assert digests(build_demo_model(family, tmp_path / "again")) == digests(demo_model(family))

    def test_another_process_gives_equal_bytes(self, demo_model, tmp_path):
        code = (
            "import sys, pathlib; from modeltest.demo import build_demo_model;"
            "build_demo_model('llama', pathlib.Path(sys.argv[1]))"
        )
        environment = {"PYTHONHASHSEED": "1", "TOKENIZERS_PARALLELISM": "true", "OMP_NUM_THREADS": "2"}
        command = [sys.executable, "-c", code, str(tmp_path / "again")]
        subprocess.run(command, check=True, env=environment)
        assert digests(tmp_path / "again") == digests(demo_model("llama"))

    def test_another_seed_changes_the_weights_only(self, demo_model, tmp_path):
        first, second = (
            digests(demo_model("llama")),
            digests(build_demo_model("llama", tmp_path / "b", seed=1)),
        )
        assert {name for name in first if first[name] != second[name]} == {"model.safetensors"}

    def test_the_global_random_state_is_left_alone(self, tmp_path):
        import torch

        before = torch.random.get_rng_state()
        build_demo_model("gpt2", tmp_path / "model", seed=5)
        assert torch.equal(torch.random.get_rng_state(), before)


class TestWeights:
    @every_family
    def test_are_named_and_shaped_as_declared(self, family, demo_model):
        declared = dict(FAMILY_BY_NAME[family].all_weights()) | dict(FAMILY_BY_NAME[family].all_norms())
        found = {name: tuple(weight.shape) for name, weight in tensors(demo_model(family)).items()}
        assert found == declared

    @every_family
    def test_have_the_declared_spread(self, family, demo_model):
        for name, weight in tensors(demo_model(family)).items():
            if weight.numel() >= 1000:
                sd = FAMILY_BY_NAME[family].sd_of(name)
                assert weight.std().item() == pytest.approx(sd, rel=0.05), name
                assert weight.abs().max() <= sd * 3**0.5, name

    @every_family
    def test_attention_output_is_larger_and_biases_are_smaller(self, family):
        shape = FAMILY_BY_NAME[family]
        sds = {name: shape.sd_of(name) for name, _ in shape.all_weights()}
        assert sum(sd == 8 * WEIGHT_SD for sd in sds.values()) == LAYERS
        assert {sd for name, sd in sds.items() if name.endswith(".bias")} <= {BIAS_SD}

    @every_family
    def test_norms_scale_by_one(self, family, demo_model):
        weights = tensors(demo_model(family))
        for name, shape in FAMILY_BY_NAME[family].all_norms():
            assert shape == (HIDDEN,)
            # gemma's norm multiplies by one plus the weight
            assert set(weights[name].tolist()) == {0.0 if family == "gemma" else 1.0}, name

    def test_say_that_they_are_for_torch(self, demo_model):
        with safe_open(demo_model("llama") / "model.safetensors", framework="pt") as weights:
            assert weights.metadata() == {"format": "pt"}


class TestRefusals:
    def test_an_unknown_family_is_named_with_the_known_ones(self, tmp_path):
        with pytest.raises(SpecError, match="unknown demo family 'bert'; available: gpt2, gpt_neox, gemma"):
            build_demo_model("bert", tmp_path / "model")

    def test_an_unknown_dtype_is_named_with_the_known_ones(self, tmp_path):
        with pytest.raises(SpecError, match="unknown dtype 'int8'; available: float32, bfloat16, float16"):
            build_demo_model("gpt2", tmp_path / "model", dtype="int8")
        assert list(tmp_path.iterdir()) == []

    def test_a_directory_with_files_is_refused_and_kept(self, tmp_path):
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(SpecError, match=r"not empty.*--force"):
            build_demo_model("gpt2", tmp_path)
        assert (tmp_path / "notes.txt").read_text() == "mine"

    def test_an_empty_directory_is_used(self, tmp_path):
        (tmp_path / "empty").mkdir()
        assert (build_demo_model("gpt2", tmp_path / "empty") / "config.json").exists()

    def test_force_replaces_an_earlier_model_completely(self, tmp_path):
        build_demo_model("internlm2", tmp_path / "model")
        build_demo_model("llama", tmp_path / "model", force=True)
        assert set(digests(tmp_path / "model")) == {"model.safetensors", *JSON_FILES}
        assert [path.name for path in tmp_path.iterdir()] == ["model"]

    def test_force_never_removes_other_files(self, tmp_path):
        build_demo_model("llama", tmp_path / "model")
        (tmp_path / "model" / "thesis.tex").write_text("mine")
        with pytest.raises(SpecError, match=r"holds thesis\.tex"):
            build_demo_model("llama", tmp_path / "model", force=True)
        assert (tmp_path / "model" / "thesis.tex").read_text() == "mine"

    def test_a_file_in_the_place_of_the_directory_is_refused(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(SpecError, match="is a file"):
            build_demo_model("llama", tmp_path / "file", force=True)

    def test_a_file_in_the_place_of_a_parent_is_refused(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(SpecError, match=r"cannot write .*Not a directory"):
            build_demo_model("llama", tmp_path / "file" / "model")

    def test_the_current_directory_is_refused(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SpecError, match="current directory"):
            build_demo_model("llama", Path())

    @pytest.mark.parametrize("missing", ["torch", "safetensors", "tokenizers"])
    def test_a_missing_package_is_named_with_the_command_that_brings_it(self, missing, tmp_path, monkeypatch):
        real = build.find_spec
        monkeypatch.setattr(build, "find_spec", lambda name: None if name == missing else real(name))
        with pytest.raises(PrerequisiteError, match=rf"needs {missing}.*{re.escape(install_command('hf'))}"):
            build_demo_model("llama", tmp_path / "model")


class TestFailure:
    def test_leaves_nothing_behind(self, tmp_path, monkeypatch):
        monkeypatch.setattr(build, "tokenizer_files", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            build_demo_model("llama", tmp_path / "model")
        assert list(tmp_path.iterdir()) == []

    def test_keeps_the_model_that_was_to_be_replaced(self, tmp_path, monkeypatch):
        build_demo_model("llama", tmp_path / "model")
        before = digests(tmp_path / "model")
        monkeypatch.setattr(build, "tokenizer_files", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            build_demo_model("gpt2", tmp_path / "model", force=True)
        assert digests(tmp_path / "model") == before

    def test_a_full_disk_is_told_as_such(self, tmp_path, monkeypatch):
        def no_space(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(build, "tokenizer_files", no_space)
        with pytest.raises(PrerequisiteError, match="No space left on device"):
            build_demo_model("llama", tmp_path / "model")
        assert list(tmp_path.iterdir()) == []


def test_importing_the_package_imports_nothing_heavy():
    code = (
        "import sys, modeltest.demo;"
        "print(sorted({'torch', 'transformers', 'tokenizers', 'safetensors'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_building_does_without_transformers(tmp_path, monkeypatch):
    real = builtins.__import__

    def without_transformers(name, *rest, **options):
        if name.split(".")[0] == "transformers":
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without_transformers)
    assert (build_demo_model("internlm2", tmp_path / "model") / "model.safetensors").is_file()
