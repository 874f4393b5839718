"""Which of several errors of a worker's ranks explains the others, and how it is told what they share."""

import pytest

from modeltest.api import DeviceError, EngineError, EngineInfo, RankLost, RankUse, RunResult, RunSpec
from modeltest.run.supervisor.watch import Watch, describe_engine

SPEC = RunSpec(engine="fake", mode="performance", task="performance", model="llama", weights="none")


@pytest.mark.parametrize(
    ("kinds", "kept"),
    [
        ((DeviceError, EngineError, RankLost), DeviceError),
        ((RankLost, DeviceError, EngineError), DeviceError),
        ((EngineError, DeviceError), DeviceError),
        ((EngineError, RankLost), EngineError),
    ],
)
def test_a_device_that_failed_on_one_rank_explains_what_the_others_say(tmp_path, kinds, kept):
    watch = Watch(tmp_path, _result(), None)
    for kind in kinds:
        watch.handle({"event": "error", "type": kind.__name__, "message": kind.__name__})
    assert type(watch.failure) is kept


@pytest.mark.parametrize(
    ("split", "replicas", "said"),
    [
        (4, 1, "split over 4 ranks (gloo),"),
        (1, 4, "4 replicas (gloo),"),
        (2, 2, "2 replicas, each split over 2 ranks (gloo),"),
    ],
)
def test_it_is_told_how_ranks_share_the_work(split, replicas, said):
    ranks = RankUse(4, split, replicas, "gloo", ("cpu",) * 4)
    info = EngineInfo("fake", "cpu", "float32", 9, (), 64, {"made": "1"}, ranks=ranks)
    assert describe_engine(info).startswith(f"engine fake on cpu, {said} in float32")


def _result():
    return RunResult(
        spec=SPEC,
        started="",
        status="running",
        model=None,
        adapter="fake",
        engine=None,
        dataset=None,
        machine={},
        command=None,
        modeltest_version="",
    )
