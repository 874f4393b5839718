"""Generations: rows in flight that end by themselves, and timed batches that are submitted together."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from engines.common.completions import completion, generated
from engines.common.encoding import Encoded
from engines.common.endings import ends_of
from engines.common.stops import stop_ids
from engines.vllm.asks import Answer, Ask, Draw, prefix_order
from engines.vllm.choosing import NOT_NUMBERS
from engines.vllm.names import Room
from engines.vllm.sizes import Sizes
from engines.vllm.step_loop import Counts, Done, StepLoop
from modeltest.api import Completion, EngineError, OutOfMemory

CLOCK_SHARE = 0.02
CLOCK_NS = 2_000_000
"""By this share of a time, or so much if that is more, the step loop and vLLM's own clock may differ."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is needed of a loaded checkpoint to end answers and write them as text."""

    tokenizer: Any
    eos_token_ids: frozenset[int]


class Seeds:
    """A seed for each row that is drawn, the same ones for equal seeds of a run."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._given = 0

    def next(self) -> int:
        """Return the seed of the next row."""
        self._given += 1
        return int.from_bytes(hashlib.sha256(f"{self._seed}/{self._given}".encode()).digest()[:6], "big")


def generate(
    batch: Sequence[Encoded],
    loop: StepLoop,
    checkpoint: Checkpoint,
    *,
    batch_size: int,
    draws: Sequence[Draw] = (),
) -> Iterator[list[Completion]]:
    """Yield generations as they end; another prompt takes the place of each, one that begins alike first.

    `draws` has one for each row; none: every row gets the likeliest tokens.
    """
    ends = ends_of(batch, checkpoint)
    order = prefix_order(
        [encoded.prompt_ids for encoded in batch], [encoded.request.adapter for encoded in batch]
    )
    asks = []
    for place in order:
        request = batch[place].request
        is_read = bool(request.stop) or request.first_character_only
        asks.append(
            Ask(
                batch[place].prompt_ids,
                request.max_new_tokens,
                adapter=request.adapter,
                stop_ids=tuple(
                    sorted(checkpoint.eos_token_ids | stop_ids(checkpoint.tokenizer, request.stop))
                ),
                draw=draws[place] if draws else None,
                ends=partial(ends, place) if is_read else None,
            )
        )
    for finished in loop.run(asks, batch_size):
        yield [_generated(batch[order[done.place]], done, checkpoint) for done in finished]


def _generated(encoded: Encoded, done: Done, checkpoint: Checkpoint) -> Completion:
    if done.error is not None:
        return completion(encoded, error=done.error)
    if done.answer.is_corrupted:
        return completion(encoded, error=NOT_NUMBERS)
    return generated(encoded, tuple(done.answer.tokens), done.answer.ended, checkpoint)


def generate_timed(
    batch: Sequence[Encoded], loop: StepLoop, checkpoint: Checkpoint, *, sizes: Sizes, room: Room
) -> list[Completion]:
    """Return generations of one batch that is submitted together, with the times of their tokens.

    Times count from before the first row is submitted to when the step that gave the token has returned.

    Raises: OutOfMemory when the batch does not fit in the cache together, after which the engine still works.
    """
    _refuse_too_large(batch, sizes, room)
    is_end_alone = batch[0].request.only_end_timed
    asks = [
        Ask(
            encoded.prompt_ids,
            encoded.request.max_new_tokens,
            adapter=encoded.request.adapter,
            may_reuse=False,
            is_watched=not is_end_alone,
        )
        for encoded in batch
    ]
    finished = sorted(
        (done for step in loop.together(asks, len(asks)) for done in step), key=lambda done: done.place
    )
    for encoded, done in zip(batch, finished, strict=True):
        _check(encoded, done.answer, loop.counts)
    return [
        _timed(encoded, done.answer, checkpoint, is_end_alone)
        for encoded, done in zip(batch, finished, strict=True)
    ]


def _timed(encoded: Encoded, answer: Answer, checkpoint: Checkpoint, is_end_alone: bool) -> Completion:
    if answer.is_corrupted:
        return completion(encoded, error=NOT_NUMBERS)
    times_ns = () if is_end_alone else tuple(answer.times_ns)
    whole = generated(encoded, tuple(answer.tokens), False, checkpoint, times_ns=times_ns)
    return replace(whole, end_ns=answer.times_ns[-1] if is_end_alone else None)


def _refuse_too_large(batch: Sequence[Encoded], sizes: Sizes, room: Room) -> None:
    """Refuse a batch that the cache cannot hold: vLLM would let rows wait, or compute them twice.

    Raises: OutOfMemory; EngineError for more rows than the engine was made for.
    """
    if len(batch) > sizes.rows:
        raise EngineError(f"vLLM was loaded for {sizes.rows} rows together, asked are {len(batch)}")
    lengths = [len(encoded.prompt_ids) + encoded.request.max_new_tokens for encoded in batch]
    needed = sum(room.blocks_of(length, sizes.step_tokens) for length in lengths)
    usable = room.blocks - 1  # one is no row's
    if needed > usable:
        raise OutOfMemory(
            f"out of memory: {len(batch)} rows of up to {max(lengths)} tokens need {needed} blocks of the "
            f"key-value cache, it has {usable}"
        )


def _check(encoded: Encoded, answer: Answer, counts: Counts) -> None:
    """Hold what came against what was asked.

    Raises: OutOfMemory for a row that was computed twice; EngineError.
    """
    asked, came = encoded.request.max_new_tokens, len(answer.tokens)
    if came != asked:
        raise EngineError(f"vLLM gave {came} tokens for request {encoded.request.id!r}, asked were {asked}")
    if answer.reused_tokens:
        raise EngineError(
            f"vLLM reused {answer.reused_tokens} tokens of an earlier prompt in a timed batch: its times are "
            "not those of the whole prompt"
        )
    if answer.preemptions:
        raise OutOfMemory("out of memory: the key-value cache had no room for the batch, rows were taken out")
    _compare_clocks(encoded, answer, counts)


def _compare_clocks(encoded: Encoded, answer: Answer, counts: Counts) -> None:
    """Count, and tell in the worker's log, where vLLM's own times of the first and last token are others."""
    if answer.engine_times_ns is None:
        return
    first, last = answer.engine_times_ns
    pairs = [(answer.times_ns[-1], last)]
    if len(answer.times_ns) > 1:
        pairs.append((answer.times_ns[0], first))
    counts.held_times += len(pairs)
    for ours, theirs in pairs:
        if abs(ours - theirs) > max(CLOCK_SHARE * ours, CLOCK_NS):
            counts.differing_times += 1
            _log.warning(
                "request %s: a token came after %.3f ms by the step loop, after %.3f ms by vLLM's own clock",
                encoded.request.id,
                ours / 1e6,
                theirs / 1e6,
            )
