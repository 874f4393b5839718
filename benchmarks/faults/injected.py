"""Faults that are put into the ways of feeding a model, each as somebody once wrote it or easily could.

Those of `TUNED_ON` were looked at when the limits of trials were chosen; the others were written afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from engines.hf.beliefs.probe_tree import ProbeTree
from engines.hf.model.forward import Forward
from engines.hf.packed import tree_forward
from engines.hf.packed.last_layer import LastLayer
from engines.hf.packed.logits import LogitsAt
from engines.hf.packed.partial_attention import Accumulator
from engines.hf.packed.tree_forward import TreeForward
from engines.hf.paged import loop as paged_loop
from engines.hf.paged import sequence_attention
from engines.hf.paged.continuous_batching import ContinuousBatching

WINDOW, GROUPED_HEADS, LEARNED_POSITIONS = "a sliding window", "heads that share keys", "learned positions"


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong while `inject()` is entered, in one way of feeding.

    `needs`: what a model must have for the fault to be one.
    """

    name: str
    way: str
    inject: Callable[[], AbstractContextManager[None]]
    needs: str = ""


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _attend(change: Callable[..., Any]) -> Callable[[], AbstractContextManager[None]]:
    """Return a fault in the attention of packs: `change` is given the right one and its arguments."""

    def inject() -> AbstractContextManager[None]:
        right = tree_forward.attend

        def wrong(query: Any, key: Any, value: Any, **options: Any) -> Any:
            return change(right, query, key, value, **options)

        return _replaced(tree_forward, "attend", wrong)

    return inject


def _sees_the_next_token(right: Any, query: Any, key: Any, value: Any, **options: Any) -> Any:
    import torch

    if not options.get("causal") or key.shape[2] < 2:
        return right(query, key, value, **options)
    tokens = key.shape[2]
    mask = torch.ones(tokens, tokens, dtype=torch.bool, device=key.device).tril(1)
    return right(query, key, value, **{**options, "causal": False, "mask": mask})


def _misses_its_own_token(right: Any, query: Any, key: Any, value: Any, **options: Any) -> Any:
    import torch

    if not options.get("causal") or key.shape[2] < 2:
        return right(query, key, value, **options)
    tokens = key.shape[2]
    mask = torch.ones(tokens, tokens, dtype=torch.bool, device=key.device).tril(-1)
    mask[0, 0] = True
    return right(query, key, value, **{**options, "causal": False, "mask": mask})


def _scaled_by(factor: float) -> Callable[..., Any]:
    def wrong(right: Any, query: Any, key: Any, value: Any, **options: Any) -> Any:
        return right(query, key, value, **{**options, "scale": options["scale"] * factor})

    return wrong


def _without_scale(right: Any, query: Any, key: Any, value: Any, **options: Any) -> Any:
    return right(query, key, value, **{**options, "scale": 1.0})


def _drops_the_first_key_of_a_prefix(right: Any, query: Any, key: Any, value: Any, **options: Any) -> Any:
    if options.get("causal"):
        return right(query, key, value, **options)
    mask = options.get("mask")
    cut = None if mask is None else mask[:, 1:]
    return right(query, key[:, :, 1:], value[:, :, 1:], **{**options, "mask": cut})


def _heads_in_the_wrong_order(right: Any, query: Any, key: Any, value: Any, **options: Any) -> Any:
    groups = query.shape[1] // key.shape[1]
    return right(query, key.repeat(1, groups, 1, 1), value.repeat(1, groups, 1, 1), **options)


def _window_one_too_wide(right: Any, query: Any, key: Any, value: Any, **options: Any) -> Any:
    import torch

    mask = options.get("mask")
    if mask is None or not options.get("causal"):
        return right(query, key, value, **options)
    wider = torch.zeros_like(mask)
    wider[:, :-1] = mask[:, 1:]
    return right(query, key, value, **{**options, "mask": mask | wider})


