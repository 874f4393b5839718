"""What `--dry-run` prints for each node."""

import json
import shlex
from dataclasses import replace

from rank_tables import table

from modeltest.api import Cluster, RunSpec
from modeltest.cluster.launch_lines import launch_lines
from modeltest.cluster.rank_table import parse_rank_table
from modeltest.start import start_words

START = shlex.quote(start_words("")[0])
TABLE = parse_rank_table(json.dumps(table("127.0.0.1", "127.0.0.2")), where="/t.json")
SPEC = RunSpec(
    "hf_fp32", "full_BoolQ", "boolq", "m", "w", world_size=4, cluster=Cluster("/t.json", 2, 2, "127.0.0.1")
)


def test_each_node_has_its_command_and_its_torchrun():
    lines = list(
        launch_lines(
            SPEC,
            TABLE,
            {},
            words=lambda there: ["words", str(there.cluster.rank_start)],
            drawn_secret="0123456789abcdef",
        )
    )
    told = (
        "RANK_TABLE_FILE=/t.json ASCEND_RT_VISIBLE_DEVICES=0,1 GLOO_SOCKET_IFNAME=lo "
        "NCCL_SOCKET_IFNAME==lo HCCL_SOCKET_IFNAME==lo "
    )
    assert [line.replace("=lo0 ", "=lo ") for line in lines] == [
        "node 0 of 2, 127.0.0.1:",
        "  type    MODELTEST_RANK_SECRET=0123456789abcdef bash run.sh words 0",
        f"  starts  {told}torchrun --nnodes 2 --node_rank 0 --master_addr 127.0.0.1 --master_port 12345 "
        f"--nproc_per_node 2 --max_restarts 0 {START} modeltest.run.worker.worker RUN_DIRECTORY",
        "node 1 of 2, 127.0.0.2:",
        "  type    MODELTEST_RANK_SECRET=0123456789abcdef bash run.sh words 2",
        f"  starts  {told}torchrun --nnodes 2 --node_rank 1 --master_addr 127.0.0.1 --master_port 12345 "
        f"--nproc_per_node 2 --max_restarts 0 {START} modeltest.run.worker.worker RUN_DIRECTORY",
    ]


def test_ranks_of_another_interpreter_are_started_by_its_torchrun():
    spec = replace(SPEC, engine_python="/an env/bin/python")
    lines = list(launch_lines(spec, TABLE, {}, words=lambda _: None, drawn_secret="x"))
    assert "'/an env/bin/python' -m torch.distributed.run --nnodes 2" in lines[1]


def test_a_run_without_words_has_its_torchrun_alone():
    lines = list(launch_lines(SPEC, TABLE, {"MASTER_PORT": "20001"}, words=lambda _: None, drawn_secret="x"))
    assert len(lines) == 4
    assert "--master_port 20001" in lines[3]


def test_c1_a_secret_that_is_set_is_not_shown():
    variables = {"MODELTEST_RANK_SECRET": "the user's own secret"}
    lines = list(launch_lines(SPEC, TABLE, variables, words=lambda _: ["words"], drawn_secret=None))
    assert lines[1] == "  type    bash run.sh words"
    assert lines[-1] == "MODELTEST_RANK_SECRET is set here and not shown: set it to the same on every node"
    assert not any("own secret" in line for line in lines)
