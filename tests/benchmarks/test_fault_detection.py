"""Trials at load refuse every fault that is put in, in three dtypes, and accept the ways without one."""

import pytest
import torch
from fault_detection import RIGHT, Bench
from faults.injected import FAULTS, GROUPED_HEADS, LEARNED_POSITIONS, TUNED_ON, WINDOW, graded
from transformers import AutoModelForCausalLM, AutoTokenizer, MistralConfig

DTYPES = ("float32", "bfloat16", "float16")
ALL_FAULTS = (*TUNED_ON, *FAULTS)


@pytest.fixture(scope="module")
def windowed(demo_model, tmp_path_factory):
    """A checkpoint whose attention reaches 12 tokens back, and whose heads share keys."""
    directory = tmp_path_factory.mktemp("windowed")
    torch.manual_seed(1)
    config = MistralConfig(
        vocab_size=1536,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=12,
        max_position_embeddings=256,
        initializer_range=0.2,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(directory)
    AutoTokenizer.from_pretrained(demo_model("llama")).save_pretrained(directory)
    return directory


@pytest.fixture(scope="module", params=DTYPES)
def benches(request, demo_model, windowed):
    """What each fault is put into, by what it needs."""
    dtype = request.param
    llama, gpt2, mistral = (
        Bench(str(directory), dtype) for directory in (demo_model("llama"), demo_model("gpt2"), windowed)
    )
    return {"": llama, GROUPED_HEADS: llama, LEARNED_POSITIONS: gpt2, WINDOW: mistral}


@pytest.mark.parametrize("fault", ALL_FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_refused(benches, fault):
    bench = benches[fault.needs]
    assert bench.shows(fault)
    distances = bench.measure(fault)
    assert distances is not None
    assert not distances[-1].is_rounding


@pytest.mark.parametrize("right", RIGHT, ids=lambda fault: fault.way)
def test_a_way_without_a_fault_is_accepted(benches, right):
    for bench in benches.values():
        assert all(distance.is_rounding for distance in bench.measure(right))


def test_a_fault_below_the_rounding_of_the_dtype_is_refused(benches):
    bench = benches[""]
    by_name = {fault.name: bench.measure(fault) for fault in graded()}
    assert not by_name["scale off by 3e-05"][-1].is_rounding
    assert all(distance.is_rounding for distance in by_name["scale off by 1e-06"])


def test_faults_put_in_are_taken_out_again(benches):
    bench = benches[""]
    for fault in filter(bench.shows, ALL_FAULTS):
        bench.measure(fault)
    assert all(distance.is_rounding for right in RIGHT for distance in bench.measure(right))
