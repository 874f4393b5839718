"""Feeding many rows for their logits: packed into trees where the model allows it, padded otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from engines.device import empty_cache, is_out_of_memory
from engines.forward import Forward
from engines.packed import Fed, PackedRows, pack_tokens
from engines.prefix_planning import Row, plan
from engines.ranks import ALONE, Ranks
from engines.transformers_versions import closed_attention
from engines.tree_forward import TreeForward

PROBE_TOLERANCE = {"float32": 1e-3, "bfloat16": 0.25, "float16": 0.05}
"""Largest difference of log-probabilities between a packed and a plain forward that is rounding."""

CPU_BUDGET_BYTES = 256 << 20
DEVICE_BUDGET_SHARE = 8
"""Activations of one forward pass: a fixed amount on the host, one eighth of what is free on a device."""


class RowFeeder(Protocol):
    """Feeds rows in batches and yields their logits."""

    def feed(self, rows: Sequence[Row], *, max_rows: int, keep_rows: bool = False) -> Iterator[Fed]:
        """Yield every row once, at most `max_rows` together."""


class PaddedRows:
    """Feeds rows in padded batches, longest first so that memory runs out early or never."""

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self.computed_tokens = 0
        self.reused_tokens = 0
        self.split_batches = 0

    def feed(self, rows: Sequence[Row], *, max_rows: int, keep_rows: bool = False) -> Iterator[Fed]:
        """Yield every row once; a batch that runs out of memory is fed again in halves."""
        order = sorted(range(len(rows)), key=lambda index: -len(rows[index].ids))
        work = [order[begin : begin + max_rows] for begin in range(0, len(order), max_rows)][::-1]
        while work:
            batch = work.pop()
            fed, problem = self._feed_batch([rows[index] for index in batch])
            if fed is not None:
                yield Fed(tuple(batch), fed)
                continue
            self.split_batches += 1
            if len(batch) == 1:
                yield Fed(tuple(batch), error=problem)
            else:
                work += [batch[len(batch) // 2 :], batch[: len(batch) // 2]]

    def _feed_batch(self, rows: Sequence[Row]) -> tuple[tuple[Any, ...] | None, str | None]:
        counts = [len(row.ids) - row.read_from for row in rows]
        try:
            ids = [row.ids for row in rows]
            return tuple(self._forward.ranks.attempt(lambda: self._forward.last_logits(ids, counts))), None
        except Exception as problem:
            if not is_out_of_memory(problem):
                raise
            text = " ".join(f"out of memory with {len(rows)} rows: {problem}".split())[:400]
        empty_cache(self._forward.device)
        return None, text


def tree_feeder(model: Any, device: str, dtype: str, ranks: Ranks = ALONE) -> tuple[PackedRows | None, str]:
    """Return a feeder that shares prefixes, or `None`, and a note that says which and why.

    Whether the model's attention can be taken apart is not believed but tried: two short rows with a common
    prefix must get the log-probabilities of plain forward passes.
    """
    if reason := closed_attention():
        return None, f"shared prefixes off: {reason}"
    try:
        forward = TreeForward(model, device)
        difference = ranks.attempt(lambda: _probe(model, forward, device))
    except Exception as problem:
        if is_out_of_memory(problem):
            raise
        reason = f"{type(problem).__name__}: {problem}"
        return None, f"shared prefixes off: this model's attention is not open to them ({reason:.200})"
    # Ranks that share a model see the same logits; should one of them differ after all, none shares prefixes.
    if not ranks.least(int(difference <= PROBE_TOLERANCE.get(dtype, 0.0))):
        return None, f"shared prefixes off: a packed forward differs from a plain one by {difference:.2g}"
    forward.forward_s, forward.forward_calls = 0.0, 0
    tokens = ranks.least(pack_tokens(model.config, model.dtype.itemsize, budget_bytes(device)))
    return PackedRows(forward, device, tokens, ranks), f"shared prefixes on, at most {tokens} tokens a pass"


def _probe(model: Any, forward: TreeForward, device: str) -> float:
    """Return the largest difference of log-probabilities between packed and plain forward passes."""
    import torch

    vocabulary = model.config.vocab_size
    prefix = tuple(token * 7 % vocabulary for token in range(1, 33))
    rows = [Row((*prefix, *(token * 11 % vocabulary for token in tail)), 32) for tail in ((3, 5, 8), (4, 6))]
    worst = 0.0
    for pack in plan(rows, max_rows=1, max_tokens=64):
        for index, logits in forward.feed(pack, rows).items():
            with torch.inference_mode():
                ids = torch.tensor([rows[index].ids], device=device)
                plain = model(input_ids=ids, use_cache=False).logits[0, rows[index].read_from :]
            distance = logits.float().log_softmax(-1) - plain.float().log_softmax(-1)
            worst = max(worst, float(distance.abs().max()))
    return worst


def budget_bytes(device: str) -> int:
    """Return how much memory the activations of one forward pass may take."""
    if device == "cpu":
        return CPU_BUDGET_BYTES
    import torch

    free: int = getattr(torch, device).mem_get_info()[0]
    return free // DEVICE_BUDGET_SHARE
