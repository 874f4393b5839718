import pytest

from modeltest.findings import sentence
from modeltest.run.pipes.deadlines import EXIT_S, RUNNING_PHASE, SLOWEST_BATCH_FACTOR, Deadlines, Limits

LIMITS = Limits(heartbeat_s=10, load_s=100, batch_s=50)


class Played:
    """A worker seen through its deadlines, a second a tick."""

    def __init__(self, *, has_batches: bool = True) -> None:
        self.deadlines = Deadlines(LIMITS, has_batches=has_batches)
        self.now = 1000.0
        self.deadlines.tick(self.now)

    def wait(self, seconds: int, *, beating: bool = True) -> str | None:
        for _ in range(seconds):
            self.now += 1
            self.deadlines.tick(self.now)
            if beating:
                self.deadlines.hear("heartbeat")
        overdue = self.deadlines.overdue()
        return None if overdue is None else sentence(overdue)

    def running(self) -> "Played":
        self.deadlines.hear("phase", RUNNING_PHASE)
        return self


def test_loading_may_be_silent_up_to_its_own_limit():
    worker = Played()
    assert worker.wait(100, beating=False) is None
    assert worker.wait(1) == "not loaded within 100 s"


def test_each_phase_of_loading_has_its_own_time():
    worker = Played()
    worker.wait(90)
    worker.deadlines.hear("phase", "loading model")
    assert worker.wait(90) is None


def test_a_worker_that_runs_must_beat():
    worker = Played().running()
    assert worker.wait(10, beating=False) is None
    assert worker.wait(1, beating=False) == "no heartbeat for 10 s"


def test_a_beating_worker_is_hung_when_no_batch_ends():
    worker = Played().running()
    assert worker.wait(50) is None
    assert worker.wait(1) == "no batch ended within 50 s"


def test_every_batch_starts_the_clock_again():
    worker = Played().running()
    for _ in range(5):
        worker.wait(40)
        worker.deadlines.hear("progress")
    assert worker.wait(40) is None


def test_the_limit_grows_with_the_slowest_batch():
    worker = Played().running()
    worker.wait(20)
    worker.deadlines.hear("progress")
    assert worker.wait(20 * SLOWEST_BATCH_FACTOR) is None
    assert worker.wait(1) == "no batch ended within 200 s"


def test_without_batches_only_the_heartbeat_counts():
    worker = Played(has_batches=False).running()
    assert worker.wait(1000) is None
    assert worker.wait(11, beating=False) == "no heartbeat for 10 s"


def test_a_worker_that_is_done_must_exit():
    worker = Played().running()
    worker.deadlines.hear("done")
    assert worker.wait(int(EXIT_S), beating=False) is None
    assert worker.wait(1) == f"no exit within {EXIT_S:g} s"


def test_time_in_which_the_supervisor_was_stopped_does_not_count():
    worker = Played().running()
    worker.now += 10_000
    assert worker.wait(1, beating=False) is None


@pytest.mark.parametrize("kind", ["heartbeat", "timing", "usage", "in_flight", "dataset", "loaded"])
def test_what_is_no_batch_does_not_count_as_one(kind):
    worker = Played().running()
    worker.wait(30)
    worker.deadlines.hear(kind)
    assert worker.wait(21) == "no batch ended within 50 s"
