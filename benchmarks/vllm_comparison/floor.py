"""What vLLM itself needs for the questions: its own `generate`, one token each, shared blocks from its cache.

A process of its own, `python -m vllm_comparison.floor ORDER.json`. The order names the `model`, its `dtype`,
the `samples` (lm-eval's, for their prompts), `block_tokens` and the `directory` for `result.json`.

The first prompt of each subject goes ahead, so that its shots are in the cache when the others come: a block
is found there only once it is whole and computed. No log-probability is asked for.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

WARM_UP_TOKENS = 512
"""Of each prompt that is asked before the clock starts: the first call of a process sets things up."""


def main(arguments: list[str]) -> None:
    """Time the floor the order asks for."""
    order = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    result = measure(order)
    path = Path(order["directory"]) / "result.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def measure(order: dict[str, Any]) -> dict[str, float]:
    """Return times in seconds and counts of tokens."""
    from transformers import AutoTokenizer
    from vllm import LLM, SamplingParams

    begin = time.perf_counter()
    llm = LLM(
        model=order["model"],
        dtype=order["dtype"],
        block_size=order["block_tokens"],
        enable_prefix_caching=True,
        **order["engine_options"],
    )
    load_s = time.perf_counter() - begin
    tokenizer = AutoTokenizer.from_pretrained(order["model"])
    ids = [
        (subject, tokenizer(text, add_special_tokens=False)["input_ids"])
        for subject, text in read_prompts(Path(order["samples"]))
    ]
    one_token = SamplingParams(temperature=0.0, max_tokens=1, detokenize=False)

    def ask(rows: Sequence[Sequence[int]]) -> list[Any]:
        return list(
            llm.generate([{"prompt_token_ids": list(row)} for row in rows], one_token, use_tqdm=False)
        )

    warm_up = [list(range(begin, begin + WARM_UP_TOKENS)) for begin in (100, 101)]
    ask(warm_up)
    begin = time.perf_counter()
    answers = [answer for rows in waves(ids) for answer in ask(rows)]
    floor_s = time.perf_counter() - begin
    cached = sum(answer.num_cached_tokens or 0 for answer in answers)
    asked = sum(len(row) for _, row in ids)
    return {
        "load_s": load_s,
        "floor_s": floor_s,
        "prompt_tokens": asked,
        "cached_tokens": cached,
        "computed_tokens": asked - cached,
    }


def waves(prompts: Sequence[tuple[str, Sequence[int]]]) -> list[list[Sequence[int]]]:
    """Return the first prompt of every subject, then all others."""
    first: dict[str, Sequence[int]] = {}
    others: list[Sequence[int]] = []
    for subject, ids in prompts:
        if first.setdefault(subject, ids) is not ids:
            others.append(ids)
    return [list(first.values()), others]


def read_prompts(path: Path) -> list[tuple[str, str]]:
    """Return subject and prompt of each sample."""
    with path.open(encoding="utf-8") as lines:
        samples = [json.loads(line) for line in lines]
    return [(sample["id"].rpartition("/")[0], sample["prompt"]) for sample in samples]


if __name__ == "__main__":
    main(sys.argv[1:])
