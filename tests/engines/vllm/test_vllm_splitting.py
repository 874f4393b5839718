"""Over how many ranks vLLM splits a model, and what is refused before it is loaded."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from engines.vllm.splitting import Degrees, check_split, degrees, rank_use, share_of_cache
from engines.vllm.variables import variables
from modeltest.api import Case, Cluster, ModelInfo, Parallel, PrerequisiteError, RankUse, RunSpec

SPEC = RunSpec("vllm_fp32", "m", "t", "llama", "w", world_size=2)


@pytest.fixture
def checked(tmp_path):
    """Return what checks a spec for a model with this config."""

    def check(spec, **config):
        (tmp_path / "config.json").write_text(json.dumps(config))
        check_split(spec, ModelInfo("m", "m", str(tmp_path), "llama", None, None, 512, 128, 1, None))

    return check


@pytest.mark.parametrize(
    ("heads", "kept", "size"), [(4, 2, 2), (4, 2, 4), (4, 1, 4), (9, 3, 9), (8, None, 8)]
)
def test_ranks_that_divide_the_heads_are_taken(checked, heads, kept, size):
    checked(replace(SPEC, world_size=size), num_attention_heads=heads, num_key_value_heads=kept)


@pytest.mark.parametrize("nested", [False, True])
def test_other_ranks_are_refused_with_those_that_work(checked, nested):
    config = {"num_attention_heads": 9, "num_key_value_heads": 3}
    with pytest.raises(PrerequisiteError, match="over 2 ranks; world sizes that work: 1, 3, 9"):
        checked(SPEC, **({"text_config": config} if nested else config))


@pytest.mark.parametrize(
    ("parallel", "said"),
    [
        (Parallel(dp=2, tp=2), "dp 2 and tp 2 on 2 chips; their product must be.*give 4 before"),
        (Parallel(dp=3), "dp 3 and tp 1 on 2 chips.*give 3 before"),
        (Parallel(tp=4), "tp 4 on 2 chips.*give 4 before"),
        (Parallel(sp=2), "knows the parallel degrees dp and tp; the words ask for sp 2"),
    ],
)
def test_degrees_that_do_not_fit_are_refused_by_name(checked, parallel, said):
    with pytest.raises(PrerequisiteError, match=said):
        checked(replace(SPEC, parallel=parallel), num_attention_heads=4)


@pytest.mark.parametrize(
    ("size", "parallel", "found"),
    [
        (1, Parallel(), Degrees(1, 1)),
        (2, Parallel(), Degrees(1, 2)),
        (2, Parallel(dp=2), Degrees(2, 1)),
        (4, Parallel(dp=2), Degrees(2, 2)),
        (4, Parallel(tp=2), Degrees(2, 2)),
        (4, Parallel(dp=4, tp=1), Degrees(4, 1)),
        (4, Parallel(dp=1), Degrees(1, 4)),
    ],
)
def test_what_the_words_leave_open_is_the_split(size, parallel, found):
    assert degrees(replace(SPEC, world_size=size, parallel=parallel)) == found


def test_each_replica_must_be_one_that_can_be_split(checked):
    four = replace(SPEC, world_size=4, parallel=Parallel(dp=2))
    checked(four, num_attention_heads=4)
    checked(replace(SPEC, parallel=Parallel(dp=2)), num_attention_heads=9)
    with pytest.raises(PrerequisiteError, match="over 2 ranks"):
        checked(four, num_attention_heads=9)


def test_replicas_of_a_model_that_is_timed_are_refused(checked):
    timed = replace(SPEC, mode="performance", cases=(Case(16, 4),), parallel=Parallel(dp=2))
    with pytest.raises(PrerequisiteError, match="performance times one batch on one model: give tp 2"):
        checked(timed, num_attention_heads=4)


def test_several_machines_are_refused(checked):
    with pytest.raises(PrerequisiteError, match="on one machine"):
        checked(replace(SPEC, cluster=Cluster("table.json", 2, 0, "")), num_attention_heads=4)


def test_how_ranks_share_is_told_of_several_alone():
    assert rank_use(replace(SPEC, world_size=1), "cpu") is None
    assert rank_use(SPEC, "cuda") == RankUse(2, 2, 1, "nccl", ("cuda:0", "cuda:1"))
    assert rank_use(SPEC, "cpu").devices == ("cpu", "cpu")
    two = replace(SPEC, parallel=Parallel(dp=2))
    assert rank_use(two, "cpu") == RankUse(2, 1, 2, "sockets", ("cpu", "cpu"))
    assert rank_use(replace(two, world_size=4), "cuda") == RankUse(
        4, 2, 2, "nccl", ("cuda:0", "cuda:1", "cuda:2", "cuda:3")
    )


@pytest.mark.parametrize(("kept", "size", "parts"), [(8, 2, 2), (2, 4, 2), (None, 4, 4)])
def test_keys_and_values_are_split_as_far_as_their_heads_go(kept, size, parts):
    assert share_of_cache(SimpleNamespace(num_key_value_heads=kept, num_attention_heads=8), size) == parts


def test_ranks_on_the_cpu_share_its_processors_unless_that_is_set():
    found = variables(SPEC, "cpu", {})
    assert found["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    assert int(found["OMP_NUM_THREADS"]) >= 1
    assert variables(SPEC, "cpu", {"OMP_NUM_THREADS": "7"})["OMP_NUM_THREADS"] == "7"
    assert "OMP_NUM_THREADS" not in variables(replace(SPEC, world_size=1), "cpu", {})
