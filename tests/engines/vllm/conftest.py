"""vLLM with a tiny model, for tests that run where it is installed."""

import pytest
from families import Family, build

from engines.vllm.engine import VLLMEngine
from modeltest.api import ModelInfo, RunSpec
from modeltest.testing.engine_contract import Loaded

WIDE = Family("llama_wide", "llama", {"head_dim": 32})
"""vLLM's attention on the cpu takes no smaller heads."""


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return build(WIDE, tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="module")
def start_vllm():
    """Return what loads the model in a folder with vLLM, for a spec with the fields it is given."""
    with pytest.MonkeyPatch.context() as variables:

        def start(directory, **asked):
            spec = RunSpec("vllm_fp32", "test", "test", "llama", str(directory), dtype="float32", **asked)
            info = ModelInfo("llama", "llama", str(directory), "llama", "float32", None, 512, 128, 1, None)
            engine = VLLMEngine()
            if reason := engine.obstacle(spec):
                pytest.skip(f"vllm: {reason}")
            engine.check(spec, info)
            for name, value in engine.environment(spec, info).items():
                variables.setenv(name, value)
            return Loaded(engine, engine.load(spec, info), (spec, info))

        yield start
