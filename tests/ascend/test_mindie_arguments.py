"""What reaches the constructor of PARunner, and what it was started with.

That options give the same spec as words is tested with them, in tests/modeltest/cli/test_model_options.py.
"""

import json
import os
import subprocess
import sys

import pytest
from rank_tables import table, write

COMMAND = [sys.executable, "-m", "modeltest"]
KW_ARGS = '{"encrypt_enable": 1, "key": "k"}'
STAND_IN = ("--engine-option", "stand_in=yes")


def _run(words, tmp_path, *, expect=0):
    """Return the lines that the runner wrote when it was made, and what the command said."""
    record = tmp_path / "record.jsonl"
    done = subprocess.run(
        [*COMMAND, *words, *STAND_IN, "--output", str(tmp_path / "out")],
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "STAND_IN_RECORD": str(record), "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
    )
    assert done.returncode == expect, done.stderr
    lines = record.read_text().splitlines() if record.exists() else []
    return [json.loads(line) for line in lines], done.stderr


@pytest.fixture
def weights(demo_model):
    return str(demo_model("llama", "float16"))


def _timed_words(weights):
    words = ["pa_fp16", "performance", "[[16,4]]", "4", "2", "prefill_length", "64", "auto", weights, KW_ARGS]
    return [*words, "1", "[1,1,1,1,1,1,2,1]", "512", "--quick"]


def test_everything_the_words_say_of_the_runner_reaches_it(weights, tmp_path):
    (made,), _ = _run(_timed_words(weights), tmp_path)
    assert made["arguments"] == {
        "rank": 0,
        "local_rank": 0,
        "world_size": 1,
        "model_path": weights,
        "trust_remote_code": False,
        "load_tokenizer": False,
        "block_size": 128,
        "max_batch_size": 4,
        "max_input_length": 16,
        "max_output_length": 4,
        "max_prefill_tokens": -1,
        "max_prefill_batch_size": 2,
        "prefill_length": 64,
        "max_position_embeddings": 512,
        **dict.fromkeys(("dp", "tp", "sp", "cp", "moe_tp", "moe_ep", "pp"), 1),
        "microbatch_size": 2,
        "kw_args": KW_ARGS,
    }
    assert made["environment"]["modeltest_pd_split_enable"] is True
    assert made["environment"]["visible_devices"] == [0]


def test_what_the_words_leave_open_is_the_library_s(weights, tmp_path):
    (made,), _ = _run(["pa_fp16", "sample_BoolQ", "4", "auto", weights, "1", "--limit", "2"], tmp_path)
    arguments = made["arguments"]
    assert {arguments[name] for name in ("dp", "tp", "sp", "cp", "moe_tp", "moe_ep", "pp")} == {-1}
    assert (arguments["microbatch_size"], arguments["max_prefill_tokens"]) == (-1, -1)
    assert not {"kw_args", "prefill_length", "max_prefill_batch_size", "lora_modules"} & arguments.keys()
    assert made["environment"]["modeltest_pd_split_enable"] is False
    assert made["environment"]["rank_table_file"] == ""


def test_adapters_reach_the_runner_by_name(weights, tmp_path):
    import shutil

    copy = tmp_path / "weights"
    shutil.copytree(weights, copy)
    (copy / "lora_adapter.json").write_text('{"law": "law"}')
    (tmp_path / "lora.jsonl").write_text('{"7": "law"}')
    words = ["pa_fp16", "sample_BoolQ", "4", "auto", "lora", "lora.jsonl", str(copy), "1", "--limit", "2"]
    _, said = _run(words, tmp_path, expect=2)
    assert f"the adapter 'law' of lora_adapter.json has no adapter_config.json in {copy}/law" in said


@pytest.mark.long
@pytest.mark.slow
def test_a_pipeline_answers_as_one_rank_does(weights, tmp_path):
    words = ["pa_fp16", "sample_BoolQ", "4", "auto", weights]
    for name, place in (("one", ["1"]), ("two", ["2", "[-1,1,-1,-1,-1,2]"])):
        (tmp_path / name).mkdir()
        made, _ = _run([*words, *place, "--limit", "4"], tmp_path / name)
    assert [one["arguments"]["rank"] for one in sorted(made, key=lambda one: one["arguments"]["rank"])] == [
        0,
        1,
    ]
    assert {(one["arguments"]["pp"], one["environment"]["master_ip"]) for one in made} == {(2, "127.0.0.1")}
    answers = []
    for name in ("one", "two"):
        (directory,) = (tmp_path / name / "out").iterdir()
        lines = (directory / "samples.jsonl").read_text().splitlines()
        samples = [json.loads(line)["sample"] for line in lines]
        answers.append({one["score"]["request_id"]: one["completion"]["choice_logprobs"] for one in samples})
    assert answers[0] == answers[1]


def test_a_pipeline_is_not_timed(weights, tmp_path):
    words = ["pa_fp16", "performance", "[[16,4]]", "1", "auto", weights, "2", "[-1,1,-1,-1,-1,2]"]
    made, said = _run(words, tmp_path, expect=2)
    assert made == []
    assert "pp 2: with pipeline parallelism MindIE writes zeros for its times" in said


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs all of 127.0.0.0/8")
def test_a_node_of_a_rank_table_is_what_the_runner_was_started_as(weights, tmp_path):
    path = write(tmp_path / "ranks.json", table("127.0.0.1", devices=2))
    words = ["pa_fp16", "sample_BoolQ", "4", "auto", weights, path, "2", "1", "0", "127.0.0.1"]
    made, _ = _run([*words, "--limit", "2"], tmp_path)
    assert {one["environment"]["rank_table_file"] for one in made} == {path}
    assert {one["arguments"]["local_rank"] for one in made} == {0, 1}
    assert [one["environment"]["visible_devices"] for one in made] == [[0, 1]] * 2
