"""Which of several errors of a worker's ranks is the one that explains the others."""

import pytest

from modeltest.api import DeviceError, EngineError, RankLost, RunResult, RunSpec
from modeltest.run.supervisor.watch import Watch

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
