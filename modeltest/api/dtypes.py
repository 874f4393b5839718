"""The precision of a run in one word, as folders and reports have it: `fp16`, `bf16_w8a8`."""

from __future__ import annotations

DTYPE_WORDS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
"""What engine words and options call the dtypes."""

MINDIE_KINDS = (
    "w8a8",
    "w8a8s",
    "w8a8sc",
    "w8a16",
    "w4a16",
    "w8a8_dynamic",
    "w8a8_pdmix",
    "w8a8_mix",
    "w4a8_dynamic",
    "w16a16s",
    "w16a16sc",
)
"""What MindIE-LLM accepts as `quantize`: bits of weights and activations, s sparse, c compressed."""


def dtype_word(dtype: str | None, quantize: str | None) -> str:
    """Return dtype and quantisation in one word; empty when neither is known."""
    short = DTYPE_WORDS.get(dtype, dtype) if dtype else None
    return "_".join(part for part in (short, quantize) if part)
