"""Each replica sees devices of its own, of those that the run may use."""

import pytest

from engines.vllm.replicas.devices import refuse_missing, shared_out
from modeltest.api import PrerequisiteError


@pytest.mark.parametrize(
    ("device", "seen", "replicas", "split", "each"),
    [
        ("cuda", {}, 2, 1, ["0", "1"]),
        ("cuda", {}, 2, 2, ["0,1", "2,3"]),
        ("cuda", {"CUDA_VISIBLE_DEVICES": "6,4, 7"}, 2, 1, ["6", "4"]),
        ("cuda", {"CUDA_VISIBLE_DEVICES": "GPU-0a-1b,MIG-2c/1/0"}, 2, 1, ["GPU-0a-1b", "MIG-2c/1/0"]),
        ("npu", {"ASCEND_RT_VISIBLE_DEVICES": "4,5,6,7"}, 2, 2, ["4,5", "6,7"]),
        ("npu", {"CUDA_VISIBLE_DEVICES": "5"}, 2, 1, ["0", "1"]),
    ],
)
def test_devices_are_shared_out_in_the_order_in_which_they_are_seen(device, seen, replicas, split, each):
    found = shared_out(device, seen, replicas=replicas, split=split)
    variable = {"cuda": "CUDA_VISIBLE_DEVICES", "npu": "ASCEND_RT_VISIBLE_DEVICES"}[device]
    assert found == [{variable: names} for names in each]


def test_the_cpu_is_everybodys():
    assert shared_out("cpu", {"CUDA_VISIBLE_DEVICES": ""}, replicas=3, split=1) == [{}, {}, {}]


@pytest.mark.parametrize(
    ("device", "seen", "said"),
    [
        ("cuda", {"CUDA_VISIBLE_DEVICES": "3"}, "2 cuda devices, CUDA_VISIBLE_DEVICES=3 shows 1"),
        ("cuda", {"CUDA_VISIBLE_DEVICES": "0,-1"}, "name each device once, as in CUDA_VISIBLE_DEVICES=0,1"),
        ("cuda", {"CUDA_VISIBLE_DEVICES": "1,1"}, "name each device once"),
        ("npu", {"ASCEND_RT_VISIBLE_DEVICES": "0-3"}, "ASCEND_RT_VISIBLE_DEVICES=0-3 cannot be shared out"),
    ],
)
def test_what_cannot_be_shared_out_is_refused_by_name(device, seen, said):
    with pytest.raises(PrerequisiteError, match=said):
        shared_out(device, seen, replicas=2, split=1)


def test_fewer_devices_than_ranks_are_refused():
    refuse_missing("cuda", 4, 4)
    with pytest.raises(PrerequisiteError, match="4 ranks need 4 cuda devices, 3 can be used here"):
        refuse_missing("cuda", 3, 4)
