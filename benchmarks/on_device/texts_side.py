"""Greedy texts after prompts that share a prefix. A process of its own, `texts_side ORDER.json`.

The order is that of `choices_side` with `prompts` and `new_tokens`, and the `way`: `modeltest`, its `hf`
engine, or `generate`, transformers' own call in padded batches. What is timed goes from prompts as text to
tokens on the host (`generate_s`), after a first time (`first_s`) in which kernels are chosen and ways of
feeding are tried. Only tokens up to the end of a text count.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from itertools import takewhile
from typing import Any

from lm_eval_comparison.shapes import END_OF_TEXT_ID
from on_device.orders import serve
from on_device.questions import requests_of, spec_of

from engines.common.device import peak_memory_bytes, synchronize
from engines.hf.engine import HFEngine
from modeltest.api import Request, TextPrompt
from modeltest.models.checkpoint import inspect_checkpoint

MODELTEST, GENERATE = "modeltest", "generate"

Texts = dict[str, list[int]]
"""By prompt, the tokens of its text."""


def main(arguments: list[str]) -> None:
    """Write what the order asks for."""
    serve(arguments, measure)


def measure(order: dict[str, Any]) -> dict[str, Any]:
    """Return by batch size the seconds, the tokens a second, the peak and the texts."""
    side = _modeltest if order["way"] == MODELTEST else _generate
    found: dict[str, Any] = side(order, prompts_of(order))
    return {"batch_sizes": found}


def prompts_of(order: dict[str, Any]) -> list[TextPrompt]:
    """Return prompts that begin alike: the worked examples of one subject, and a question of each subject."""
    asked = [request.prompt for request in requests_of(spec_of(order))]
    first = asked[0]
    questions = [prompt.question for prompt in asked]
    return [
        # Numbered: there may be fewer questions than prompts.
        TextPrompt(first.header, first.shots, f"({number}) {questions[number % len(questions)]}")
        for number in range(order["prompts"])
    ]


def _modeltest(order: dict[str, Any], prompts: Sequence[TextPrompt]) -> dict[str, Any]:
    spec = spec_of(order)
    requests = [
        Request(str(number), prompt, max_new_tokens=order["new_tokens"])
        for number, prompt in enumerate(prompts)
    ]
    with closing(HFEngine()) as engine:
        engine.load(spec, inspect_checkpoint(spec))

        def write(size: int) -> Texts:
            rows = [row for batch in engine.complete(requests, batch_size=size) for row in batch]
            if problem := next((row.error for row in rows if row.error), None):
                raise SystemExit(f"a text failed: {problem}")
            return {row.request_id: _until_end(row.output_tokens) for row in rows}

        return _by_batch_size(order, write)


def _generate(order: dict[str, Any], prompts: Sequence[TextPrompt]) -> dict[str, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    dtype = getattr(torch, order["dtype"])
    model: Any = AutoModelForCausalLM.from_pretrained(order["model"], dtype=dtype)
    model = model.to(order["device"]).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(order["model"], padding_side="left")

    def write(size: int) -> Texts:
        texts = {}
        for begin in range(0, len(prompts), size):
            batch = [prompt.text for prompt in prompts[begin : begin + size]]
            fed = tokenizer(batch, return_tensors="pt", padding=True, add_special_tokens=False)
            fed = {name: fed[name].to(order["device"]) for name in ("input_ids", "attention_mask")}
            rows = model.generate(
                **fed,
                do_sample=False,
                max_new_tokens=order["new_tokens"],
                pad_token_id=tokenizer.pad_token_id,
            )
            for number, row in enumerate(rows[:, fed["input_ids"].shape[1] :].tolist(), begin):
                texts[str(number)] = _until_end(row)
        return texts

    return _by_batch_size(order, write)


def _until_end(tokens: Sequence[int]) -> list[int]:
    # What follows the end of a text is padding.
    return list(takewhile(lambda token: token != END_OF_TEXT_ID, tokens))


def _by_batch_size(order: dict[str, Any], write: Callable[[int], Texts]) -> dict[str, Any]:
    return {str(size): _timed(order["device"], write, size) for size in order["batch_sizes"]}


def _timed(device: str, write: Callable[[int], Texts], size: int) -> dict[str, Any]:
    begin = time.perf_counter()
    write(size)
    synchronize(device)
    first_s = time.perf_counter() - begin
    peak_memory_bytes(device)  # begins anew
    begin = time.perf_counter()
    texts = write(size)
    synchronize(device)
    generate_s = time.perf_counter() - begin
    tokens = sum(map(len, texts.values()))
    return {
        "first_s": first_s,
        "generate_s": generate_s,
        "new_tokens": tokens,
        "tokens_per_s": tokens / generate_s,
        "peak_bytes": peak_memory_bytes(device),
        "texts": texts,
    }
