"""Two nodes on one host: two commands as a user types them, which meet over loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from rank_tables import table, write

from modeltest.machine.rank_messages import SECRET_VARIABLE, fresh_secret

COMMAND = [sys.executable, "-m", "modeltest"]
ADDRESSES = ("127.0.0.1", "127.0.0.2")
PATIENCE_S = 240.0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs all of 127.0.0.0/8, and reads /proc")


class Cluster:
    """Two nodes with one rank each, and their output."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.table = write(folder / "ranks.json", table(*ADDRESSES, devices=1))
        with closing(socket.socket()) as found:
            found.bind(("", 0))
            self.port = str(found.getsockname()[1])
        secret = {SECRET_VARIABLE: fresh_secret()}
        self.secrets: list[dict[str, str]] = [secret, secret]
        self.processes: list[subprocess.Popen] = []

    def start(self, node: int, *words: str, options: tuple[str, ...] = ()) -> subprocess.Popen:
        command = [*COMMAND, *words, self.table, "2", "2", str(node), ADDRESSES[0], *options]
        process = subprocess.Popen(
            [*command, "--output", str(self.folder / str(node))],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "MASTER_PORT": self.port, "OMP_NUM_THREADS": "1", **self.secrets[node]},
            cwd=self.folder,
        )
        self.processes.append(process)
        return process

    def directory(self, node: int) -> Path:
        (directory,) = (self.folder / str(node)).iterdir()
        return directory

    def result(self, node: int) -> dict:
        return json.loads((self.directory(node) / "run.json").read_text())

    def answers(self) -> dict[str, str]:
        lines = (self.directory(0) / "samples.jsonl").read_text().splitlines()
        scores = [json.loads(line)["sample"]["score"] for line in lines]
        return {score["request_id"]: score["predicted"] for score in scores}


@pytest.fixture
def cluster(tmp_path):
    found = Cluster(tmp_path)
    yield found
    for process in found.processes:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=PATIENCE_S)
        process.stderr.close()


def _end_of(process: subprocess.Popen) -> tuple[int, str]:
    _, said = process.communicate(timeout=PATIENCE_S)
    return process.returncode, said


def _alone(words: list[str], output: Path) -> dict[str, str]:
    done = subprocess.run(
        [*COMMAND, *words, "1", "--limit", "6", "--output", str(output)],
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    (directory,) = output.iterdir()
    lines = (directory / "samples.jsonl").read_text().splitlines()
    scores = [json.loads(line)["sample"]["score"] for line in lines]
    return {score["request_id"]: score["predicted"] for score in scores}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "dtype"),
    [("hf_fp32", "float32"), ("pa_fp16", "float16")],
    ids=["a split model", "the stand-in for MindIE"],
)
def test_two_nodes_answer_as_one_rank(cluster, demo_model, engine, dtype, tmp_path):
    words = [engine, "sample_BoolQ", "4", "llama", str(demo_model("llama", dtype))]
    options = ("--engine-option", "stand_in=yes") if engine == "pa_fp16" else ()
    several = ("--limit", "6", *options)
    second = cluster.start(1, *words, options=several)
    first = cluster.start(0, *words, options=several)
    (status, said), (other_status, other_said) = _end_of(first), _end_of(second)
    assert (status, other_status) == (0, 0), said + other_said
    assert cluster.answers() == _alone([*words, *options], tmp_path / "one")
    assert (cluster.result(0)["status"], cluster.result(1)["status"]) == ("complete", "followed")
    ranks = cluster.result(0)["engine"]["ranks"]
    assert (ranks["world_size"], ranks["split"]) == (2, 2)
    assert cluster.directory(1).name.endswith("_node1")
    assert not (cluster.directory(1) / "samples.jsonl").exists()


