"""Which runs share one loaded model."""

from dataclasses import fields, is_dataclass, replace

import pytest

from modeltest.api import (
    GenerationOptions,
    ModelInfo,
    Parallel,
    RunSpec,
    Sampling,
    TaskOptions,
)
from modeltest.run.planning.plan import plan
from modeltest.run.supervisor.workers import FREE_FIELDS, load_key

ASKED = {
    RunSpec: {
        *("engine", "model", "weights", "dtype", "device", "options", "world_size", "parallel", "cluster"),
        *("chat", "lora", "kw_args", "trust_remote_code", "max_position_embeddings", "allow_dtype_cast"),
        *("engine_options", "engine_python"),
    },
    TaskOptions: {"generation", "locate"},
    GenerationOptions: {"sampling"},
}
"""What a load is for; fields that are themselves taken apart are among them."""

SPEC = RunSpec(engine="fake", mode="sample_BoolQ", task="boolq", model="llama", weights="none")
MODEL = ModelInfo("m", "m", "none", "m", None, None, None, 128, 1, None)


@pytest.mark.parametrize("of", sorted(FREE_FIELDS, key=lambda each: each.__name__))
def test_a7_every_field_of_a_spec_is_decided_on(of):
    """A new field fails here until somebody has said whether two runs that differ in it can share a load."""
    assert {field.name for field in fields(of)} == FREE_FIELDS[of] | ASKED[of]
    assert not FREE_FIELDS[of] & ASKED[of]


def test_a7_what_is_nested_in_a_spec_is_free_or_asked_whole_or_taken_apart():
    def nested(value):
        return {field.name for field in fields(value) if is_dataclass(getattr(value, field.name))}

    assert nested(SPEC) == {"options", "parallel"}
    assert type(SPEC.options) in FREE_FIELDS


def key(model=MODEL, **changes):
    made = plan(replace(SPEC, batch_sizes=((1,),), **changes))
    return load_key(replace(made, model=model))


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": "other"},
        {"dtype": "float16"},
        {"device": "cpu"},
        {"chat": True},
        {"parallel": Parallel(dp=2)},
        {"trust_remote_code": True},
        {"max_position_embeddings": 9},
        {"allow_dtype_cast": True},
        {"engine_options": {"step_ms": "1"}},
        {"options": TaskOptions(generation=GenerationOptions(1, sampling=Sampling()))},
    ],
)
def test_a7_runs_that_ask_otherwise_of_a_load_share_none(changes):
    assert key(**changes) not in (None, key())


def test_a6_weights_that_were_written_since_are_loaded_again():
    before, after = (replace(MODEL, written={"x.safetensors": time}) for time in ("2026", "2027"))
    assert key(before) == key(before)
    assert key(before) != key(after)


@pytest.mark.parametrize("changes", [{"seed": 3}, {"limit": 2}, {"output_dir": "x"}, {"protocol": "lm-eval"}])
def test_runs_that_differ_in_their_questions_share_one(changes):
    assert key(**changes) == key()


def test_a7_the_reference_word_and_the_engine_with_its_dtype_are_two_loads(demo_model):
    weights = str(demo_model("llama"))
    words = replace(
        SPEC, weights=weights, model="auto", dtype="float32", batch_sizes=((1,),), allow_dtype_cast=True
    )
    reference, candidate = (plan(replace(words, engine=word)) for word in ("hf_fp32", "hf"))
    assert (reference.spec.device, candidate.spec.device) == ("cpu", None)
    assert load_key(reference) not in (None, load_key(candidate))


def test_a7_a_device_that_is_demanded_counts_before_that_of_the_word(demo_model):
    words = replace(
        SPEC, engine="hf_fp32", weights=str(demo_model("llama")), model="auto", batch_sizes=((1,),)
    )
    assert plan(replace(words, dtype="float32", allow_dtype_cast=True, device="cuda")).spec.device == "cuda"
