"""Ranks as real processes under torchrun, started by the command as a user starts it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from run_processes import children

from modeltest.api import PrerequisiteError, RunSpec
from modeltest.machine.ports import is_free
from modeltest.run.nodes.ranks import (
    RANKS_VARIABLE,
    RankEnd,
    _alone,
    decisive,
    own_rank,
    rank_environment,
    worker_command,
)
from modeltest.run.pipes.deadlines import Limits

COMMAND = [sys.executable, "-m", "modeltest"]
PATIENCE_S = 60.0
SPEC = RunSpec(engine="hf_fp32", mode="full_BoolQ", task="boolq", model="m", weights="w")


def test_one_rank_is_a_plain_worker(tmp_path):
    assert worker_command(tmp_path, SPEC, Limits())[2:] == ["modeltest.run.worker.worker", str(tmp_path)]


def test_a_worker_that_starts_its_ranks_itself_is_started_as_one_process(tmp_path):
    command = worker_command(tmp_path, replace(SPEC, world_size=4), Limits(), is_alone=True)
    assert command[2:] == ["modeltest.run.worker.worker", str(tmp_path)]


def test_several_ranks_are_started_by_torchrun(tmp_path):
    command = worker_command(tmp_path, replace(SPEC, world_size=4), Limits(node_s=7))
    assert command[2:] == ["modeltest.run.nodes.ranks", str(tmp_path), "7"]


@pytest.mark.parametrize("ranks", [1, 4])
def test_worker_and_ranks_run_in_the_interpreter_that_is_asked_for(tmp_path, ranks):
    spec = replace(SPEC, world_size=ranks, engine_python="/an env/bin/python")
    assert worker_command(tmp_path, spec, Limits())[0] == "/an env/bin/python"
    assert worker_command(tmp_path, replace(spec, engine_python=None), Limits())[0] == sys.executable


def test_each_of_several_runs_holds_a_port_of_its_own(monkeypatch):
    monkeypatch.delenv("MASTER_PORT", raising=False)
    two = replace(SPEC, world_size=2)
    (first, first_store), (second, second_store) = _alone(two), _alone(two)
    assert first.port != second.port
    assert {first.port, second.port} <= {*range(20000, 20051)}
    assert not is_free(first.port)
    with pytest.raises(ConnectionRefusedError):  # of all loopback addresses, one is listened at
        socket.create_connection(("127.0.0.2", first.port), timeout=5)
    monkeypatch.setenv("MASTER_PORT", str(first.port))
    with pytest.raises(PrerequisiteError, match=rf"port {first.port} \(MASTER_PORT\) is taken"):
        _alone(two)
    del first_store, second_store


def test_processors_are_shared_out_unless_threads_are_set():
    assert rank_environment({}, 4, cpus=16)["OMP_NUM_THREADS"] == "4"
    assert rank_environment({}, 4, cpus=2)["OMP_NUM_THREADS"] == "1"
    assert rank_environment({"OMP_NUM_THREADS": "7"}, 4, cpus=16)["OMP_NUM_THREADS"] == "7"


def test_a_rank_in_the_user_s_environment_means_nothing(monkeypatch):
    monkeypatch.setenv("RANK", "3")
    assert own_rank() == 0
    monkeypatch.setenv(RANKS_VARIABLE, "1")
    assert own_rank() == 3


def test_a_rank_that_was_killed_explains_the_others():
    assert decisive([RankEnd(0, 5), RankEnd(1, -9)]) == RankEnd(1, -9)
    assert decisive([RankEnd(1, 70), RankEnd(0, 5)]) == RankEnd(0, 5)
    assert decisive([RankEnd(1, 70), RankEnd(0, -15)]) == RankEnd(1, 70)
    assert decisive([RankEnd(1, 70, 100), RankEnd(0, -9, 105)]) == RankEnd(1, 70, 100)
    assert decisive([RankEnd(1, -15)]) == RankEnd(1, -15)


def _run(*words: str, output: Path, expect: int = 0) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [*COMMAND, *words, "--output", str(output)], check=False, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == expect, done.stderr
    return done


def _directory(output: Path) -> Path:
    (directory,) = output.iterdir()
    return directory


def _answers(output: Path) -> dict[str, str]:
    lines = (_directory(output) / "samples.jsonl").read_text().splitlines()
    scores = [json.loads(line)["sample"]["score"] for line in lines]
    return {score["request_id"]: score["predicted"] for score in scores}


@pytest.mark.slow
def test_a_run_on_two_ranks_answers_as_on_one(demo_model, tmp_path):
    words = ["hf_fp32", "sample_BoolQ", "4", "llama", str(demo_model("llama"))]
    _run(*words, "1", output=tmp_path / "one")
    done = _run(*words, "2", output=tmp_path / "two")
    _run(*words, "2", "[2,-1,-1,-1,-1,-1,-1,-1]", output=tmp_path / "replicas")
    assert "engine hf on cpu, split over 2 ranks (gloo), in float32" in done.stderr
    assert _answers(tmp_path / "one") == _answers(tmp_path / "two") == _answers(tmp_path / "replicas")
    ranks = json.loads((_directory(tmp_path / "two") / "run.json").read_text())["engine"]["ranks"]
    assert (ranks["world_size"], ranks["split"], len(ranks["devices"])) == (2, 2, 2)
    _go_on_with_nothing_left(_directory(tmp_path / "two"))


def _go_on_with_nothing_left(directory: Path) -> None:
    """All questions are answered: rank 0 loads nothing, and the others must not wait for it."""
    result = json.loads((directory / "run.json").read_text())
    (directory / "run.json").write_text(json.dumps({**result, "status": "failed", "error": "no room left"}))
    words = [*COMMAND, "run", "--resume", str(directory)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads((directory / "run.json").read_text())["status"] == "complete"


def test_a_split_that_cannot_be_is_refused_before_anything_starts(demo_model, tmp_path):
    done = _run(
        "hf_fp32", "sample_BoolQ", "4", "gpt2", str(demo_model("gpt2")), "2", output=tmp_path, expect=3
    )
    assert "gpt2 cannot be split over 2 ranks" in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_engine_of_one_rank_is_refused_several(tmp_path):
    done = _run("fake", "sample_BoolQ", "4", "llama", "none", "2", output=tmp_path, expect=3)
    assert done.stderr.splitlines()[-1] == (
        "error: engine fake runs as one rank; the words ask for 2 chips: give 1"
    )


def _ranks_of(output: Path) -> dict[int, int]:
    """Return the process ids of the workers of the run below `output`, by rank."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            environment = dict(
                line.split(b"=", 1)
                for line in (process / "environ").read_bytes().split(b"\0")
                if b"=" in line
            )
        except OSError:
            continue
        if b"modeltest.run.worker.worker" in words and any(str(output).encode() in word for word in words):
            found[int(environment[b"RANK"])] = int(process.name)
    return found