def _merge_weight(factor: float) -> Callable[[], AbstractContextManager[None]]:
    def add(self: Accumulator, at: slice, output: Any, log_sum_exp: Any, *, is_first: bool) -> None:
        if is_first:
            self.output[:, :, at] = output
            self.log_sum_exp[:, :, at] = log_sum_exp
            return
        known = self.log_sum_exp[:, :, at]
        weight = (log_sum_exp - known).sigmoid_().unsqueeze(-1) * factor
        self.output[:, :, at].lerp_(output.float(), weight)
        self.log_sum_exp[:, :, at] = known.logaddexp(log_sum_exp)

    return lambda: _replaced(Accumulator, "add", add)


def _merge_forgets_what_it_merged() -> AbstractContextManager[None]:
    def add(self: Accumulator, at: slice, output: Any, log_sum_exp: Any, *, is_first: bool) -> None:
        if is_first:
            self.output[:, :, at] = output
            self.log_sum_exp[:, :, at] = log_sum_exp
            return
        weight = (log_sum_exp - self.log_sum_exp[:, :, at]).sigmoid_().unsqueeze(-1)
        self.output[:, :, at].lerp_(output.float(), weight)

    return _replaced(Accumulator, "add", add)


def _packs(change: Callable[[Any], Any]) -> Callable[[], AbstractContextManager[None]]:
    """Return a fault in what packs are made of: `change` is given a segment."""

    def inject() -> AbstractContextManager[None]:
        right = ProbeTree.packs

        def packs(self: ProbeTree, rows: Any) -> Any:
            fed, (first, second) = right(self, rows)
            changed = (replace(pack, segments=tuple(map(change, pack.segments))) for pack in (first, second))
            return fed, tuple(changed)

        return _replaced(ProbeTree, "packs", packs)

    return inject


def _one_position_late(segment: Any) -> Any:
    return segment if segment.row is None else replace(segment, start=segment.start + 1)


def _another_prefix(segment: Any) -> Any:
    return replace(segment, parent=0) if segment.row == 0 else segment


def _held_of_the_wrong_node() -> AbstractContextManager[None]:
    right = TreeForward._keys_values_of

    def wrong(self: TreeForward, look: Any, layer: int, key: Any, value: Any) -> Any:
        if look.place is None and layer > 0:
            return self._held[look.node][layer - 1]
        return right(self, look, layer, key, value)

    return _replaced(TreeForward, "_keys_values_of", wrong)


def _last_layer_one_off() -> AbstractContextManager[None]:
    right = LastLayer.begin
    return _replaced(LastLayer, "begin", lambda self, at, tokens: right(self, (at - 1).clamp(min=0), tokens))


def _logits_of_the_position_before() -> AbstractContextManager[None]:
    right = LogitsAt.__call__

    def wrong(self: LogitsAt, positions: Any, **arguments: Any) -> Any:
        return right(self, [max(at - 1, 0) for at in positions], **arguments)

    return _replaced(LogitsAt, "__call__", wrong)


def _kept_keys_one_off() -> AbstractContextManager[None]:
    right = TreeForward.chain

    def wrong(self: TreeForward, pack: Any, row: int) -> Any:
        return [
            replace(
                part,
                keys_values={
                    layer: (keys.roll(1, dims=2), values)
                    for layer, (keys, values) in part.keys_values.items()
                },
            )
            for part in right(self, pack, row)
        ]

    return _replaced(TreeForward, "chain", wrong)


def _padding_is_seen() -> AbstractContextManager[None]:
    right = Forward._call

    def wrong(self: Forward, ids: Any, mask: Any, **more: Any) -> Any:
        return right(self, ids, None if mask is None else mask | 1, **more)

    return _replaced(Forward, "_call", wrong)


def _padding_is_counted() -> AbstractContextManager[None]:
    right = Forward.__post_init__

    def wrong(self: Forward) -> None:
        right(self)
        self._parameters = self._parameters - {"position_ids"}

    return _replaced(Forward, "__post_init__", wrong)


def _padding_is_seen_in_steps() -> AbstractContextManager[None]:
    right = Forward._call

    def wrong(self: Forward, ids: Any, mask: Any, **more: Any) -> Any:
        is_step = ids.shape[1] == 1
        return right(self, ids, mask | 1 if is_step and mask is not None else mask, **more)

    return _replaced(Forward, "_call", wrong)


