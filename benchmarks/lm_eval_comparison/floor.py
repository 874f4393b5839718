"""The floor under any evaluation: plain forward calls over exactly the unique tokens, and nothing else.

A process of its own, `python -m lm_eval_comparison.floor ORDER.json`. The order names the `model`, its
`dtype`, the `samples` (lm-eval's, for their prompts and texts), the `batch_size`, whether to time the model
`in_parts`, and the `directory` for `result.json`.

The calls do less than any evaluation must: a question's tokens do not attend to the prefix, and one position
of logits is asked for per call. In parts (`floor_parts`) they do, and nothing of the framework is left; that
is the floor then. Texts add the steps that write them (`floor_steps`).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lm_eval_comparison.floor_parts import layer_matrices, time_parts
from lm_eval_comparison.floor_steps import plan_steps, time_steps
from lm_eval_comparison.unique_tokens import UniqueTokens, concatenate, find_unique_tokens

SQUARE = 2048
"""Side of the matrices whose product gives the machine's peak."""

_REPEATS = 5


def main(arguments: list[str]) -> None:
    """Time the floor the order asks for."""
    order = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    result = measure(order)
    path = Path(order["directory"]) / "result.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def measure(order: dict[str, Any]) -> dict[str, float]:
    """Return token counts, times in seconds and rates in GFLOP/s."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(order["model"])
    dtype = getattr(torch, order["dtype"])
    model = AutoModelForCausalLM.from_pretrained(order["model"], dtype=dtype).eval()
    samples = _samples(Path(order["samples"]))
    prompts = _prompts(samples, tokenizer)
    unique = find_unique_tokens(prompts)
    rows = concatenate(unique.own, order["batch_size"])
    with torch.inference_mode():
        _forward_s(model, rows[:1])  # the first call of a process sets things up
        prefixes_s = _forward_s(model, unique.prefixes)
        packed_s = _forward_s(model, rows)
        single_s = _forward_s(model, unique.own)
        matrices = layer_matrices(model.model.layers[0])
        rates = {
            "square_gflop_per_s": _square_rate(dtype),
            "layer_gflop_per_s": _layer_rate(matrices, _typical_length(unique.prefixes, rows)),
        }
        parts = time_parts(model, unique, order["batch_size"]) if order["in_parts"] else {}
        plan = plan_steps(prompts, _texts(samples, tokenizer), order["batch_size"])
        steps = time_steps(model, plan) if plan else {}
    parameters = sum(each.numel() for each in model.parameters()) - _embedding_size(model)
    plain_s = prefixes_s + min(packed_s, single_s)
    prefill_s = parts.get("parts_s", plain_s)
    return {
        **_counts(unique),
        "non_embedding_parameters": parameters,
        "prefixes_s": prefixes_s,
        "packed_s": packed_s,
        "single_s": single_s,
        "plain_s": plain_s,
        **parts,
        **steps,
        "floor_s": prefill_s + steps.get("steps_s", 0.0),
        # Of prompts alone: a step computes few tokens, and what it takes is to read the weights.
        "floor_gflop_per_s": forward_gflop(parameters, unique.count) / prefill_s,
        **rates,
    }


def forward_gflop(non_embedding_parameters: int, tokens: int) -> float:
    """Return the work of `tokens` in the layers' matrices: a multiplication and an addition per parameter.

    Attention and the output matrix are left out, so rates made of it are a little low.
    """
    return 2 * non_embedding_parameters * tokens / 1e9


def _counts(unique: UniqueTokens) -> dict[str, float]:
    return {
        "prompt_tokens": unique.prompt_tokens,
        "prefix_tokens": sum(map(len, unique.prefixes)),
        "own_tokens": sum(map(len, unique.own)),
        "unique_tokens": unique.count,
    }


def _samples(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def _prompts(samples: Sequence[dict[str, Any]], tokenizer: Any) -> list[tuple[str, list[int]]]:
    return [
        (
            sample["id"].rpartition("/")[0],
            tokenizer(sample["prompt"], add_special_tokens=False)["input_ids"],
        )
        for sample in samples
    ]


def _texts(samples: Sequence[dict[str, Any]], tokenizer: Any) -> list[int]:
    """Return how many tokens each text has; nothing where answers are choices."""
    texts = [sample["text"] for sample in samples if "text" in sample]
    return [len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]


def _forward_s(model: Any, rows: Sequence[Sequence[int]]) -> float:
    import torch

    seconds = 0.0
    for row in rows:
        ids = torch.tensor([row])
        begin = time.perf_counter()
        model(input_ids=ids, use_cache=False, logits_to_keep=1)
        seconds += time.perf_counter() - begin
    return seconds


def _typical_length(prefixes: Sequence[Sequence[int]], rows: Sequence[Sequence[int]]) -> int:
    calls = [*prefixes, *rows]
    return round(sum(map(len, calls)) / len(calls))


def _embedding_size(model: Any) -> int:
    tables = {id(each.weight): each.weight.numel() for each in (model.get_input_embeddings(), model.lm_head)}
    return sum(tables.values())


def _square_rate(dtype: Any) -> float:
    import torch

    one, other = torch.randn(SQUARE, SQUARE).to(dtype), torch.randn(SQUARE, SQUARE).to(dtype)
    return 2 * SQUARE**3 / 1e9 / _best_s(lambda: torch.mm(one, other))


def _layer_rate(matrices: Sequence[Any], tokens: int) -> float:
    """Return the rate of one layer's matrices with a row of `tokens`: the peak at the model's own shapes."""
    import torch

    inputs = [torch.randn(tokens, matrix.shape[1]).to(matrix.dtype) for matrix in matrices]

    def multiply() -> None:
        for matrix, values in zip(matrices, inputs, strict=True):
            torch.nn.functional.linear(values, matrix)

    gflop = sum(2 * tokens * matrix.numel() for matrix in matrices) / 1e9
    return gflop / _best_s(multiply)


def _best_s(work: Callable[[], Any]) -> float:
    times = []
    for _ in range(_REPEATS + 1):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
