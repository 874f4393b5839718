"""Chips, nodes and what the engine is handed on, as options: the same spec as the words of run.sh give."""

import json
import re
import shlex

import pytest
from click.testing import CliRunner
from rank_tables import table, write

from modeltest.api import SpecError
from modeltest.cli.root import root


def _dry(*arguments):
    result = CliRunner().invoke(root, [*arguments, "--dry-run"])
    assert result.exit_code == 0, result.output
    return result


def _refusal(*arguments):
    result = CliRunner().invoke(root, [*arguments, "--dry-run"])
    # Errors of ours pass through click, which `main` prints and ends with their exit status.
    assert isinstance(result.exception, SpecError) or result.exit_code == 2
    return (
        str(result.exception) if isinstance(result.exception, SpecError) else " ".join(result.output.split())
    )


def _spec(*arguments):
    return json.loads(_dry(*arguments).stdout)


def test_options_ask_for_what_the_words_do(tmp_path):
    path = write(tmp_path / "ranks.json", table("10.0.0.1", "10.0.0.2", devices=4))
    kw_args = '{"encrypt_enable": 1}'
    words = [
        "pa_fp16",
        "performance",
        "[[16,4]]",
        "2",
        "4",
        "prefill_length",
        "64",
        "auto",
        "lora",
        "l.jsonl",
    ]
    words += ["w", kw_args, path, "8", "2", "4", "10.0.0.1", "[2,4,-1,-1,-1,-1,-1,-1]"]
    options = ["performance", "--engine", "pa_fp16", "--case", "16,4", "--batch-size", "2", "--model", "w"]
    options += ["--prefill-batch-size", "4", "--prefill-length", "64", "--lora", "l.jsonl"]
    options += ["--kw-args", kw_args, "--rank-table", path, "--node-rank", "1", "--parallel", "dp=2,tp=4"]
    assert _spec(*options) == _spec(*words)


