"""A torch_npu whose CANN is missing: everything but a demanded npu works as if it were not there."""

import os
import subprocess
import sys

import pytest
from torch_npu_places import NO_CANN

WORDS = ("sample_BoolQ", "8", "auto")


def _python(machine, *arguments: str, cwd=None, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **machine.variables, **variables}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False)


def test_left_to_itself_it_breaks_torch(without_cann):
    done = _python(without_cann, "-c", "import torch")
    assert "Failed to load the backend extension: torch_npu" in done.stderr


def test_without_autoload_it_breaks_transformers(without_cann):
    code = "import transformers.modeling_utils"
    done = _python(without_cann, "-c", code, TORCH_DEVICE_BACKEND_AUTOLOAD="0")
    assert NO_CANN in done.stderr


def test_a_run_on_the_cpu_does_not_even_try_it(on_the_cpu):
    assert on_the_cpu.result["status"] == "complete", on_the_cpu.said
    assert on_the_cpu.result["engine"]["device"] == "cpu"
    assert "torch_npu was imported" not in on_the_cpu.log
    assert not any("npu" in note for note in on_the_cpu.result["engine"]["notes"])


def test_a_run_that_would_have_been_on_an_npu_says_why_it_was_not(without_cann, weights):
    ran = without_cann.run("hf", *WORDS, weights, "1", "--limit", "4")
    assert ran.result["status"] == "complete", ran.said
    assert ran.result["engine"]["device"] == "cpu"
    (note,) = [note for note in ran.result["engine"]["notes"] if "npu" in note]
    assert note.startswith("on cpu, not on an npu: torch_npu 2.13.0 cannot be imported")


def test_a_demanded_npu_ends_with_3_and_the_reason(without_cann, weights):
    ran = without_cann.run("hf", *WORDS, weights, "1", MODELTEST_DEVICE="npu")
    assert ran.status == 3
    assert "device npu is demanded but not usable here: torch_npu 2.13.0 cannot be imported" in ran.said
    assert NO_CANN in ran.said
    assert "source set_env.sh of CANN" in ran.said
    assert ran.said.rstrip().endswith("usable: cpu")


@pytest.mark.long
def test_ranks_on_the_cpu_are_started(without_cann, weights):
    ran = without_cann.run("hf_fp32", *WORDS, weights, "2", "--limit", "4")
    assert ran.result["status"] == "complete", ran.said
    assert ran.result["engine"]["ranks"]["backend"] == "gloo"


def test_demo_models_and_converted_weights_are_written(without_cann, tmp_path):
    made = _python(without_cann, "-m", "modeltest", "demo-model", "gpt2", "demo", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    demo = tmp_path / "demo"
    code = (
        "import torch\nfrom safetensors.torch import load_file\n"
        "torch.save(load_file('model.safetensors'), 'pytorch_model.bin')\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=demo, check=True)
    (demo / "model.safetensors").unlink()
    converted = _python(without_cann, "-m", "modeltest", "convert", "--model", str(demo))
    assert converted.returncode == 0, converted.stderr
    assert (demo / "model.safetensors").is_file()
