"""Feeding many rows for their logits: packed into trees where the model allows it, padded otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Protocol

from engines.common.memory import attempt, free_bytes, in_halves
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
    """Feeds rows in padded batches, longest first, so that memory runs out at the first batch or at none."""

    def __init__(self, forward: Forward) -> None:
        self._forward = forward
        self.computed_tokens = 0
        self.reused_tokens = 0
        self.split_batches = 0

    def feed(self, rows: Sequence[Row], *, max_rows: int) -> Iterator[Fed]:
        """Yield every row once; a batch that runs out of memory is fed again in halves."""
        order = sorted(range(len(rows)), key=lambda index: -len(rows[index].ids))
        for begin in range(0, len(order), max_rows):
            for part in in_halves(
                order[begin : begin + max_rows], partial(self._feed_batch, rows), self.count_split
            ):
                yield Fed(tuple(part.items), part.result or (), error=part.error or None)

    def count_split(self) -> None:
        """Count a batch that ran out of memory."""
        self.split_batches += 1

    def _feed_batch(self, rows: Sequence[Row], batch: Sequence[int]) -> tuple[tuple[Any, ...] | None, str]:
        ids = [rows[index].ids for index in batch]
        counts = [len(rows[index].ids) - rows[index].read_from for index in batch]

        def logits() -> tuple[Any, ...]:
            return tuple(self._forward.ranks.attempt(lambda: self._forward.last_logits(ids, counts)))

        return attempt(logits, device=self._forward.device, what=f"{len(batch)} rows")


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

    Whether it is right on this model is another question, which a trial answers (`engines/hf/beliefs/`).
    """
    if reason := closed_attention():
        return None, f"shared prefixes off: {reason}"
    tokens = ranks.least(pack_tokens(model.config, model.dtype.itemsize, budget_bytes(device)))
    return PackedRows(TreeForward(model, device), device, tokens, ranks), ""


def budget_bytes(device: str) -> int:
    """Return how much memory the activations of one forward pass may take."""
    free = None if device == "cpu" else free_bytes(device)
    return CPU_BUDGET_BYTES if free is None else free // DEVICE_BUDGET_SHARE
