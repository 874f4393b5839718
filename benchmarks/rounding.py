"""Measures what rounding does to the choices of a trained model, for the table of docs/rounding.md.

    modeltest demo-model smollm2 smollm2
    python benchmarks/rounding.py smollm2 --dtype bfloat16 --questions 24

The questions of the BoolQ sample are asked in float32 and in another dtype, one by one and padded in batches
of 8: two orders of computing that are both right. Printed for each pair: the largest shift of a choice's
log-probability after scaling, the mean KL divergence, and the answers that differ with the larger of their
margins.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from modeltest.compare.divergence import kl_divergence, normalized

SAMPLE = Path(__file__).resolve().parents[1] / "datasets" / "boolq" / "sample" / "dev.jsonl"
CHOICES = (" yes", " no")
BATCH = 8

Choices = Sequence[Sequence[float]]


def prompts(tokenizer: Any, count: int) -> list[list[int]]:
    """Return the token ids of the first questions, without shots."""
    rows = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()[:count]]
    return [
        tokenizer(f"{row['passage']}\nQuestion: {row['question']}?\nAnswer:")["input_ids"] for row in rows
    ]


def choices(model: Any, asked: list[list[int]], ids: list[int], batch_size: int) -> Choices:
    """Return the log-probabilities of the choices, padded on the left where rows are of different length."""
    found: list[list[float]] = []
    for start in range(0, len(asked), batch_size):
        rows = asked[start : start + batch_size]
        width = max(map(len, rows))
        tokens = torch.tensor([[0] * (width - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        with torch.inference_mode():
            logits = model(
                tokens,
                attention_mask=mask,
                position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
                logits_to_keep=1,
            ).logits[:, -1]
        found += logits.float().log_softmax(-1)[:, ids].tolist()
    return found


def report(name: str, one: Choices, other: Choices) -> None:
    """Print how far two ways are apart."""
    pairs = list(zip(one, other, strict=True))
    shift = max(abs(a - b) for p, q in pairs for a, b in zip(normalized(p), normalized(q), strict=True))
    mean_kl = sum(kl_divergence(p, q) for p, q in pairs) / len(pairs)
    flips = [max(abs(p[0] - p[1]), abs(q[0] - q[1])) for p, q in pairs if (p[0] > p[1]) != (q[0] > q[1])]
    widest = f", widest margin {max(flips):.2g}" if flips else ""
    print(f"{name}: shift {shift:.2g}, mean KL {mean_kl:.2g}, {len(flips)} of {len(pairs)} differ{widest}")


def main() -> None:
    """Measure one dtype against float32 and against itself."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", help="directory that `modeltest demo-model smollm2` made, in float32")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="bfloat16")
    parser.add_argument("--questions", type=int, default=24)
    words = parser.parse_args()

    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(words.model)
    asked = prompts(tokenizer, words.questions)
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"][0] for text in CHOICES]
    model = AutoModelForCausalLM.from_pretrained(words.model, dtype=torch.float32).eval()
    reference = choices(model, asked, ids, 1)
    model = model.to(getattr(torch, words.dtype))
    alone = choices(model, asked, ids, 1)
    together = choices(model, asked, ids, BATCH)
    report(f"{words.dtype}, batch size 1 against {BATCH}", alone, together)
    if words.dtype != "float32":
        report(f"float32 against {words.dtype}, batch size 1", reference, alone)
        report(f"float32 against {words.dtype}, batch size {BATCH}", reference, together)


if __name__ == "__main__":
    main()
