"""The step `performance`: ModelTest's own measuring beside the bare loop, in turn."""

from __future__ import annotations

from dataclasses import asdict

from fidelity.summary import summarize_turns
from on_device.bench import Bench

BATCH_SIZES = (1, 8)
COPIES = 2
"""Each side has its own copy of the model."""


def performance(bench: Bench) -> None:
    """Note TPOT and TTFT of both sides for every model, and the ratios of a turn."""
    quick = bench.settings.quick
    for sized in bench.settings.sizes:
        model = bench.checkpoint("performance", sized, copies=COPIES)
        if model is None:
            continue
        for batch_size in BATCH_SIZES:
            part = f"{sized.name} batch {batch_size}"
            order = {
                "model": str(model),
                "dtype": sized.dtype,
                "device": bench.settings.device,
                "input_tokens": 128,
                "output_tokens": 8 if quick else 64,
                "batch_size": batch_size,
                "warmup": 1 if quick else 3,
                "turns": 3 if quick else 30,
            }
            found = bench.run("performance", part, "fidelity.in_turn", order)
            if found is not None:
                shape = f"{order['input_tokens']}x{order['output_tokens']}"
                bench.book.ran(
                    "performance",
                    part,
                    {"shape": shape, "in_turn": asdict(summarize_turns(found["turns"])), **found},
                )
