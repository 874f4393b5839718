"""Two ranks on the stand-in, which fails when they do not compute the same steps."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import calls
import pytest

from engines.mindie.calls import End, Free, Infer, Make, WarmUp
from engines.mindie.runner import RunnerRow
from engines.mindie.sizes import RunnerSize
from engines.mindie.team import Team
from modeltest.api import (
    DeviceError,
    EngineError,
    OutOfMemory,
    Parallel,
    RankMessageRefused,
    Request,
    TextPrompt,
    TokenPrompt,
)
from modeltest.machine.rank_messages import SECRET_VARIABLE, Seal, fresh_secret

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
    variables = {**os.environ, SECRET_VARIABLE: fresh_secret(), **ranks.variables(), **changes}
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


SEAL = Seal("a secret of the test's")
INFER = Infer((RunnerRow((1, 2)), RunnerRow((3,), "adapter")), 4, ignore_eos=True, with_logits=False)


class Recording:
    """A runner that notes what it is asked for, and fails when told to."""

    def __init__(self, problem=None):
        self.calls = []
        self.problem = problem

    def make(self, size, prefill_rows):
        self._note(size, prefill_rows)

    def warm_up(self):
        self._note()

    def infer(self, rows, max_new_tokens, ignore_eos, with_logits):
        self._note(rows, max_new_tokens, ignore_eos, with_logits)
        return "answers"

    def free(self):
        self._note()

    def _note(self, *arguments):
        self.calls.append(arguments)
        if self.problem is not None:
            raise self.problem


def _ranks(store):
    return [Team(store, SEAL, rank=rank, size=2) for rank in (0, 1)]


def _told(store, *told):
    """Put calls into the store as rank 0 does."""
    leader = Team(store, SEAL, rank=0, size=2)
    for call in told:
        leader._tell(call)


def _followed(problem=None):
    """Return what a leader's call gives when the other rank has met `problem` in it."""
    store = Store()
    leader, follower = _ranks(store)
    _told(store, Free(), End())
    other = Recording(problem)
    follower.follow(other)
    assert other.calls == [()]
    return leader.lead(Recording(), Free())


def test_every_rank_makes_the_calls_of_rank_0_with_the_same_arguments():
    store = Store()
    calls_told = [Make(RunnerSize(8, 4, 2), None), WarmUp(), INFER, Free()]
    _told(store, *calls_told, End())
    other = Recording()
    _ranks(store)[1].follow(other)
    leader, own = _ranks(store)[0], Recording()
    assert [leader.lead(own, call) for call in calls_told] == [None, None, "answers", None]
    assert own.calls == other.calls == [(RunnerSize(8, 4, 2), None), (), (INFER.rows, 4, True, False), ()]


def test_memory_that_runs_out_on_one_rank_is_out_on_all():
    with pytest.raises(OutOfMemory, match="rank 1: out of memory, running"):
        _followed(OutOfMemory("out of memory, running"))


def test_a_rank_without_memory_ends_when_rank_0_is_stuck_in_the_call():
    store = Store()
    _told(store, INFER)
    runner = Recording(OutOfMemory("out of memory, running"))
    with pytest.raises(DeviceError, match="out of memory, running; rank 0 waits for this rank in the middle"):
        _ranks(store)[1].follow(runner)
    store.clear()
    _told(store, INFER, End())
    _ranks(store)[1].follow(runner)


def test_a_rank_that_fails_says_why_before_it_ends():
    store = Store()
    _told(store, Free())
    with pytest.raises(EngineError, match="broken"):
        _ranks(store)[1].follow(Recording(EngineError("broken")))
    with pytest.raises(EngineError, match="rank 1: EngineError: broken"):
        _ranks(store)[0].lead(Recording(), Free())


def test_a_device_that_fails_on_one_rank_is_lost_for_all():
    store = Store()
    _told(store, Free())
    with pytest.raises(DeviceError):
        _ranks(store)[1].follow(Recording(DeviceError("the NPU function error")))
    with pytest.raises(DeviceError, match="rank 1: DeviceError: the NPU function error"):
        _ranks(store)[0].lead(Recording(), Free())


def test_one_rank_needs_no_store():
    assert Team(None, None, rank=0, size=1).lead(Recording(), INFER) == "answers"


class Attack:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_c1_a_pickle_planted_in_the_store_is_refused_unread(tmp_path):
    planted = pickle.dumps(Attack(tmp_path / "ran"))
    runner = Recording()
    with pytest.raises(RankMessageRefused, match="what came as 'call/1' is not from a rank of this run"):
        _ranks(Store({"call/1": planted}))[1].follow(runner)
    with pytest.raises(RankMessageRefused, match="what came as 'word/1/1' is not from a rank of this run"):
        _ranks(Store({"word/1/1": planted}))[0].lead(runner, Free())
    assert not (tmp_path / "ran").exists()
    pickle.loads(planted).close()
    assert (tmp_path / "ran").exists()  # it would have worked


def test_c1_a_call_that_is_said_again_is_refused():
    store = Store()
    _told(store, Free())
    store["call/2"] = store["call/1"]
    runner = Recording()
    with pytest.raises(
        RankMessageRefused, match="'call/2' is not from a rank of this run, or was said before"
    ):
        _ranks(store)[1].follow(runner)
    assert runner.calls == [()]


@pytest.mark.parametrize(
    "told",
    [
        {"method": "raw", "fields": {}},
        {"method": "__init__", "fields": {}},
        {"method": "make", "fields": {"size": {"input_tokens": "many"}, "prefill_rows": None}},
        {"method": "infer", "fields": {}},
        {"method": "free", "fields": {"more": 1}},
        {"method": "free"},
        ["free"],
    ],
    ids=str,
)
def test_c1_a_call_of_another_shape_is_refused(told):
    store = Store({"call/1": SEAL.close(told, about="call/1")})
    runner = Recording()
    with pytest.raises(RankMessageRefused):
        _ranks(store)[1].follow(runner)
    assert not runner.calls


def test_c1_ranks_without_a_secret_do_not_begin(monkeypatch):
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("engines.mindie.team._store", Store)
    monkeypatch.delenv(SECRET_VARIABLE, raising=False)
    with pytest.raises(EngineError, match="MODELTEST_RANK_SECRET is not set here: start several ranks with"):
        Team.of_this_process()
