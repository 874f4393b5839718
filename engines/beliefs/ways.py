"""The ways in which rows are fed, as a trial asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engines.beliefs.model_trial import Part, Way
from engines.beliefs.probe_tree import REPLAYED_STEPS, ProbeTree
from engines.continuous_batching import Room
from engines.paged_loop import Asked, PagedLoop

if TYPE_CHECKING:
    from engines.forward import Forward
    from engines.tree_forward import TreeForward


def packed(forward: TreeForward) -> Way:
    """Return the way of packs: shared prefixes are fed once, rows lie one behind another."""

    def feed(tree: ProbeTree, _: Any) -> list[Part]:
        rows, packs = tree.packs(tree.rows)
        parts = []
        forward.reset()
        for pack in packs:
            for row, logits in forward.feed(pack, rows).items():
                parts.append(Part(row, rows[row].read_from, logits))
        forward.reset()
        return parts

    return feed


def packed_then_steps(tree_forward: TreeForward, forward: Forward) -> Way:
    """Return the way of generation: prompts in packs, then token by token from their keys and values."""

    def feed(tree: ProbeTree, _: Any) -> list[Part]:
        whole = tree.replayed
        rows, packs = tree.packs([row[:-REPLAYED_STEPS] for row in whole])
        keys_values: dict[int, Any] = {}
        tree_forward.reset()
        for pack in packs:
            tree_forward.feed(pack, rows, keep_rows=True)
            keys_values.update({row: tree_forward.keys_values(pack, row) for row in pack.rows})
        tree_forward.reset()
        steps = [row[-REPLAYED_STEPS:] for row in whole]
        logits = forward.replay_from([keys_values[row] for row in range(len(whole))], steps)
        return _replayed(whole, logits)

    return feed


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


def paged(loop: PagedLoop) -> Way:
    """Return the way of a paged cache: two rows in flight, prompts in pieces, prefixes in shared blocks."""

    def feed(tree: ProbeTree, dtype: Any) -> list[Part]:
        whole, starts = tree.replayed, tree.starts
        asked = [
            Asked(
                row[:-REPLAYED_STEPS],
                read_from=start,
                new_tokens=REPLAYED_STEPS + 1,
                keeps_logits=True,
                follows=row[-REPLAYED_STEPS:],
            )
            for row, start in zip(whole, starts, strict=True)
        ]
        longest = max(row.fed_tokens for row in asked)
        # Two steps and more for a row, so that one reads what another has written.
        room = Room(2, longest, longest // 2 + 1, is_timed=False)
        try:
            loop.open(room, dtype)
            answers = [answer for answers in loop.run(asked) for answer in answers]
        finally:
            loop.close()
        return [Part(answer.row, starts[answer.row], answer.logits) for answer in answers]

    return feed


def _replayed(rows: Sequence[tuple[int, ...]], logits: Sequence[Any]) -> list[Part]:
    return [Part(row, len(rows[row]) - len(each), each) for row, each in enumerate(logits)]
