"""Trials at load on a trained model: faults put into ways of feeding are refused, the ways are not.

`python benchmarks/fault_detection.py` does it with every fault; here are those that are refused by the least.
"""

import pytest
from fault_detection import RIGHT, Bench
from faults.injected import FAULTS, TUNED_ON

BY_THE_LEAST = (
    "scale 0.1 % off",
    "paged: scale 0.1 % off",
    "merge weight 0.1 % off",
    "merge weight 1 % off",
    "positions of a row one late",
    "last layer one position off",
    "merge forgets the sum",
    "a row on another prefix",
    "padding is seen",
    "padding is seen in steps",
    "a token does not see itself",
    "the next token is seen",
)
"""By name, least first, as docs/beliefs.md has them; one of a paged cache, since its steps take longest."""

FAULTS_OF = {"float32": BY_THE_LEAST, "bfloat16": BY_THE_LEAST, "float16": BY_THE_LEAST[:3]}
"""Fewer in float16: both dtypes of 16 bits are tried in float32 first, and refused there."""

BY_NAME = {fault.name: fault for fault in (*TUNED_ON, *FAULTS)}


@pytest.fixture(scope="module")
def bench(request, trained_model):
    return Bench(str(trained_model(request.param)), request.param)


@pytest.mark.parametrize(
    ("bench", "name"),
    [(dtype, name) for dtype, names in FAULTS_OF.items() for name in names],
    indirect=["bench"],
)
def test_a_fault_is_refused_on_trained_weights(bench, name):
    found = bench.measure(BY_NAME[name])
    assert found is not None
    assert not found[-1].is_rounding


@pytest.mark.parametrize(
    ("bench", "right"),
    [(dtype, right) for dtype in FAULTS_OF for right in RIGHT],
    indirect=["bench"],
    ids=lambda value: getattr(value, "way", value),
)
def test_a_way_without_a_fault_is_accepted_on_trained_weights(bench, right):
    assert all(distance.is_rounding for distance in bench.measure(right))