def test_degrees_may_be_named_or_listed():
    command = ["accuracy", "--task", "boolq", "--model", "w", "--parallel"]
    assert _spec(*command, "tp=4, dp=2")["parallel"] == _spec(*command, "[2,4]")["parallel"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--parallel", "xp=3"],
            "expected each of dp, tp, sp, moe_tp, moe_ep, pp, microbatch, cp once at most",
        ),
        (["--parallel", "tp=2,tp=2"], "once at most"),
        (["--parallel", "tp=0"], "'tp=0': it is below 1"),
        (["--parallel", "[0]"], "each number is at least 1"),
        (["--kw-args", "{"], "it is not JSON"),
        (["--kw-args", "[]"], "it is JSON, but not an object"),
        (["--node-rank", "0"], "give --rank-table FILE too"),
        (
            ["--rank-table", "nowhere.json", "--node-rank", "0"],
            "the rank table 'nowhere.json' does not exist",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(options, said):
    assert said in _refusal("accuracy", "--task", "boolq", "--model", "w", *options)


def test_a_node_of_the_table_is_to_be_named_and_its_chips_are_not_to_be_counted_again(tmp_path):
    path = write(tmp_path / "ranks.json", table("10.0.0.1", "10.0.0.2"))
    command = ["accuracy", "--task", "boolq", "--model", "w", "--rank-table", path]
    assert "--node-rank is missing" in _refusal(*command)
    assert "give 0 to 1, on each node its own" in _refusal(*command, "--node-rank", "2")
    assert "has 4 chips; leave it out" in _refusal(*command, "--node-rank", "1", "--world-size", "8")


def test_a_dry_run_on_several_nodes_prints_what_starts_on_each_beside_the_spec(tmp_path):
    path = write(tmp_path / "ranks.json", table("127.0.0.1", "127.0.0.2"))
    result = _dry("hf_fp32", "full_BoolQ", "8", "llama", "w", path, "4", "2", "2", "127.0.0.1")
    assert json.loads(result.stdout)["cluster"]["rank_start"] == 2
    lines = result.stderr.splitlines()
    assert lines[1].endswith(f"bash run.sh hf_fp32 full_BoolQ 8 llama w {path} 4 2 0 127.0.0.1")
    assert lines[4].endswith(f"bash run.sh hf_fp32 full_BoolQ 8 llama w {path} 4 2 2 127.0.0.1")
    assert "--nnodes 2 --node_rank 1 --master_addr 127.0.0.1 --master_port" in lines[5]


def test_a_dry_run_with_a_rank_table_that_cannot_be_used_is_refused(tmp_path):
    path = write(tmp_path / "ranks.json", {**table("127.0.0.1", "127.0.0.2"), "status": "initializing"})
    said = _refusal("hf_fp32", "full_BoolQ", "8", "llama", "w", path, "4", "2", "2", "127.0.0.1")
    assert "status is 'initializing'; 'completed' is expected" in said


def test_prefill_bounds_are_about_prompts_of_a_length():
    command = ["performance", "--case", "16,4", "--model", "w", "--prompts", "[1]"]
    assert "do not go with --prompts" in _refusal(*command, "--prefill-length", "9")


def _typed(result):
    """Return what is typed on each node, up to `run.sh` and after it."""
    lines = [line.split("run.sh", 1) for line in result.stderr.splitlines() if line.startswith("  type")]
    assert len(lines) == 2
    secrets = {before.split()[1] for before, _ in lines}
    assert len(secrets) == 1, "one for all nodes"
    assert re.fullmatch("MODELTEST_RANK_SECRET=[0-9a-f]{64}", secrets.pop())
    return [(before.split()[2:], shlex.split(after)) for before, after in lines]


def _asks_the_same(typed, result, *, node):
    """Say whether `typed` asks for the spec of `result`, but on `node`."""
    there, here = _spec(*typed), json.loads(result.stdout)
    starts = [spec["cluster"].pop("rank_start") for spec in (there, here)]
    return there == here and starts[0] == 2 * node


def test_what_is_typed_on_each_node_has_the_options_that_were_given(tmp_path, monkeypatch):
    monkeypatch.setenv("MASTER_PORT", "20007")
    monkeypatch.setenv("MODELTEST_DEVICE", "cpu")
    path = write(tmp_path / "ranks.json", table("127.0.0.1", "127.0.0.2"))
    words = ["hf_fp32", "sample_BoolQ", "8", "llama", "w", path, "4", "2", "2", "127.0.0.1"]
    options = ["--limit", "8", "--allow-dtype-cast", "--subject", "a b", "--subject", "c", "--seed=-3"]
    result = _dry(*words[:3], *options, *words[3:])
    monkeypatch.delenv("MODELTEST_DEVICE")  # as in the shell of the other node
    for node, (before, typed) in enumerate(_typed(result)):
        assert before == ["MASTER_PORT=20007", "bash"]
        assert _asks_the_same(typed, result, node=node)


@pytest.mark.parametrize(
    "command",
    [
        ["accuracy", "--task", "boolq", "--engine", "hf", "--dtype", "fp16", "--chat"],
        ["performance", "--case", "16,4", "--case", "8,8", "--batch-size", "1", "--batch-size", "3"],
        ["performance", "--case", "16,4", "--parallel", "tp=4, dp=1", "--kw-args", '{"a": 1}'],
        ["performance", "--case", "16,4", "--parallel", "[-1]", "--quick", "--case-budget-s", "2.5"],
        ["generate", "--input-text", "-x", "--do-sample", "--top-k", "3"],
    ],
    ids=lambda command: " ".join(command[:1] + command[-2:]),
)
def test_a_command_of_options_is_typed_on_each_node_with_its_own_number(command, tmp_path):
    path = write(tmp_path / "ranks.json", table("127.0.0.1", "127.0.0.2"))
    result = _dry(*command, "--model", "w", "--rank-table", path, "--node-rank", "0")
    for node, (before, typed) in enumerate(_typed(result)):
        assert before == ["bash"]
        assert typed[-2:] == ["--node-rank", str(node)]
        assert _asks_the_same(typed, result, node=node)
