"""`modeltest locate` by cut checkpoints: whole bisections in workers, and what is refused before them."""

import json
import os
import shutil
import subprocess
import sys

import pytest

import modeltest
from modeltest.api import CutOptions, ModelTestError, PrerequisiteError, SpecError
from modeltest.library import bisecting
from modeltest.library.bisecting import _refuse_unbelieved, locate_by_bisection
from modeltest.locate.cut_standard import CutStandard, read_standard
from modeltest.locate.cutting import read_source, write_cut

torch = pytest.importorskip("torch")


def damaged(directory, target, layer):
    """Return a copy of a checkpoint whose feed-forward is a fifth too large in one layer."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(directory, target)
    (path,) = target.glob("*.safetensors")
    weights = load_file(path)
    name = f"model.layers.{layer}.mlp.down_proj.weight"
    weights[name] = (weights[name].float() * 1.2).to(weights[name].dtype)
    save_file(weights, path, metadata={"format": "pt"})
    return target


def located(*words):
    return subprocess.run(
        [sys.executable, "-m", "modeltest", "locate", *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
        timeout=280,
    )


@pytest.mark.slow
def test_a_damaged_layer_is_named_by_cut_checkpoints_and_these_are_removed(tmp_path, demo_model):
    port = damaged(demo_model("llama", "bfloat16"), tmp_path / "port", layer=1)
    words = ("--reference", demo_model("llama"), "--model", port, "--how", "bisection")
    done = located(*words, "--output", tmp_path / "out", "--limit", 2)
    assert done.returncode == 0, done.stderr
    answer = done.stdout.splitlines()[-1]
    assert answer.startswith("layer 1 (error ")
    (folder,) = (tmp_path / "out").iterdir()
    content = json.loads((folder / "locate.json").read_text())
    assert (content["layer"], content["operation"], content["answer"]) == (1, None, answer)
    assert [row["departs"] for row in content["rows"]] == [False, True]
    assert not (folder / "cuts").exists()
    for name in ("locate.json", "candidate-1", "candidate-2"):
        _remove(folder / name)
    # As after a kill: what is there is not asked again, the rest is.
    again = located(*words, "--output", tmp_path / "out", "--limit", 2)
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[-1] == answer
    assert not (folder / "cuts").exists()


def _remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def test_a_served_model_whose_dtype_nobody_says_is_refused(tmp_path, demo_model):
    with pytest.raises(SpecError, match="give --dtype"):
        locate_by_bisection(
            reference=demo_model("llama"), model="http://127.0.0.1:1/v1", engine="openai", output=tmp_path
        )


def test_an_engine_that_tells_no_log_probabilities_is_refused_by_name(tmp_path, demo_model, monkeypatch):
    from engines.fake import FakeEngine

    monkeypatch.setattr(FakeEngine, "capabilities", frozenset())
    with pytest.raises(PrerequisiteError, match="'fake' gives neither"):
        locate_by_bisection(
            reference=demo_model("llama"), model=demo_model("llama"), engine="fake", output=tmp_path
        )


def test_a_reference_with_other_layers_is_refused(tmp_path, demo_model):
    whole = read_source(demo_model("llama"))
    shorter = write_cut(whole, 1, tmp_path)
    spec = modeltest.spec_of("locate", reference=demo_model("llama"), model=shorter, engine="hf")
    with pytest.raises(SpecError, match="has 1 layers, the reference 2"):
        bisecting._cutting_for(spec, tmp_path)


def test_one_checkpoint_is_cut_once(tmp_path, demo_model):
    spec = modeltest.spec_of("locate", reference=demo_model("llama"), model=demo_model("llama"))
    cutting = bisecting._cutting_for(spec, tmp_path)
    assert len(cutting.sources) == 1
    assert cutting.of_candidate(1) == cutting.of_reference(1)


def test_a_bisection_that_ended_is_begun_anew_and_another_gone_on_with(tmp_path, demo_model):
    spec = modeltest.spec_of("locate", reference=demo_model("llama"), model="/m", output=tmp_path)
    first = bisecting._folder_of(spec)
    assert first.parent == tmp_path
    assert bisecting._folder_of(spec) == first
    first.mkdir()
    assert bisecting._folder_of(spec) == first
    (first / "locate.json").write_text("{}")
    assert bisecting._folder_of(spec).name == f"{first.name}-2"


STANDARD = CutStandard(((1, 2, 3),), 2, (((-1.0, -2.0), (-3.0, -4.0)),))


def test_a_cut_that_tells_what_the_layers_do_is_believed():
    _refuse_unbelieved(1, STANDARD, [-1.001, -2.0], CutOptions(STANDARD.ids))


@pytest.mark.parametrize("told", [[-1.01, -2.0], [-1.0, float("nan")]])
def test_a_cut_that_tells_something_else_is_not_believed(told):
    with pytest.raises(SpecError, match="cannot be cut"):
        _refuse_unbelieved(1, STANDARD, told, CutOptions(STANDARD.ids))


@pytest.mark.parametrize("content", [None, "{}", "[1"])
def test_a_standard_that_is_damaged_is_an_error_of_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "standard.json").write_text(content)
    with pytest.raises(ModelTestError, match=r"standard\.json"):
        read_standard(tmp_path)