def _paged(change: Callable[[Any], Any]) -> Callable[[], AbstractContextManager[None]]:
    def inject() -> AbstractContextManager[None]:
        right = paged_loop.attend_rows

        def wrong(query: Any, key: Any, value: Any, lengths: Any, **options: Any) -> Any:
            query, key, value, options = change((query, key, value, options))
            return right(query, key, value, lengths, **options)

        return _replaced(paged_loop, "attend_rows", wrong)

    return inject


def _scale_of(factor: float) -> Callable[[Any], Any]:
    return lambda given: (*given[:3], {**given[3], "scale": given[3]["scale"] * factor})


def _window_of_one_more(given: Any) -> Any:
    window = given[3]["window"]
    return (*given[:3], {**given[3], "window": None if window is None else window + 1})


def _block_of_another_row(given: Any) -> Any:
    query, key, value, options = given
    if key.shape[2] > 8:
        key, value = key.clone(), value.clone()
        key[:, :, :4], value[:, :, :4] = key[:, :, -4:].clone(), value[:, :, -4:].clone()
    return query, key, value, options


def _paged_mask_one_off() -> AbstractContextManager[None]:
    right = sequence_attention._mask
    return _replaced(
        sequence_attention,
        "_mask",
        lambda queries, keys, window, device: right(queries, keys, window, device).roll(1, 1),
    )


def _padding_of_blocks_is_seen() -> AbstractContextManager[None]:
    return _replaced(sequence_attention.RowLengths, "decoding_mask", lambda *_: None)


def _keys_of_the_step_before() -> AbstractContextManager[None]:
    right = ContinuousBatching.write_and_read

    def wrong(self: ContinuousBatching, layer: int, key: Any, value: Any) -> Any:
        found_key, found_value, lengths = right(self, layer, key, value)
        return found_key, found_value.roll(1, dims=2), lengths

    return _replaced(ContinuousBatching, "write_and_read", wrong)


TUNED_ON = (
    Fault("the next token is seen", "packed", _attend(_sees_the_next_token)),
    Fault("no scale", "packed", _attend(_without_scale)),
    Fault("merge weight 1 % off", "packed", _merge_weight(1.01)),
    Fault("scale 0.1 % off", "packed", _attend(_scaled_by(1.001))),
)

FAULTS = (
    Fault("a token does not see itself", "packed", _attend(_misses_its_own_token)),
    Fault("positions of a row one late", "packed", _packs(_one_position_late)),
    Fault("a row on another prefix", "packed", _packs(_another_prefix)),
    Fault("prefix without its first key", "packed", _attend(_drops_the_first_key_of_a_prefix)),
    Fault("held keys of another layer", "packed", _held_of_the_wrong_node),
    Fault("heads in the wrong order", "packed", _attend(_heads_in_the_wrong_order), needs=GROUPED_HEADS),
    Fault("merge weight 0.1 % off", "packed", _merge_weight(1.001)),
    Fault("merge forgets the sum", "packed", _merge_forgets_what_it_merged),
    Fault("window one too wide", "packed", _attend(_window_one_too_wide), needs=WINDOW),
    Fault("last layer one position off", "packed", _last_layer_one_off),
    Fault("logits of the position before", "packed", _logits_of_the_position_before),
    Fault("kept keys one position off", "packed, steps", _kept_keys_one_off),
    Fault("padding is seen", "padded", _padding_is_seen),
    Fault("padding is counted", "padded", _padding_is_counted, needs=LEARNED_POSITIONS),
    Fault("padding is seen in steps", "padded, steps", _padding_is_seen_in_steps),
    Fault("paged: scale 0.1 % off", "paged", _paged(_scale_of(1.001))),
    Fault("paged: window one too wide", "paged", _paged(_window_of_one_more), needs=WINDOW),
    Fault("paged: a block of another row", "paged", _paged(_block_of_another_row)),
    Fault("paged: mask one off", "paged", _paged_mask_one_off),
    Fault("paged: padding is seen", "paged", _padding_of_blocks_is_seen),
    Fault("paged: values of the position before", "paged", _keys_of_the_step_before),
)


def graded() -> Iterator[Fault]:
    """Yield one fault smaller and smaller, to see the smallest that is refused."""
    for factor in (1e-2, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6):
        yield Fault(f"scale off by {factor:.0e}", "packed", _attend(_scaled_by(1 + factor)))