@pytest.mark.long
@pytest.mark.slow
def test_a_node_whose_rank_dies_is_named_on_the_first_which_says_how_to_go_on(cluster, demo_model):
    batch_sizes = str([*range(1, 40)]).replace(" ", "")
    words = ["hf_fp32", "performance", "[[16,100]]", batch_sizes, "llama", str(demo_model("llama"))]
    first, second = cluster.start(0, *words), cluster.start(1, *words)
    _until(lambda: any(path.stat().st_size for path in (cluster.folder / "0").glob("*/samples.jsonl")))
    os.kill(_worker_of(cluster.directory(1)), signal.SIGKILL)
    (status, said), (other_status, other_said) = _end_of(first), _end_of(second)
    assert status == 5
    assert said.splitlines()[-1] == (
        "error: node 1 (127.0.0.2) ended: its rank 1 was killed by SIGKILL; `modeltest run --resume "
        f"{cluster.directory(0)}` goes on from there, on the other nodes the same command again"
    )
    assert other_status == 128 + signal.SIGKILL
    assert "was killed by SIGKILL, its rank 1" in other_said
    assert cluster.result(0)["status"] == cluster.result(1)["status"] == "failed"


@pytest.mark.long
def test_a_node_that_never_comes_ends_the_run_with_its_name(cluster, demo_model):
    words = ["hf_fp32", "sample_BoolQ", "4", "llama", str(demo_model("llama"))]
    status, said = _end_of(cluster.start(0, *words, options=("--node-timeout", "0.5")))
    assert status == 3
    assert f"node 1 (127.0.0.2) of 2 did not come to 127.0.0.1:{cluster.port} within 0.5 s" in said


@pytest.mark.parametrize("secret", ["", "too short"])
def test_c1_nodes_without_a_secret_do_not_begin(cluster, demo_model, secret):
    cluster.secrets[0] = {SECRET_VARIABLE: secret}
    words = ["hf_fp32", "sample_BoolQ", "4", "llama", str(demo_model("llama"))]
    status, said = _end_of(cluster.start(0, *words))
    assert status == 3
    state = "has 9 characters, fewer than 16" if secret else "is not set"
    assert said.splitlines()[-1] == (
        f"error: the 2 nodes of this run know each other by a secret, and {SECRET_VARIABLE} {state}: set it "
        "to the same on every node, or type what this command prints with --dry-run, which draws one"
    )
    assert not (cluster.folder / "0").exists()


@pytest.mark.slow
def test_c1_a_node_with_another_secret_takes_no_part(cluster, demo_model):
    cluster.secrets[1] = {SECRET_VARIABLE: fresh_secret()}
    words = ["hf_fp32", "sample_BoolQ", "4", "llama", str(demo_model("llama"))]
    first, second = cluster.start(0, *words), cluster.start(1, *words)
    (status, said), (other_status, other_said) = _end_of(first), _end_of(second)
    assert (status, other_status) == (3, 3), said + other_said
    assert "what came as node 1 (127.0.0.2) does not know the secret of this run" in said
    assert (
        "does not know the secret of this run: set MODELTEST_RANK_SECRET to the same on every" in other_said
    )


def test_a_part_of_a_run_cannot_be_gone_on_with(cluster, demo_model):
    words = ["hf_fp32", "sample_BoolQ", "4", "llama", str(demo_model("llama"))]
    status, said = _end_of(cluster.start(1, *words, options=("--node-timeout", "0.5")))
    assert status == 3
    assert f"the first node does not answer at 127.0.0.1:{cluster.port}" in said
    again = subprocess.run(
        [*COMMAND, "run", "--resume", str(cluster.directory(1))],
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        env={**os.environ, **cluster.secrets[1]},
    )
    assert again.returncode == 2
    assert "is the part of node 1 of a run whose journal is on the first node" in again.stderr


def _until(condition) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _worker_of(directory: Path) -> int:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"modeltest.run.worker.worker" in words and str(directory).encode() in words:
            return int(process.name)
    raise AssertionError(f"no worker of {directory}")
