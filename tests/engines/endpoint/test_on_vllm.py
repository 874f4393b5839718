"""The contract of every engine, on a real server of vLLM; and its choices beside those of the engine `hf`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from endpoint_engine import loaded_from
from vllm_servers import VllmServer

from engines.hf.engine import HFEngine
from modeltest.api import RunSpec
from modeltest.models.checkpoint import inspect_checkpoint
from modeltest.testing.engine_contract import (
    CHOICES,
    CONTINUED,
    GENERATIONS,
    EngineContract,
    Loaded,
    complete,
)

pytestmark = pytest.mark.vllm

NEAR = 1e-3
"""Two correct computations in float32 are closer."""


@pytest.fixture(scope="module", params=["tokenizer", "no tokenizer"])
def loaded(vllm_server: VllmServer, request: pytest.FixtureRequest) -> Iterator[Loaded]:
    options = {"tokenizer": str(vllm_server.checkpoint)} if request.param == "tokenizer" else {}
    yield from loaded_from(vllm_server.url, **options)


class TestOnVLLM(EngineContract):
    """All of it, unchanged."""

    def test_every_ability_is_seen(self, loaded: Loaded) -> None:
        assert [each.name for each in loaded.info.abilities if not each.is_there] == []
        assert loaded.info.lacking == {}
        assert loaded.info.versions["vllm"].startswith("0.")

    def test_answers_are_those_of_transformers(self, loaded: Loaded, vllm_server: VllmServer) -> None:
        spec = RunSpec("hf_fp32", "test", "test", "auto", str(vllm_server.checkpoint), dtype="float32")
        model, engine = inspect_checkpoint(spec), HFEngine()
        engine.load(spec, model)
        expected = complete(engine, [*CHOICES, *CONTINUED, *GENERATIONS])
        engine.close()
        found = complete(loaded.engine, [*CHOICES, *CONTINUED, *GENERATIONS])
        for name, row in expected.items():
            assert found[name].prompt_tokens == row.prompt_tokens
            assert found[name].choice_logprobs == pytest.approx(row.choice_logprobs, abs=NEAR)
            for tokens, own in zip(row.token_logprobs, found[name].token_logprobs, strict=True):
                assert own == pytest.approx(tokens, abs=NEAR)
            assert found[name].choice_is_greedy == row.choice_is_greedy
            assert found[name].text == row.text
            assert found[name].output_tokens == row.output_tokens
