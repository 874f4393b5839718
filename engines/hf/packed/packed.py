"""Running many rows through a tree forward, whatever memory allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from engines.common.memory import attempt
from engines.common.text_config import text_config
from engines.common.token_rows import Row
from engines.hf.packed.prefix_planning import Pack, plan
from engines.hf.packed.tree_forward import TreeForward
from engines.hf.ranks.operations import ALONE, Ranks
from modeltest.api import EngineUsage

T = TypeVar("T")

MIN_PACK_TOKENS = 256
"""A pack is not cut smaller: what does not fit then does not fit at all."""

MAX_PACK_TOKENS = 8192
"""More tokens at once are not faster on any device."""


@dataclass(frozen=True, slots=True)
class Fed:
    """Rows that were fed together. `logits[i]` are `[positions read, vocabulary]` of row `rows[i]`.

    `error` is set instead when a row does not fit in memory even alone.
    """

    rows: tuple[int, ...]
    logits: tuple[Any, ...] = ()
    error: str | None = None


@dataclass(slots=True)
class PackedRows:
    """Feeds rows in packs and counts what that took; one that runs out of memory is fed again in halves."""

    forward: TreeForward
    device: str
    max_tokens: int
    ranks: Ranks = ALONE
    computed_tokens: int = 0
    reused_tokens: int = 0
    split_batches: int = 0

    def feed(self, rows: Sequence[Row], *, max_rows: int) -> Iterator[Fed]:
        """Yield every row once, at most `max_rows` together."""
        work = [Work(tuple(range(len(rows))), max_rows, self.max_tokens)]
        while work:
            current = work.pop()
            left = set(current.rows)
            own = [rows[index] for index in current.rows]
            self.forward.reset()
            for pack in plan(own, max_rows=current.max_rows, max_tokens=current.max_tokens):
                fed, problem = self._feed_pack(pack, own)
                names = tuple(current.rows[row] for row in pack.rows)
                if fed is None:
                    self.split_batches += 1
                    # A pack in which no row ends is a piece of a prefix: all that is left waits for it.
                    failed = names or tuple(index for index in current.rows if index in left)
                    rest = tuple(index for index in current.rows if index in left.difference(failed))
                    smaller = current.smaller(failed, is_piece=not names)
                    if smaller is None:
                        yield Fed(failed, error=problem)
                    work += [each for each in (Work(rest, max_rows, current.max_tokens), smaller) if each]
                    break
                left.difference_update(names)
                if names:
                    yield Fed(names, fed.logits)
        self.forward.reset()

    def add_usage(self, usage: EngineUsage) -> EngineUsage:
        """Return `usage`, every number of it known, with what was done here added."""
        return replace(
            usage,
            forward_s=(usage.forward_s or 0.0) + self.forward.forward_s,
            forward_calls=(usage.forward_calls or 0) + self.forward.forward_calls,
            computed_tokens=(usage.computed_tokens or 0) + self.computed_tokens,
            reused_tokens=(usage.reused_tokens or 0) + self.reused_tokens,
            split_batches=(usage.split_batches or 0) + self.split_batches,
        )

    def attempt(self, work: Callable[[], T], tokens: int) -> tuple[T | None, str]:
        """Return what `work` returns, or `None` and what to say where memory is too small for its tokens."""
        return attempt(
            lambda: self.ranks.attempt(work),
            device=self.device,
            what=f"{tokens} tokens",
            release=self.forward.reset,
        )

    def count(self, packs: Sequence[Pack], rows: Sequence[Row], *, beside: int = 0) -> None:
        """Count what `packs` took, and as many tokens that were fed beside them."""
        tokens = sum(pack.tokens for pack in packs)
        self.computed_tokens += tokens + beside
        self.reused_tokens += sum(len(rows[row].ids) for pack in packs for row in pack.rows) - tokens

    def _feed_pack(self, pack: Pack, rows: Sequence[Row]) -> tuple[Fed | None, str]:
        logits, problem = self.attempt(lambda: self.forward.feed(pack, rows), pack.tokens)
        if logits is None:
            return None, problem
        self.count((pack,), rows)
        return Fed(pack.rows, tuple(logits[row] for row in pack.rows)), ""


@dataclass(frozen=True, slots=True)
class Work:
    """Rows still to be fed, and how many of them and of their tokens together at most."""

    rows: tuple[int, ...]
    max_rows: int
    max_tokens: int

    def __bool__(self) -> bool:
        return bool(self.rows)

    def smaller(self, failed: tuple[int, ...], *, is_piece: bool) -> Work | None:
        """Return the failed rows in smaller packs, or `None` when they cannot be smaller."""
        if len(failed) > 1 and not is_piece:
            return Work(failed, len(failed) // 2, self.max_tokens)
        if self.max_tokens > MIN_PACK_TOKENS:
            return Work(failed, self.max_rows, max(self.max_tokens // 2, MIN_PACK_TOKENS))
        return None


def pack_tokens(config: Any, bytes_per_value: int, budget_bytes: int) -> int:
    """Return how many tokens may be fed at once so that activations stay within `budget_bytes`.

    A layer holds about eight vectors of the hidden size and three of the feed-forward size per token.
    """
    config = text_config(config)
    hidden = getattr(config, "hidden_size", 4096)
    inner = getattr(config, "intermediate_size", None) or 4 * hidden
    if isinstance(inner, (list, tuple)):  # one a layer
        inner = max(inner)
    per_token = bytes_per_value * (8 * hidden + 3 * inner)
    return max(MIN_PACK_TOKENS, min(MAX_PACK_TOKENS, budget_bytes // per_token))
