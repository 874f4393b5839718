"""The ways in which rows are fed, as a trial asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engines.hf.beliefs.model_trial import Part, Way
from engines.hf.beliefs.probe_tree import REPLAYED_STEPS, ProbeTree
from engines.hf.packed.rows_in_flight import RowsInFlight

if TYPE_CHECKING:
    from engines.hf.model.forward import Forward
    from engines.hf.packed.prefix_planning import Pack
    from engines.hf.packed.tree_forward import TreeForward


def packed(forward: TreeForward, own_dtype: Any) -> Way:
    """Return the way of packs: shared prefixes are fed once, rows lie one behind another."""

    def feed(tree: ProbeTree, dtype: Any) -> list[Part]:
        rows, packs = tree.packs(tree.rows)
        parts = []
        forward.reset()
        for together in _passes(packs, is_own=dtype == own_dtype):
            for row, logits in forward.feed_at_once(together, rows).items():
                parts.append(Part(row, rows[row].read_from, logits))
        forward.reset()
        return parts

    return feed


def packed_then_steps(forward: TreeForward, device: str) -> Way:
    """Return the way of generation: prompts in packs, then token by token from what is held of them.

    Rows 0 and 2 begin beside row 1, which is in flight by then, and row 0 ends before the others. Each pass
    is fed two tokens of a row: its own next ones, or a wrong guess behind the first.
    """

    def feed(tree: ProbeTree, _: Any) -> list[Part]:
        import torch

        given = [row[-REPLAYED_STEPS:] for row in tree.replayed]
        right = {0: [2], 1: [1, 1, 1], 2: [1, 2]}  # how many of the two are right, pass by pass
        rows, packs = tree.packs([row[:-REPLAYED_STEPS] for row in tree.replayed])
        said: list[list[Any]] = [[] for _ in rows]
        flying = RowsInFlight(len(rows), device)
        forward.reset()
        waiting = list(packs)
        while waiting or len(flying):
            now, waiting = waiting[:1], waiting[1:]
            names = flying.names
            counts = [right[row].pop(0) for row in names]
            flying.give(
                [_fed(given[row], len(said[row]), count) for row, count in zip(names, counts, strict=True)]
            )
            beside = forward.feed_beside(now, rows, flying)[1]
            for place, (row, count) in enumerate(zip(names, counts, strict=True)):
                said[row] += beside[2 * place : 2 * place + count]
            if names:
                flying.keep(counts)
            for row in names:
                if not right[row]:
                    flying.take_out(row)
            for pack in now:
                for row in pack.rows:
                    chain = forward.chain(pack, row)
                    copied = 2 if row == 2 else 1  # so that both are tried: a prefix copied and one shared
                    last = len(tree.replayed[row]) - 1
                    flying.admit(row, chain[:-copied], chain[-copied:], last_position=last)
        forward.reset()
        ends = [len(row) - REPLAYED_STEPS for row in tree.replayed]
        return [Part(row, ends[row], torch.stack(logits)) for row, logits in enumerate(said)]

    return feed


def _fed(given: Sequence[int], at: int, right: int) -> list[int]:
    """Return two tokens to feed from place `at` of `given` on, of which the first `right` are its own."""
    return [given[at], given[at + 1] if right == 2 else given[at]]


def padded(forward: Forward) -> Way:
    """Return the way of padded batches: rows filled up on the left, masked, positions counted without."""

    def feed(tree: ProbeTree, _: Any) -> list[Part]:
        rows, starts = tree.rows, tree.starts
        # Of different lengths, or nothing were padded; the beginning of a row says what it says in the whole.
        cut = (rows[0], rows[1][:-3], rows[2][:-6])
        counts = [len(row) - start for row, start in zip(cut, starts, strict=True)]
        logits = forward.last_logits(cut, counts)
        return [Part(row, start, each) for row, (start, each) in enumerate(zip(starts, logits, strict=True))]

    return feed


def padded_then_steps(forward: Forward) -> Way:
    """Return the way of generation: a padded batch of prompts, then token by token with the model's cache."""

    def feed(tree: ProbeTree, _: Any) -> list[Part]:
        return _replayed(tree.replayed, forward.replay(tree.replayed, REPLAYED_STEPS))

    return feed


def _passes(packs: Sequence[Pack], *, is_own: bool) -> list[tuple[Pack, ...]]:
    """Return which packs are fed together: each alone, as they would be, in the model's own dtype.

    Where weights are converted on the way, which takes longer than feeding so few tokens, all at once.
    """
    return [(pack,) for pack in packs] if is_own else [tuple(packs)]


def _replayed(rows: Sequence[tuple[int, ...]], logits: Sequence[Any]) -> list[Part]:
    return [Part(row, len(rows[row]) - len(each), each) for row, each in enumerate(logits)]
