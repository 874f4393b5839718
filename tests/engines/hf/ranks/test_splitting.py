"""Which splits are possible, read from files: real config.json files and the installed transformers."""

import importlib.metadata
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.hf.engine import HFEngine
from engines.hf.ranks import splitting
from engines.hf.ranks.splitting import Degrees, FamilyPlan, degrees, family_plan, world_sizes
from engines.hf.ranks.tensor_parallel import STYLES
from modeltest.api import Case, Cluster, ModelInfo, Parallel, PrerequisiteError, RunSpec

LLAMA = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128}


def _spec(world_size: int = 1, **changes: object) -> RunSpec:
    spec = RunSpec(engine="hf_fp32", mode="full_BoolQ", task="boolq", model="m", weights="w")
    return replace(spec, world_size=world_size, **changes)


def _model(folder: Path, model_type: str = "llama", config: dict | None = None) -> ModelInfo:
    (folder / "config.json").write_text(json.dumps(LLAMA if config is None else config))
    return ModelInfo("m", "m", str(folder), model_type, "float32", None, 64, 128, 1, None)


@pytest.mark.parametrize(
    ("world_size", "parallel", "found"),
    [
        (1, {}, (1, 1)),
        (4, {}, (1, 4)),
        (4, {"tp": 4}, (1, 4)),
        (4, {"dp": 4}, (4, 1)),
        (4, {"dp": 1, "tp": -1}, (1, 4)),
        (4, {"dp": 4, "tp": 1, "pp": 1, "sp": -1}, (4, 1)),
        (4, {"tp": 1}, (4, 1)),
    ],
)
def test_what_the_words_leave_open_is_the_split(world_size, parallel, found):
    assert degrees(_spec(world_size, parallel=Parallel(**parallel))) == Degrees(*found)


@pytest.mark.parametrize("degree", ["sp", "moe_tp", "moe_ep", "pp", "microbatch", "cp"])
def test_other_degrees_are_refused_not_ignored(degree, tmp_path):
    with pytest.raises(PrerequisiteError) as raised:
        HFEngine().check(_spec(2, parallel=Parallel(**{degree: 2})), _model(tmp_path))
    assert str(raised.value) == (
        f"engine hf knows the parallel degrees dp and tp; the words ask for {degree} 2: leave them at 1 or -1"
    )


@pytest.mark.parametrize(("dp", "tp", "size"), [(2, -1, 1), (-1, 2, 1), (2, 1, 4), (3, -1, 4), (2, 2, 3)])
def test_degrees_that_do_not_come_out_as_the_chips_are_refused(dp, tp, size):
    with pytest.raises(
        PrerequisiteError, match=rf"on {size} chips; their product must be the number of chips"
    ):
        degrees(_spec(size, parallel=Parallel(dp=dp, tp=tp)))


def test_split_replicas_are_refused():
    with pytest.raises(PrerequisiteError) as raised:
        degrees(_spec(4, parallel=Parallel(dp=2, tp=2)))
    assert str(raised.value) == (
        "engine hf has either replicas or one split model; the words ask for dp 2 and tp 2: "
        "leave one of them at 1"
    )


def test_the_ranks_of_several_nodes_share_the_work_as_those_of_one():
    cluster = Cluster("table.json", 2, 0, "10.0.0.1")
    assert degrees(_spec(16, cluster=cluster)) == Degrees(1, 16)
    assert degrees(_spec(16, cluster=cluster, parallel=Parallel(dp=16))) == Degrees(16, 1)


def test_a_timed_run_is_not_split_over_replicas(tmp_path):
    spec = _spec(2, parallel=Parallel(dp=2), cases=(Case(16, 4),), mode="performance")
    with pytest.raises(PrerequisiteError) as raised:
        HFEngine().check(spec, _model(tmp_path))
    assert str(raised.value) == (
        "dp 2 splits the questions of an accuracy run; performance times one batch on one model: give tp 2, "
        "or time one replica on 1 chip"
    )


