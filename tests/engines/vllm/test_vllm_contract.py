"""The contract of engines, on vLLM with a tiny model; runs where vLLM is installed."""

import pytest

from modeltest.api import Case, Parallel
from modeltest.testing import EngineContract

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default")]


class TestVLLM(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def loaded(cls, llama, start_vllm):
        found = start_vllm(llama)
        yield found
        found.engine.close()


class TestReplicasOfVLLM(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def loaded(cls, llama, start_vllm):
        found = start_vllm(llama, world_size=2, parallel=Parallel(dp=2))
        yield found
        found.engine.close()


class TestTimedVLLM(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def loaded(cls, llama, start_vllm):
        found = start_vllm(
            llama,
            cases=(Case(64, 40),),
            batch_sizes=((3,),),
            engine_options={"compile": "no"},
        )
        yield found
        found.engine.close()
