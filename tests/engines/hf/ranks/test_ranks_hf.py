"""Two real processes under torchrun, connected by gloo: they must answer as one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from families import FAMILY_BY_FAMILY_NAME, build
from rank_requests import KINDS, info_of, requests_of, spec_of
from safetensors.torch import load_file, save_file

from engines.hf.engine import HFEngine
from modeltest.machine.rank_messages import SECRET_VARIABLE, fresh_secret

FAMILIES = ("gpt_neox", "llama", "qwen2", "tied", "gemma3")
"""The last nests its text config."""

TOLERANCE = 1e-4
NO_MEMORY = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"
JOBS = Path(__file__).with_name("rank_jobs.py")


def _jobs(models: dict) -> dict[str, dict]:
    llama = models["llama"]
    split = {name: {"weights": path, "kinds": KINDS, "batch_size": 4} for name, path in models.items()}
    return {
        **split,
        "replicas": {"weights": llama, "kinds": KINDS[:-1], "batch_size": 4, "parallel": {"dp": 2}},
        "out of memory": {
            "weights": llama,
            "kinds": ("one token", "generation"),
            "batch_size": 8,
            "failures": {"message": NO_MEMORY, "times": 2},
        },
        "out of memory while timed": {
            "weights": llama,
            "kinds": ("timed", "generation"),
            "batch_size": 4,
            "failures": {"message": NO_MEMORY, "times": 1},
        },
        "a defect": {
            "weights": llama,
            "kinds": ("one token", "generation"),
            "batch_size": 4,
            "failures": {"message": "shapes do not match", "times": 1},
        },
        "a defect of a replica": {
            "weights": llama,
            "kinds": ("one token",),
            "batch_size": 4,
            "parallel": {"dp": 2},
            "failures": {"message": "shapes do not match", "times": 1},
        },
    }


@pytest.fixture(scope="module")
def models(demo_model, tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    made = {
        "tied": _tied_copy(demo_model("llama"), folder / "llama"),
        "gemma3": build(FAMILY_BY_FAMILY_NAME["gemma3"], folder / "gemma3"),
    }
    return {family: str(made.get(family) or demo_model(family)) for family in FAMILIES}


def _tied_copy(source: Path, directory: Path) -> Path:
    """Return a copy whose output matrix is its embeddings, of which there is an odd number."""
    shutil.copytree(source, directory)
    config = json.loads((directory / "config.json").read_text())
    weights = load_file(directory / "model.safetensors")
    del weights["lm_head.weight"]
    embeddings = weights["model.embed_tokens.weight"]
    weights["model.embed_tokens.weight"] = torch.cat([embeddings, embeddings[-1:] + 1])
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    config |= {"tie_word_embeddings": True, "vocab_size": len(embeddings) + 1}
    (directory / "config.json").write_text(json.dumps(config))
    return directory


@pytest.fixture(scope="module")
def ran(models, tmp_path_factory) -> dict[str, dict]:
    """Return what two ranks made of every job; one start of two processes for all of them."""
    folder = tmp_path_factory.mktemp("ranks")
    jobs = _jobs(models)
    (folder / "jobs.json").write_text(json.dumps(list(jobs.values())))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    torchrun += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"]
    done = subprocess.run(
        [*torchrun, JOBS, folder / "jobs.json", folder / "results.json"],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, SECRET_VARIABLE: fresh_secret()},
    )
    assert done.returncode == 0, done.stderr
    return dict(zip(jobs, json.loads((folder / "results.json").read_text()), strict=True))


@pytest.fixture(scope="module")
def alone(models) -> dict[str, dict]:
    """Return what one process answers, by family and request."""
    answers = {}
    for family, weights in models.items():
        engine = HFEngine()
        engine.load(spec_of(weights), info_of(weights))
        answers[family] = {
            completion.request_id: completion
            for kind in KINDS
            for batch in engine.complete(requests_of(kind), batch_size=4)
            for completion in batch
        }
        engine.close()
    return answers


def _assert_equal(found: dict, expected: dict, count: int) -> None:
    assert len(found) == count
    for name, answer in found.items():
        assert answer["error"] is None
        assert tuple(answer["output_tokens"]) == expected[name].output_tokens
        assert answer["text"] == expected[name].text
        assert answer["choice_logprobs"] == pytest.approx(expected[name].choice_logprobs, abs=TOLERANCE)
        told = zip(answer["token_logprobs"], expected[name].token_logprobs, strict=True)
        assert all(mine == pytest.approx(list(theirs), abs=TOLERANCE) for mine, theirs in told)
        assert tuple(answer["choice_is_greedy"]) == expected[name].choice_is_greedy


@pytest.mark.parametrize("family", FAMILIES)
def test_two_ranks_with_a_part_of_the_model_each_answer_as_one(ran, alone, family):
    _assert_equal(ran[family]["answers"], alone[family], 44)
    assert not ran[family]["errors"]
    assert all(ran[family]["answers"][f"t{i}"]["token_times_ns"] for i in range(4))


# All rows that share a prefix are beyond the window of gemma3, and too few for a trial there.
@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "gemma3"])
def test_ranks_share_prefixes_as_one_process_does(ran, family):
    assert "shared prefixes on" in ran[family]["info"]["notes"][0]
    assert ran[family]["usage"]["reused_tokens"] > 0


def test_how_the_work_was_shared_is_told(ran):
    ranks = ran["llama"]["info"]["ranks"]
    assert (ranks["world_size"], ranks["split"], ranks["replicas"], ranks["backend"]) == (2, 2, 1, "gloo")
    assert [device.split(",")[0] for device in ranks["devices"]] == ["cpu", "cpu"]
    assert ran["llama"]["peak"] > 0
    assert ran["llama"]["usage"]["peak_memory_bytes"] >= ran["llama"]["peak"]


def test_two_replicas_answer_as_one(ran, alone):
    _assert_equal(ran["replicas"]["answers"], alone["llama"], 40)
    ranks = ran["replicas"]["info"]["ranks"]
    assert (ranks["split"], ranks["replicas"]) == (1, 2)


def test_what_does_not_fit_on_one_rank_is_halved_on_all(ran, alone):
    found = ran["out of memory"]
    _assert_equal(found["answers"], alone["llama"], 20)
    assert found["usage"]["split_batches"] == 2


def test_a_timed_batch_that_does_not_fit_on_one_rank_is_out_of_memory_and_all_live_on(ran, alone):
    found = ran["out of memory while timed"]
    assert found["errors"]["timed"].startswith("OutOfMemory: out of memory with 4 rows of up to 16 prompt")
    assert "on rank 1" in found["errors"]["timed"]
    _assert_equal(found["answers"], alone["llama"], 10)


def test_a_defect_on_one_rank_is_told_with_its_number(ran):
    assert ran["a defect"]["errors"]["one token"] == "EngineError: rank 1: RuntimeError: shapes do not match"
    said = ran["a defect of a replica"]["errors"]["one token"]
    assert said == "EngineError: rank 1: RuntimeError: shapes do not match"