@pytest.mark.parametrize("size", [3, 4, 8])
def test_a_split_that_does_not_divide_the_heads_says_which_do(tmp_path, size):
    with pytest.raises(PrerequisiteError) as raised:
        HFEngine().check(_spec(size), _model(tmp_path))
    assert str(raised.value) == (
        "m with 4 attention heads, 2 key/value heads, 128 feed-forward columns cannot be split over "
        f"{size} ranks; world sizes that work: 1, 2"
    )
    assert raised.value.exit_code == 3


@pytest.mark.parametrize("model_type", ["gpt2", "internlm2", "no_such_family"])
def test_a_family_without_a_plan_says_so_and_offers_replicas(tmp_path, model_type):
    with pytest.raises(PrerequisiteError) as raised:
        HFEngine().check(_spec(2), _model(tmp_path, model_type))
    assert str(raised.value) == (
        f"{model_type} cannot be split over 2 ranks: transformers {splitting.plan_version()} has no plan "
        "for this family; world sizes that work: 1, or any with replicas in accuracy runs, as in "
        "2 [2,-1,-1,-1,-1,-1,-1,-1]"
    )
    HFEngine().check(_spec(2, parallel=Parallel(dp=2)), _model(tmp_path, model_type))


def test_a_plan_with_other_exchanges_is_refused(tmp_path):
    with pytest.raises(PrerequisiteError, match=r"splits it in unknown ways \(.*moe_tp_experts"):
        HFEngine().check(_spec(2), _model(tmp_path, "mixtral"))


def test_a_config_without_heads_cannot_be_judged(tmp_path, monkeypatch):
    monkeypatch.setattr(splitting, "family_plan", lambda _: FamilyPlan("llama", ("colwise",), {}))
    with pytest.raises(PrerequisiteError, match="names no num_attention_heads"):
        HFEngine().check(_spec(2), _model(tmp_path, config={}))


def test_what_a_config_leaves_out_is_the_family_s(tmp_path):
    with pytest.raises(PrerequisiteError, match="32 attention heads, 11008 feed-forward columns cannot"):
        HFEngine().check(_spec(3), _model(tmp_path, config={}))


NESTED = {"text_config": {"model_type": "gemma3_text", **LLAMA}, "num_attention_heads": 3}


def test_a_nested_text_config_decides_how_a_model_is_split(tmp_path):
    HFEngine().check(_spec(2), _model(tmp_path, "gemma3", NESTED))
    with pytest.raises(PrerequisiteError) as raised:
        HFEngine().check(_spec(4), _model(tmp_path, "gemma3", NESTED))
    assert str(raised.value) == (
        "m with 4 attention heads, 2 key/value heads, 128 feed-forward columns cannot be split over "
        "4 ranks; world sizes that work: 1, 2"
    )


def test_what_a_nested_text_config_leaves_out_is_that_of_its_own_family(tmp_path):
    nested = {"text_config": {"model_type": "gemma3_text"}}
    with pytest.raises(
        PrerequisiteError, match="8 attention heads, 4 key/value heads, 9216 feed-forward columns cannot"
    ):
        HFEngine().check(_spec(3), _model(tmp_path, "gemma3", nested))


def test_what_is_around_the_text_part_must_be_split_in_known_ways_too(tmp_path, monkeypatch):
    plans = {
        "gemma3": FamilyPlan("gemma3", ("moe_tp_experts",), {}),
        "gemma3_text": FamilyPlan("gemma3_text", ("colwise",), {}),
    }
    monkeypatch.setattr(splitting, "family_plan", plans.get)
    with pytest.raises(PrerequisiteError, match=r"splits it in unknown ways \(moe_tp_experts\)"):
        HFEngine().check(_spec(2), _model(tmp_path, "gemma3", NESTED))


