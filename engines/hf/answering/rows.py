"""Feeding many rows for their logits: packed into trees where the model allows it, padded otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from engines.common.device import empty_cache, is_out_of_memory
from engines.common.token_rows import Row
from engines.hf.model.forward import Forward
from engines.hf.model.transformers_versions import closed_attention
from engines.hf.packed.packed import Fed, PackedRows, pack_tokens
from engines.hf.packed.tree_forward import TreeForward
from engines.hf.ranks.operations import ALONE, Ranks

CPU_BUDGET_BYTES = 256 << 20
DEVICE_BUDGET_SHARE = 8
"""Activations of one forward pass: a fixed amount on the host, one eighth of what is free on a device."""


class RowFeeder(Protocol):
    """Feeds rows in batches and yields their logits."""

    def feed(self, rows: Sequence[Row], *, max_rows: int) -> Iterator[Fed]:
        """Yield every row once, at most `max_rows` together."""


class PaddedRows:
    """Feeds rows in padded batches, longest first so that memory runs out early or never."""

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self.computed_tokens = 0
        self.reused_tokens = 0
        self.split_batches = 0

    def feed(self, rows: Sequence[Row], *, max_rows: int) -> Iterator[Fed]:
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


class AloneRows:
    """Feeds rows one at a time, each as if it were the first that the model sees."""

    def __init__(self, padded: PaddedRows, forward: Forward) -> None:
        self._padded = padded
        self._forward = forward

    def feed(self, rows: Sequence[Row], *, max_rows: int) -> Iterator[Fed]:
        """Yield every row once."""
        for index, row in enumerate(rows):
            self._forward.forget()
            for fed in self._padded.feed([row], max_rows=1):
                yield Fed((index,), fed.logits, error=fed.error)
        self._forward.forget()


def tree_feeder(model: Any, device: str, ranks: Ranks = ALONE) -> tuple[PackedRows | None, str]:
    """Return a feeder that shares prefixes, or `None` with the reason why no model can be fed so here.

    Whether it is right on this model is another question, which a trial answers (`engines/beliefs/`).
    """
    if reason := closed_attention():
        return None, f"shared prefixes off: {reason}"
    tokens = ranks.least(pack_tokens(model.config, model.dtype.itemsize, budget_bytes(device)))
    return PackedRows(TreeForward(model, device), device, tokens, ranks), ""


def budget_bytes(device: str) -> int:
    """Return how much memory the activations of one forward pass may take."""
    if device == "cpu":
        return CPU_BUDGET_BYTES
    import torch

    free: int = getattr(torch, device).mem_get_info()[0]
    return free // DEVICE_BUDGET_SHARE
