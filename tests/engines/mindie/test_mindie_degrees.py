"""What MindIE's mapping of ranks takes, held against the words before anything is loaded."""

from dataclasses import replace

import pytest

from engines.mindie.degrees import check_degrees, check_pipeline
from modeltest.api import Case, Cluster, Parallel, RunSpec, SpecError

SPEC = RunSpec(engine="pa_fp16", mode="full_BoolQ", task="boolq", model="m", weights="w", batch_sizes=((8,),))


def _spec(world_size: int, **degrees: int) -> RunSpec:
    return replace(SPEC, world_size=world_size, parallel=Parallel(**degrees))


@pytest.mark.parametrize(
    ("world_size", "degrees"),
    [
        (1, {}),
        (8, {}),
        (8, {"tp": 8, "sp": 8}),
        (8, {"dp": 2, "tp": 4, "moe_tp": 2, "moe_ep": 4}),
        (8, {"dp": 2}),
        (8, {"cp": 2, "tp": 4}),
        (8, {"pp": 2, "tp": 4}),
        (8, {"pp": 4}),
        (8, {"moe_ep": 4}),
        (8, {"microbatch": 8}),
    ],
)
def test_degrees_that_come_out_as_the_chips_are_taken(world_size, degrees):
    check_degrees(_spec(world_size, **degrees))


@pytest.mark.parametrize(
    ("world_size", "degrees", "said"),
    [
        (8, {"tp": 4}, "tp 4 is 4, the words ask for 8 chips: they must be the same"),
        (8, {"dp": 2, "tp": 2}, r"tp 2 \* dp 2 is 4, the words ask for 8 chips"),
        (8, {"dp": 3}, r"tp 2 \* dp 3 is 6, the words ask for 8 chips"),
        (8, {"pp": 2, "tp": 8}, r"tp 8 \* pp 2 is 16, the words ask for 8 chips"),
        (1, {"dp": 2}, r"tp 1 \* dp 2 is 2, the words ask for 1 chips"),
        (8, {"dp": 2, "pp": 2}, "dp 2 and pp 2 do not go together in MindIE"),
        (8, {"dp": 2, "cp": 2}, "dp 2 and cp 2 do not go together in MindIE"),
        (8, {"cp": 2, "pp": 2}, "pp 2 and cp 2 do not go together in MindIE"),
        (8, {"tp": 8, "sp": 4}, "sp 4 must be 1 or equal to tp, which is 8"),
        (8, {"moe_tp": 2, "moe_ep": 2}, r"moe_tp 2 \* moe_ep 2 must come out as the 8 chips"),
        (8, {"moe_ep": 3}, "moe_ep 3 must come out as the 8 chips"),
        (8, {"microbatch": 9}, "microbatch 9 is more than the batch size 8; give 1 to 8, or -1"),
    ],
)
def test_degrees_that_do_not_go_together_are_refused(world_size, degrees, said):
    with pytest.raises(SpecError, match=said):
        check_degrees(_spec(world_size, **degrees))


def test_a_pipeline_answers_questions_on_one_node_and_is_not_timed():
    pipeline = _spec(2, pp=2)
    check_pipeline(pipeline)
    with pytest.raises(SpecError, match="zeros for its times, so that performance cannot be measured"):
        check_pipeline(replace(pipeline, mode="performance", cases=(Case(16, 4),)))
    with pytest.raises(SpecError, match="pp 2 on 2 nodes: the last rank writes the logits"):
        check_pipeline(replace(pipeline, cluster=Cluster("t.json", 2, 0, "10.0.0.1")))
