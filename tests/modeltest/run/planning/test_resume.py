"""What a run that goes on is held against."""

import json
import os
import struct
from dataclasses import replace

import pytest

from modeltest.api import EngineInfo, RunResult, RunSpec, ServedModel, SpecError
from modeltest.models.checkpoint import fingerprint_before
from modeltest.run.planning.plan import plan, protocol_version
from modeltest.run.planning.resume import (
    asked_by,
    refuse_other_engine,
    refuse_other_run,
    refuse_other_words,
)
from modeltest.version import __version__

HEADER = json.dumps({"w": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]}}).encode()


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "torch_dtype": "float32"}))
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(HEADER)) + HEADER + b"1234")
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "modeling_x.py").write_text("x = 1")
    return RunSpec(
        engine="hf_fp32",
        mode="sample_BoolQ",
        task="boolq",
        split="sample",
        model="auto",
        weights=str(tmp_path),
        dtype="float32",
        batch_sizes=((1,),),
        trust_remote_code=True,
    )


def begun(spec):
    planned = plan(spec)
    return RunResult(
        spec=spec,
        started="2026-01-01",
        status="failed",
        model=planned.model,
        adapter=planned.engine.name,
        engine=None,
        dataset=None,
        machine={},
        modeltest_version=__version__,
        protocol_version=protocol_version(planned),
    )


def refusal(spec, result):
    with pytest.raises(SpecError) as caught:
        refuse_other_run("runs/x", result, plan(spec))
    return str(caught.value)


def test_the_same_checkpoint_goes_on(spec):
    refuse_other_run("runs/x", begun(spec), plan(spec))


@pytest.mark.parametrize("name", ["tokenizer.json", "modeling_x.py"])
def test_a6_a_file_that_changed_is_named(spec, tmp_path, name):
    result = begun(spec)
    (tmp_path / name).write_text("[1]")
    message = refusal(spec, result)
    assert f"{name} of the checkpoint was " in message
    assert message.count("of the checkpoint was") == 1


def test_a6_weights_that_were_written_since_are_named_though_their_samples_are_the_same(spec, tmp_path):
    os.utime(tmp_path / "model.safetensors", (1_000_000_000, 1_000_000_000))
    result = begun(spec)
    assert result.model.written == {"model.safetensors": "2001-09-09T01:46:40+00:00"}
    os.utime(tmp_path / "model.safetensors", (1_000_000_060, 1_000_000_060))
    os.utime(tmp_path / "tokenizer.json", (1_000_000_060, 1_000_000_060))  # its digest is of all of it
    assert (
        "the time of the last writing of model.safetensors of the checkpoint was 2001-09-09T01:46:40+00:00, "
        "now it is 2001-09-09T01:47:40+00:00;"
    ) in refusal(spec, result)
    refuse_other_run("runs/x", replace(result, model=replace(result.model, written={})), plan(spec))


def test_a6_of_weights_with_other_samples_the_digest_alone_is_named(spec, tmp_path):
    result = begun(spec)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"5")
    os.utime(path, (1_000_000_000, 1_000_000_000))
    message = refusal(spec, result)
    assert "; model.safetensors of the checkpoint was " not in message
    assert message.count("model.safetensors of the checkpoint was ") == 1


def test_a6_a_file_that_came_or_went_is_named(spec, tmp_path):
    result = begun(spec)
    (tmp_path / "chat_template.jinja").write_text("{{ x }}")
    assert "chat_template.jinja of the checkpoint was not there, now it is " in refusal(spec, result)
    result = begun(spec)
    (tmp_path / "chat_template.jinja").unlink()
    assert "now it is not there" in refusal(spec, result)


def test_a6_a_run_of_before_is_held_against_what_it_recorded(spec, tmp_path):
    result = begun(spec)
    earlier = replace(result.model, files={}, fingerprint=fingerprint_before(spec))
    result = replace(result, model=earlier)
    (tmp_path / "tokenizer.json").write_text("[1]")  # it recorded nothing of this
    refuse_other_run("runs/x", result, plan(spec))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "dtype": "float32"}))
    assert "weights (fingerprint) was " in refusal(spec, result)


def test_a7_words_that_leave_the_device_to_their_first_go_on(spec):
    begun_with = replace(spec, device="cpu")
    refuse_other_words("runs/x", begun_with, asked_by(spec))
    with pytest.raises(SpecError, match="device was cpu, now it is cuda"):
        refuse_other_words("runs/x", begun_with, asked_by(replace(spec, device="cuda")))


def test_a_server_with_other_weights_is_refused_and_the_same_goes_on(tmp_path):
    def served(*logprobs):
        info = EngineInfo("openai", "server", "unknown", 9, (), None, {})
        return replace(info, served=ServedModel("m", logprobs, noise=0.0))

    then = served(-1.0, -2.0)
    refuse_other_engine(tmp_path, None, then, is_timed=True)
    refuse_other_engine(tmp_path, then, served(-1.0001, -2.0), is_timed=True)
    with pytest.raises(SpecError, match=r"differ by 0\.5 in the mean .* the server has other weights"):
        refuse_other_engine(tmp_path, then, served(-1.5, -2.5), is_timed=False)
