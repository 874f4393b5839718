"""Shows where the time of an accuracy run goes, by operation: questions of MMLU on a trained model.

    modeltest demo-model smollm2 smollm2-bf16 --dtype bf16
    python benchmarks/packed_profile.py smollm2-bf16 --dtype bfloat16

The questions are asked once without the profiler, so that nothing is done for the first time, and once with
it. Beside that stands what this machine does at best at the sizes of the model: a matrix of its layers, and
attention of the questions of one pass over a prefix.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from trained_questions import add_words, answer_all, in_child, requests_of, spec_of, tell_parent

from modeltest import registry
from modeltest.api import RunSpec
from modeltest.models.checkpoint import inspect_checkpoint

FEWEST_SHARE = 0.005
"""Operations with a smaller share are told together."""

QUERIES, KEYS = 1600, 1500
"""Tokens of the questions of one pass, and of the prefix that they look at."""


def profile(spec: RunSpec) -> list[str]:
    """Return the lines of the profile. Meant for a process of its own."""
    import torch

    requests = requests_of(spec)
    engine = registry.load_engine(spec.engine)
    engine.load(spec, inspect_checkpoint(spec))
    plain_s = answer_all(engine, requests)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiled:
        answer_all(engine, requests)
    tokens = (engine.usage().computed_tokens or 0) // 2
    engine.close()
    head = f"{spec.dtype}: {plain_s:.1f} s for {len(requests)} questions, {tokens} tokens; profiled:"
    return [
        head,
        *_table(profiled.key_averages()),
        *_rates(str(spec.weights), getattr(torch, str(spec.dtype))),
    ]


def _table(operations: Any) -> Iterator[str]:
    spent = [(each.self_cpu_time_total / 1e6, each.count, each.key) for each in operations]
    whole_s = sum(seconds for seconds, _, _ in spent)
    yield "| operation | seconds | share | calls |"
    yield "|---|---:|---:|---:|"
    rest_s = 0.0
    for seconds, calls, name in sorted(spent, reverse=True):
        if seconds < FEWEST_SHARE * whole_s:
            rest_s += seconds
        else:
            yield f"| {name.removeprefix('aten::')} | {seconds:.2f} | {seconds / whole_s:.1%} | {calls} |"
    yield f"| all others | {rest_s:.2f} | {rest_s / whole_s:.1%} | |"


def _rates(weights: str, dtype: Any) -> Iterator[str]:
    import torch
    from transformers import AutoConfig

    from engines.hf.packed.partial_attention import attend

    config = AutoConfig.from_pretrained(weights)
    width = config.hidden_size // config.num_attention_heads
    left = torch.randn(QUERIES, config.hidden_size).to(dtype)
    right = torch.randn(config.intermediate_size, config.hidden_size).to(dtype)
    query = torch.randn(1, config.num_attention_heads, QUERIES, width).to(dtype)
    key, value = torch.randn(2, 1, config.num_key_value_heads, KEYS, width).to(dtype)
    matrix_s = _least_s(lambda: torch.nn.functional.linear(left, right))
    attention_s = _least_s(lambda: attend(query, key, value, scale=width**-0.5))
    yield f"a matrix of a layer: {2e-9 * left.numel() * config.intermediate_size / matrix_s:.0f} GFLOP/s"
    yield f"attention: {4e-9 * query.numel() * KEYS / attention_s:.0f} GFLOP/s"


def _least_s(work: Callable[[], Any], turns: int = 10) -> float:
    work()
    seconds = []
    for _ in range(turns):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def main() -> None:
    """Profile and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_words(parser)
    words = parser.parse_args()
    spec = spec_of(words)
    if words.is_child:
        tell_parent(profile(spec))
        return
    for line in in_child():
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