def _until(condition, seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def long_run(demo_model, tmp_path):
    """A run on two ranks that goes on for minutes, with its first trials done, and its output directory."""
    batch_sizes = str([*range(1, 40)]).replace(" ", "")
    words = ["hf_fp32", "performance", "[[16,100]]", batch_sizes, "llama", str(demo_model("llama")), "2"]
    process = subprocess.Popen(
        [*COMMAND, *words, "--output", str(tmp_path)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    _until(lambda: any(path.stat().st_size for path in tmp_path.glob("*/samples.jsonl")))
    yield process, tmp_path
    process.kill()
    process.wait()
    process.stderr.close()
    _until(lambda: not _ranks_of(tmp_path))


def _listening(pids: Iterable[int]) -> set[str]:
    """Return the addresses at which any of the processes listens, as hexadecimal digits."""
    sockets = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                sockets.add(str(descriptor.readlink()))
    listening, found = "0A", set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines():
            words = line.split()
            if words[3] == listening and f"socket:[{words[9]}]" in sockets:
                found.add(words[1].partition(":")[0])
    return found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_processes_of_ranks_on_one_machine_listen_at_loopback_alone(long_run):
    process, output = long_run
    ranks = _ranks_of(output)
    assert sorted(ranks) == [0, 1]
    left, pids = [process.pid], []
    while left:
        pids.append(left.pop())
        left += children(pids[-1])
    assert set(ranks.values()) < set(pids)
    loopback = "0100007F"  # 127.0.0.1, its bytes from last to first
    assert _listening(pids) == {loopback}


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_rank_outlives_its_run(long_run, number):
    process, output = long_run
    assert sorted(_ranks_of(output)) == [0, 1]
    process.send_signal(number)
    process.wait(timeout=PATIENCE_S)
    _until(lambda: not _ranks_of(output))


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_rank_that_dies_is_named_and_the_worker_replaced(long_run):
    process, output = long_run
    before = _ranks_of(output)
    os.kill(before[1], signal.SIGKILL)
    _until(lambda: json.loads((_directory(output) / "run.json").read_text())["interruptions"])
    (lost,) = json.loads((_directory(output) / "run.json").read_text())["interruptions"]
    assert "was killed by SIGKILL, its rank 1 after" in lost["reason"]
    _until(lambda: sorted(_ranks_of(output)) == [0, 1] and _ranks_of(output).keys() == before.keys())
    assert not set(_ranks_of(output).values()) & set(before.values())
    process.send_signal(signal.SIGINT)
    process.wait(timeout=PATIENCE_S)
