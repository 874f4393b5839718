"""What every engine must honour: the fake engine, and the others with a tiny model of each family."""

import os
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from modeltest.api import Capability, Demanding, ModelInfo, RunSpec, WritingFiles
from modeltest.registry import load_engine
from modeltest.testing import EngineContract
from modeltest.testing.engine_contract import Loaded

FAMILIES = ("gpt2", "gpt_neox", "gemma", "llama", "qwen2", "internlm2")
STAND_IN = {"stand_in": "yes", "record": "times+ids+logits"}
MINDIE = ("mindie_pa-llama", "mindie_pa-gpt2", "mindie_fa-llama")
"""On the stand-in of tests/ascend, in float16; MindIE loads nothing wider."""


FAULT = {"fault": "attention_scale:1.02"}


def _options(name: str) -> dict[str, str]:
    return STAND_IN if name.startswith("mindie") else FAULT if name == "faulty" else {}


def _started(name: str, family: str, weights: str, scratch: Path) -> Loaded:
    dtype = "float16" if name.startswith("mindie") else "float32"
    spec = RunSpec(
        engine="hf_fp32" if name == "hf" else name,
        mode="test",
        task="test",
        model=family,
        weights=weights,
        dtype=dtype,
        trust_remote_code=family == "internlm2",
        output_dir=str(scratch),
        engine_options=_options(name),
    )
    context = 512 if name.startswith("mindie") else 8192  # a warm-up prefills as many tokens as fit
    info = ModelInfo(family, family, weights, family, dtype, None, context, 128, 1, None)
    engine = load_engine(name)
    if isinstance(engine, Demanding) and (reason := engine.obstacle(spec)):
        pytest.skip(f"{name}: {reason}")
    engine.check(spec, info)
    variables = dict(engine.environment(spec, info))
    if isinstance(engine, WritingFiles):
        variables |= engine.file_environment(spec, scratch)
        os.environ.update(variables)
        sys.path[:0] = variables["PYTHONPATH"].split(os.pathsep)
    return Loaded(engine, engine.load(spec, info), (spec, info))


@pytest.fixture(
    scope="module",
    params=[
        "fake",
        *(f"{name}-{family}" for name in ("hf", "hf_paged") for family in FAMILIES),
        "faulty-llama",
        *MINDIE,
    ],
)
def loaded(request, demo_model, tmp_path_factory):
    name, _, family = request.param.partition("-")
    dtype = ("float16",) if name.startswith("mindie") else ()
    weights = str(demo_model(family, *dtype)) if family else "none"
    with _forgotten_afterwards():
        started = _started(name, family, weights, tmp_path_factory.mktemp("engine"))
        yield started
        started.engine.close()


@contextmanager
def _forgotten_afterwards():
    """Let nobody else see the variables, paths and modules of an engine's library."""
    variables, paths, modules = dict(os.environ), list(sys.path), set(sys.modules)
    yield
    os.environ.clear()
    os.environ.update(variables)
    sys.path[:] = paths
    for name in set(sys.modules) - modules:
        if name.partition(".")[0] in ("examples", "atb_llm"):
            del sys.modules[name]


class TestEngines(EngineContract):
    """Every engine of this repository."""

    def test_prefill_limits_are_claimed_by_the_runner_that_honours_them_alone(self, loaded):
        assert (Capability.PREFILL_LIMITS in loaded.engine.capabilities) == (
            loaded.engine.name == "mindie_pa"
        )
