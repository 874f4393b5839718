"""Real runs of vLLM in processes of their own: what is killed goes on, and nothing stays behind."""

import os
import signal
import tempfile
import time
from pathlib import Path

import pytest
from run_processes import (
    await_end,
    await_journal,
    children,
    end,
    is_alive,
    journal,
    read,
    run_directory,
    start,
)

pytestmark = [pytest.mark.vllm]

LOADED_S = 400
QUESTIONS = 6
SHARED = Path("/dev/shm")


REPLICAS = ["2", "[2,-1,-1,-1,-1,-1,-1,-1]"]


def words(model, *ranks):
    """Return a run that takes long enough to be interrupted: hundreds of tokens for each question."""
    return ["vllm_fp32", "sample_GSM8K", "2", "auto", str(model), *ranks, "--limit", str(QUESTIONS)]


def left(folder):
    """Return what a run with this folder for temporary files could leave there and in shared memory."""
    sockets = {path for path in folder.iterdir() if path.is_socket()}
    names = ("vllm_dist_*", "psm_*", "modeltest-*")
    return sockets | {path for place in (folder, SHARED) for name in names for path in place.glob(name)}


@pytest.fixture
def folder():
    """Return a folder whose name is short enough for those of sockets in it."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def used_by_others():
    """Return the names that a living process has mapped: other engines may run on this machine."""
    found = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            lines = maps.read_text(errors="replace").splitlines()
        except OSError:
            continue
        found.update(Path(line.split(maxsplit=5)[-1]) for line in lines if "/dev/shm/" in line)
    return found


def started(process):
    """Return every process that `process` has started, directly or not."""
    found, front = [], children(process.pid)
    while front:
        found += front
        front = [child for pid in front for child in children(pid)]
    return found


def await_answers(process, output, count):
    """Wait until the run has that many batches in its journal, or has ended."""
    deadline = time.monotonic() + LOADED_S
    while not list(output.glob("*/samples.jsonl")):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    await_journal(output, count)


def replicas_of(worker):
    return [pid for pid in children(worker) if "replicas.replica" in command_of(pid)]


def command_of(pid):
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


@pytest.mark.parametrize("which", ["the worker", "a replica"])
def test_what_is_killed_is_replaced_and_every_question_is_answered_once(llama, tmp_path, which):
    process = start(words(llama, *(["1"] if which == "the worker" else REPLICAS)), tmp_path)
    await_answers(process, tmp_path, 1)
    directory = run_directory(tmp_path)
    before = len(journal(directory))
    (worker,) = children(process.pid)
    victim = worker if which == "the worker" else replicas_of(worker)[1]
    os.kill(victim, signal.SIGKILL)
    _, told = process.communicate(timeout=LOADED_S)
    assert process.returncode == 0, told
    asked = [line["sample"]["score"]["request_id"] for line in journal(directory)]
    assert before < QUESTIONS == len(asked) == len(set(asked))
    result = read(directory)
    assert result["status"] == "complete"
    assert len(result["interruptions"]) == 1


@pytest.mark.parametrize(
    ("ranks", "number"),
    [(["2"], signal.SIGKILL), (REPLICAS, signal.SIGINT)],
    ids=["split, killed", "replicas, interrupted"],
)
def test_a_run_over_two_ranks_that_is_ended_leaves_nothing_behind(llama, tmp_path, folder, ranks, number):
    before = left(folder)
    process = start(words(llama, *ranks), tmp_path, env={**os.environ, "TMPDIR": str(folder)})
    await_answers(process, tmp_path, 1)
    running = started(process)
    assert len(running) >= 3, "the worker and its two ranks"
    end(process, number)
    await_end(running)
    assert not any(map(is_alive, running))
    assert left(folder) - before - used_by_others() == set()
