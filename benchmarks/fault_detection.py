"""Shows what the trials at load tell apart: right ways of feeding a model from ones with a fault put in.

    python benchmarks/fault_detection.py CHECKPOINT [CHECKPOINT ...] [--dtype float32,bfloat16,float16]

A line is a way with a fault: how far it is from the plain pass, as a share of what rounding may make. What is
above 1 is refused. The ways without a fault come first, then faults, then one that gets smaller and smaller.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

from faults.injected import FAULTS, GROUPED_HEADS, LEARNED_POSITIONS, TUNED_ON, WINDOW, Fault, graded

from engines.common.probe_text import probe_ids
from engines.hf.beliefs import ways
from engines.hf.beliefs.limits import limits_of
from engines.hf.beliefs.model_trial import Distance, ModelTrial, Plain, Way
from engines.hf.model.forward import Forward
from engines.hf.packed.tree_forward import TreeForward
from engines.hf.paged.loop import PagedLoop
from engines.hf.paged.probe import paged_way

RIGHT = tuple(
    Fault("no fault", way, nullcontext)
    for way in ("packed", "packed, steps", "padded", "padded, steps", "paged")
)


class Bench:
    """One model in one dtype, and its ways of feeding."""

    def __init__(self, directory: str, dtype: str) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.model = AutoModelForCausalLM.from_pretrained(directory, dtype=getattr(torch, dtype)).eval()
        tokenizer = AutoTokenizer.from_pretrained(directory)
        ids = probe_ids(tokenizer, self.model.get_input_embeddings().num_embeddings)
        self.trial = ModelTrial(self.model, ids, "cpu")
        self.at_load = self.trial.plain_at_load()
        text = self.model.config.get_text_config()
        window = getattr(text, "sliding_window", None)
        self.window = window if getattr(text, "use_sliding_window", True) else None
        heads, key_heads = text.num_attention_heads, getattr(text, "num_key_value_heads", None)
        self.has = {
            WINDOW: self.window is not None,
            GROUPED_HEADS: key_heads not in (None, 1, heads),
            LEARNED_POSITIONS: hasattr(self.model, "transformer") and hasattr(self.model.transformer, "wpe"),
        }

    def shows(self, fault: Fault) -> bool:
        """Say whether this model has what the fault is about."""
        return self.has.get(fault.needs, True)

    def plain(self, fault: Fault) -> Plain:
        """Return the plain pass that the fault is held against: beyond the window where it is about that."""
        return self.trial.plain_beyond(self.window) if fault.needs == WINDOW else self.at_load

    def measure(self, fault: Fault) -> tuple[Distance, ...] | None:
        """Return how far the way with the fault is, by dtype, or `None` when it does not even run."""
        plain = self.plain(fault)
        try:
            with fault.inject():
                return self.trial.distances(plain, self._way(fault.way))
        except Exception:
            return None

    def _way(self, name: str) -> Way:
        model = self.model
        if name == "paged":
            return paged_way(PagedLoop(model, "cpu", block_tokens=4))
        forward = Forward(model, "cpu", 0)
        makers: dict[str, Any] = {
            "packed": lambda: ways.packed(TreeForward(model, "cpu"), model.dtype),
            "packed, steps": lambda: ways.packed_then_steps(TreeForward(model, "cpu"), "cpu"),
            "padded": lambda: ways.padded(forward),
            "padded, steps": lambda: ways.padded_then_steps(forward),
        }
        return makers[name]()  # type: ignore[no-any-return]


def lines(directory: str, dtype: str) -> Iterator[str]:
    """Yield the lines of one model in one dtype."""
    bench = Bench(directory, dtype)
    limits = ", ".join(map(str, limits_of(bench.model.config)))
    yield f"\n## {bench.model.config.model_type}, {dtype} (limits at {limits})\n"
    yield "| way | fault | share of what rounding may make |\n|---|---|---|"
    for fault in (*RIGHT, *TUNED_ON, *FAULTS, *graded()):
        if bench.shows(fault):
            found = bench.measure(fault)
            text = (
                "does not run"
                if found is None
                else ", ".join(f"{each.dtype} {each.value / each.limit:.2g}" for each in found)
            )
            yield f"| {fault.way} | {fault.name} | {text} |"


def main() -> None:
    """Print a table for each checkpoint and dtype."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoints", nargs="+")
    parser.add_argument("--dtype", default="float32,bfloat16,float16")
    words = parser.parse_args()
    for directory in words.checkpoints:
        for dtype in words.dtype.split(","):
            for line in lines(directory, dtype):
                print(line, flush=True)


if __name__ == "__main__":
    main()
