"""`--dtype` says what a server computes in: it is held against what its log-probabilities show."""

import json

import pytest
from asked_engine import asked_engine
from made_model import write_tokenizer
from run_processes import run
from running_servers import made_server

from engines.endpoint.engine import OpenAIEngine
from modeltest.api import RunSpec, SpecError


def _loaded(url, dtype):
    spec = RunSpec("openai", "boolq", "boolq", "auto", url, dtype=dtype)
    engine = OpenAIEngine()
    try:
        return engine.load(spec, engine.served_model(spec))
    finally:
        engine.close()


def test_float32_is_refused_where_logits_come_in_steps(tmp_path):
    with (
        made_server(tmp_path, "vllm", "--weights", "int4") as server,
        pytest.raises(SpecError, match=r"in steps of 0\.5; give the dtype that the server was started with"),
    ):
        _loaded(server.url, "float32")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bits_may_be_stated_whatever_the_logits_show(dtype, tmp_path):
    for weights in ("base", "int4"):
        with made_server(tmp_path, "vllm", "--weights", weights) as server:
            info = _loaded(server.url, dtype)
        seen = {each.name: each for each in info.abilities}["float32_logits"]
        assert info.dtype == dtype
        assert seen.is_there is (weights == "base")
        assert "the dtype is what was stated of the server" in info.notes


def test_a_dtype_that_nobody_states_stays_unknown(tmp_path):
    with made_server(tmp_path, "vllm") as server, asked_engine(server.url) as (_, info):
        assert info.dtype == "unknown"


def test_a_server_that_tells_tokens_by_their_texts_shows_nothing_of_its_logits(tmp_path):
    with made_server(tmp_path, "sglang", "--no-own-routes") as server, asked_engine(server.url) as (_, info):
        assert {each.name: each for each in info.abilities}["float32_logits"].is_there is None


def test_a_servers_own_route_shows_its_logits_too(tmp_path):
    with (
        made_server(tmp_path, "sglang", "--weights", "int4") as server,
        pytest.raises(SpecError, match=r"in steps of 0\.5 \(/generate\); give the dtype"),
    ):
        _loaded(server.url, "float32")


def test_near_ties_are_those_of_the_stated_dtype(tmp_path):
    tokenizer = str(write_tokenizer(tmp_path / "tokenizer"))
    found = {}
    with made_server(tmp_path, "vllm") as server:
        for name, word in {"stated": "openai_fp32", "unknown": "openai"}.items():
            asked = (word, "sample_BoolQ", "4", "auto", server.url, "1", "--tokenizer", tokenizer)
            run(*asked, output=tmp_path / name)
            (report,) = (tmp_path / name).rglob("accuracy.json")
            found[name] = json.loads(report.read_text())["near_ties"]["margin"]
    assert found == {"stated": 1e-3, "unknown": 1.0}
