from typing import Any

import pytest

from engines.endpoint.dialects import recognize

VLLM = {"id": "m", "owned_by": "vllm", "max_model_len": 4096}


@pytest.mark.parametrize(
    ("entry", "answers", "name", "version", "context"),
    [
        (VLLM, {"//version": {"version": "0.32.0"}}, "vllm", "0.32.0", 4096),
        (
            {"owned_by": "sglang", "max_model_len": 8},
            {"//get_model_info": {"model_path": "m"}, "//get_server_info": {"version": "0.5.6"}},
            "sglang",
            "0.5.6",
            8,
        ),
        ({}, {"//info": {"model_id": "m", "max_total_tokens": 99, "version": "3.3"}}, "tgi", "3.3", 99),
        ({}, {"//v1/config": {}, "//info": {"model_id": "m", "version": "2.2"}}, "mindie", "2.2", None),
        (
            {"owned_by": "llamacpp"},
            {"//props": {"default_generation_settings": {"n_ctx": 512}, "build_info": "b1"}},
            "llama.cpp",
            "b1",
            512,
        ),
        ({}, {"//v1/config": {"maxSeqLen": 2560}}, "mindie", None, 2560),
        ({}, {"//openapi.json": {"paths": {"/load_model": {}, "/reset": {}}}}, "transformers", None, None),
        (None, {}, "unknown", None, None),
        ({}, {"//openapi.json": {"paths": ["/v1/models"]}}, "unknown", None, None),
        ({"max_model_len": "long"}, {"//version": [], "//props": "x"}, "unknown", None, None),
    ],
)
def test_servers_are_known_by_their_answers(
    entry: Any, answers: dict[str, Any], name: str, version: str | None, context: int | None
) -> None:
    found = recognize(entry, answers)
    assert (found.dialect.name, found.version, found.context_tokens) == (name, version, context)
