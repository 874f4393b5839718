"""Two ranks on the stand-in, which fails when they do not compute the same steps."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import calls
import pytest

from engines.mindie_team import Team
from modeltest.api import DeviceError, EngineError, OutOfMemory, Parallel, Request, TextPrompt, TokenPrompt

SCRIPT = Path(__file__).with_name("rank_script.py")
BATCHES = [
    [
        Request(f"c{i}", TextPrompt("", (), "The sea is salt. " * i + "Is it?"), choices=(" yes", " no"))
        for i in range(1, 5)
    ],
    [
        Request(f"t{i}", TokenPrompt(tuple(range(40 + i, 50 + i))), max_new_tokens=4, ignore_eos=True)
        for i in range(2)
    ],
]


def _torchrun(place, kind, **changes):
    job = place.scratch.parent / "job"
    spec = replace(place.spec, world_size=2, parallel=Parallel(tp=2, sp=2))
    job.write_bytes(pickle.dumps((kind, spec, place.model, BATCHES, 3)))
    ranks = replace(place, spec=spec)
    paths = os.pathsep.join([str(SCRIPT.parent), str(Path.cwd())])
    variables = {**os.environ, **ranks.variables(), **changes}
    variables["PYTHONPATH"] = os.pathsep.join([variables["PYTHONPATH"], paths])
    torchrun = "-m torch.distributed.run --nproc-per-node 2 --rdzv-backend c10d --local-addr 127.0.0.1"
    command = [sys.executable, *torchrun.split(), "--rdzv-endpoint", "127.0.0.1:0", str(SCRIPT), str(job)]
    return subprocess.run(command, env=variables, check=False, capture_output=True, text=True, timeout=240)


def _answers(done):
    return [
        {key: (one.error, one.choice_logprobs, one.output_tokens) for key, one in batch.items()}
        for batch in done
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "rows", [None, "2"], ids=["with memory enough", "with memory for two rows on rank 1"]
)
def test_two_ranks_answer_as_one_does(stand_in, rows):
    place = stand_in.with_record("times", "ids", "logits")
    alone, _, _ = place.call(calls.complete, BATCHES, 3)
    done = _torchrun(place, "complete", **({"STAND_IN_MEMORY_ROWS_OF_1": rows} if rows else {}))
    assert done.returncode == 0, done.stderr[-2000:]
    together = pickle.loads((place.scratch.parent / "done").read_bytes())
    assert _answers(together) == _answers(alone)


@pytest.mark.slow
def test_logits_and_times_are_written_by_rank_0_alone(stand_in):
    place = stand_in.with_record("times", "ids", "logits")
    done = _torchrun(place, "raw")
    assert done.returncode == 0, done.stderr[-2000:]
    written = {rank: {path.name for path in (place.scratch / rank).iterdir()} for rank in ("0", "1")}
    assert {"logits_0.pth", "benchmark.csv", "input_ids_0.pth", "output_ids_1.txt"} <= written["0"]
    assert written["1"] == {"texts.json"}
    texts = [(place.scratch / rank / "texts.json").read_text() for rank in ("0", "1")]
    assert texts[0] == texts[1]


class Store(dict):
    """A store of one process: what is asked for must be there."""

    def set(self, key, value):
        self[key] = value if isinstance(value, bytes) else value.encode()

    def get(self, key):
        return self[key]

    def delete_key(self, key):
        del self[key]

    def wait(self, keys, timeout):
        if not self.keys() >= set(keys):
            raise RuntimeError("wait timeout")


class Counting:
    """A runner that counts, and fails when told to."""

    def __init__(self, problem=None):
        self.calls = 0
        self.problem = problem

    def add(self, number, *, times):
        self.calls += number * times
        if self.problem is not None:
            raise self.problem
        return self.calls


class Computing:
    """A runner without memory."""

    def infer(self):
        raise OutOfMemory("out of memory, running")


def _followed(problem=None):
    """Return what a leader's call gives when the other rank has met `problem` in it."""
    store = Store()
    leader, follower = Team(store, rank=0, size=2), Team(store, rank=1, size=2)
    store["call/1"] = pickle.dumps(("add", (2,), {"times": 3}))
    store["call/2"] = pickle.dumps(("end", (), {}))
    other = Counting(problem)
    follower.follow(other)
    assert other.calls == 6
    return leader.lead(Counting(), "add", 2, times=3)


def test_every_rank_makes_the_calls_of_rank_0():
    assert _followed() == 6


def test_memory_that_runs_out_on_one_rank_is_out_on_all():
    with pytest.raises(OutOfMemory, match="rank 1: out of memory, running"):
        _followed(OutOfMemory("out of memory, running"))


def test_a_rank_without_memory_ends_when_rank_0_is_stuck_in_the_call():
    store = Store()
    store["call/1"] = pickle.dumps(("infer", (), {}))
    with pytest.raises(DeviceError, match="out of memory, running; rank 0 waits for this rank in the middle"):
        Team(store, rank=1, size=2).follow(Computing())
    store["call/2"] = pickle.dumps(("end", (), {}))
    Team(store, rank=1, size=2).follow(Computing())


def test_a_rank_that_fails_says_why_before_it_ends():
    store = Store()
    store["call/1"] = pickle.dumps(("add", (1,), {"times": 1}))
    with pytest.raises(EngineError, match="broken"):
        Team(store, rank=1, size=2).follow(Counting(EngineError("broken")))
    with pytest.raises(EngineError, match="rank 1: EngineError: broken"):
        Team(store, rank=0, size=2).lead(Counting(), "add", 1, times=1)


def test_a_device_that_fails_on_one_rank_is_lost_for_all():
    store = Store()
    store["call/1"] = pickle.dumps(("add", (1,), {"times": 1}))
    with pytest.raises(DeviceError):
        Team(store, rank=1, size=2).follow(Counting(DeviceError("the NPU function error")))
    with pytest.raises(DeviceError, match="rank 1: DeviceError: the NPU function error"):
        Team(store, rank=0, size=2).lead(Counting(), "add", 1, times=1)


def test_one_rank_needs_no_store():
    assert Team(None, rank=0, size=1).lead(Counting(), "add", 1, times=1) == 1