@pytest.mark.parametrize("nested", [{}, {"model_type": "none"}, {"model_type": "mllama_text_model"}])
def test_a_text_part_without_a_plan_is_refused(tmp_path, nested):
    with pytest.raises(PrerequisiteError, match=r"gemma3 cannot be split over 2 ranks: .* has no plan for"):
        HFEngine().check(_spec(2), _model(tmp_path, "gemma3", {"text_config": nested | LLAMA}))


@pytest.mark.parametrize("nested", [False, True])
def test_a_plan_that_changes_the_answers_is_refused(tmp_path, nested):
    text = {"model_type": "gemma3n_text", **LLAMA}
    family, config = ("gemma3n", {"text_config": text}) if nested else ("gemma3n_text", text)
    with pytest.raises(PrerequisiteError, match=r"splits it wrongly: it cuts activations off"):
        HFEngine().check(_spec(2), _model(tmp_path, family, config))


def test_a_plan_whose_answers_are_further_off_than_rounding_is_refused(tmp_path):
    with pytest.raises(PrerequisiteError, match=r"youtu cannot be split .* splits it inexactly"):
        HFEngine().check(_spec(2), _model(tmp_path, "youtu"))


def test_an_old_transformers_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(splitting, "plan_version", lambda: "4.46.1")
    with pytest.raises(PrerequisiteError, match=r"needs transformers 5\.20 or newer; installed is 4\.46\.1"):
        HFEngine().check(_spec(2), _model(tmp_path))


@pytest.mark.parametrize(
    "model_type",
    # The last two are in the folders of gemma3 and qwen3_5.
    ["gpt_neox", "llama", "qwen2", "qwen3", "gemma", "mistral", "phi3", "gemma3_text", "qwen3_5_text"],
)
def test_the_plan_read_from_the_source_is_that_of_the_imported_class(model_type):
    from transformers import AutoConfig

    plan = AutoConfig.for_model(model_type).base_model_tp_plan
    found = family_plan(model_type)
    assert found is not None
    assert found.styles == tuple(plan.values())


@pytest.mark.parametrize("model_type", ["gpt_neox", "llama", "qwen2", "gemma", "mistral"])
def test_plans_of_plain_decoders_are_known(model_type):
    found = family_plan(model_type)
    assert found is not None
    assert set(found.styles) <= STYLES


def test_nothing_heavy_is_imported_to_judge_a_split(tmp_path):
    _model(tmp_path)
    code = (
        "import sys; from engines.hf.ranks.splitting import check_split; "
        "from modeltest.api import ModelInfo; "
        f"check_split(ModelInfo('m', 'm', {str(tmp_path)!r}, 'llama', None, None, 64, 128, 1, None), 2); "
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


@given(st.lists(st.integers(1, 64), min_size=1, max_size=3))
def test_world_sizes_that_work_divide_every_count_and_no_other_does(counts):
    shape = {str(place): count for place, count in enumerate(counts)}
    fitting = world_sizes(shape)
    for size in range(1, 65):
        assert (size in fitting) == all(count % size == 0 for count in counts)


@pytest.mark.parametrize(
    ("installed", "said"),
    [(None, "which is not installed"), ("0.34.2", "installed is 0.34.2")],
    ids=["missing", "too old"],
)
def test_b5_a_split_without_accelerate_is_refused_before_anything_is_loaded(
    monkeypatch, tmp_path, installed, said
):
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name != "accelerate":
            return real(name)
        if installed is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(PrerequisiteError) as raised:
        HFEngine().check(_spec(2), _model(tmp_path))
    assert str(raised.value) == (
        f"splitting a model over 2 ranks needs accelerate 1.1 or newer, {said}: "
        f"{sys.executable} -m pip install 'accelerate>=1.1'; without it 1 rank works, and in accuracy runs "
        "replicas, "
        "as in 2 [2,-1,-1,-1,-1,-1,-1,-1]"
    )
    HFEngine().check(_spec(2, parallel=Parallel(dp=2)), _model(tmp_path))
