"""Which transformers the engine `hf` takes, and what it calls things there."""

import sys
import types
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from engines.hf.answering.rows import tree_feeder
from engines.hf.engine import HFEngine
from engines.hf.model import transformers_versions as versions
from modeltest.api import ModelInfo, PrerequisiteError, RunSpec
from modeltest.bootstrap.installed import read_project
from modeltest.installation import install_command


def _installed(monkeypatch, **found: str) -> None:
    def version(name: str) -> str:
        if name not in found:
            raise PackageNotFoundError(name)
        return found[name]

    monkeypatch.setattr(versions, "version", version)


@pytest.mark.parametrize("found", ["4.46.0", "4.46.3", "4.57.6", "5.0.0", "5.23.0", "5.23.9"])
def test_the_versions_in_between_are_taken(monkeypatch, found):
    _installed(monkeypatch, torch="2.13.0", transformers=found)
    assert versions.obstacle() is None


@pytest.mark.parametrize("found", ["4.45.2", "4.9.1", "5.24.0", "5.24.0.dev0", "6.0.0"])
def test_others_are_refused_with_the_range_and_what_to_install(monkeypatch, found):
    _installed(monkeypatch, torch="2.13.0", transformers=found)
    spec = RunSpec(engine="hf", mode="test", task="test", model="m", weights="w")
    model = ModelInfo("m", "m", "w", "llama", "float32", None, None, 128, 1, None)
    with pytest.raises(PrerequisiteError) as refused:
        HFEngine().check(spec, model)
    assert str(refused.value) == (
        f"engine hf cannot run here: it knows transformers 4.46 to 5.23, and {found} is installed: "
        f"{sys.executable} -m pip install 'transformers>=4.46,<5.24'"
    )
    assert refused.value.exit_code == 3


@pytest.mark.parametrize("missing", ["torch", "transformers"])
def test_what_is_not_installed_is_named(monkeypatch, missing):
    found = {"torch": "2.13.0", "transformers": "5.23.0"}
    del found[missing]
    _installed(monkeypatch, **found)
    said = versions.obstacle()
    assert said == (
        f"it needs torch and transformers, and {missing} is not installed: {install_command('hf')}"
    )


def test_the_extra_asks_for_the_same_range():
    asked = read_project(Path(__file__).resolve().parents[4]).extras["hf"]
    assert "transformers>=4.46,<5.24" in asked


@pytest.mark.parametrize(
    ("found", "called"), [("4.46.3", "torch_dtype"), ("4.56.0", "dtype"), ("5.23.0", "dtype")]
)
def test_the_dtype_is_passed_by_its_name_there(found, called):
    assert versions.dtype_argument(types.SimpleNamespace(__version__=found)) == called


@pytest.mark.parametrize(
    ("parameters", "called"),
    [
        ({"input_ids", "logits_to_keep"}, "logits_to_keep"),
        ({"input_ids", "num_logits_to_keep"}, "num_logits_to_keep"),
        ({"input_ids"}, None),
    ],
)
def test_the_logits_wanted_are_passed_by_the_name_a_model_knows(parameters, called):
    assert versions.keep_argument(parameters) == called


def test_with_a_version_that_keeps_attention_closed_rows_are_padded(monkeypatch):
    _installed(monkeypatch, torch="2.13.0", transformers="4.53.3")
    feeder, note = tree_feeder(object(), "cpu")
    assert feeder is None
    assert note == (
        "shared prefixes off: transformers 4.53.3 keeps a model's attention closed, 4.54 and newer open it"
    )
