"""Whether two ways to the same numbers agree on the loaded model: tried, not believed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from engines.vllm.asks import Answer, Ask
from engines.vllm.step_loop import StepLoop
from modeltest.api import EngineError, PrerequisiteError

LIMITS = {"float32": 1e-3, "float16": 0.02, "bfloat16": 0.15}
"""How far, in nats, a right answer may be from another, by what the model computes in; see `distance`."""

_NOTHING = 1e-7

TOP = 20
"""Tokens of which the distributions behind a row are compared."""

_UNCACHED_TOKENS = 16

_BLOCKS = 2
"""Whole blocks that the rows of the trial share."""

_ENDS = (11, 6)
"""Tokens of each row behind what is shared."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a trial found."""

    is_right: bool
    notes: tuple[str, ...]


def try_cache(loop: StepLoop, text_ids: Sequence[int], *, block_tokens: int, dtype: str) -> Found:
    """Compare answers that read the cache with answers that do not.

    Rows are scored where `loop` does that.

    Raises: EngineError when the two ways to ask for log-probabilities differ without any cache.
    """
    limit = _limit(dtype)
    rows = _rows(text_ids, block_tokens)
    scores_row = loop.scores_rows
    plain = _answers(loop, [Ask(row, top=TOP, scores_row=scores_row, may_reuse=False) for row in rows])
    if scores_row:
        _compare_ways(loop, rows[0], plain[0], limit)
    asks = [
        Ask(row, wanted=tuple(right.logprobs), scores_row=scores_row)
        for row, right in zip(rows, plain, strict=True)
    ]
    loop.forget()
    # First one reads in the same step what the other has just written, then both what lies there.
    read = [*_answers(loop, asks, rows=len(asks)), *_answers(loop, asks)]
    loop.forget()
    if not all(answer.reused_tokens for answer in read[-len(rows) :]):
        return Found(True, ("prefix cache: nothing of it is read on this model",))
    worst = max(_distance(mine, right) for mine, right in zip(read, plain * 2, strict=True))
    if worst > limit:
        return Found(
            False, (f"prefix cache off: what it gives differs by {worst:.2g} nats ({limit:g} are allowed)",)
        )
    told = f"differs by {worst:.1g} nats" if worst > _NOTHING else "changes nothing"
    return Found(True, (f"prefix cache on, blocks of {block_tokens} tokens: reading it {told}",))


def try_beside(loop: StepLoop, text_ids: Sequence[int], *, dtype: str) -> None:
    """Compare answers to rows that are in flight together with those to each alone, without any cache.

    Raises: EngineError when they differ, or the two ways to ask for log-probabilities do.
    """
    limit = _limit(dtype)
    rows = _rows(text_ids, _UNCACHED_TOKENS)
    asks = [Ask(row, top=TOP, scores_row=True, may_reuse=False) for row in rows]
    alone, beside = _answers(loop, asks), _answers(loop, asks, rows=len(asks))
    _compare_ways(loop, rows[0], alone[0], limit)
    worst = max(_distance(mine, right) for mine, right in zip(beside, alone, strict=True))
    if not worst <= limit:
        raise EngineError(
            f"what vLLM says of a prompt changes by {worst:.2g} nats with the prompt beside it; "
            f"{limit:g} are allowed"
        )


def _limit(dtype: str) -> float:
    return LIMITS.get(dtype, LIMITS["bfloat16"])


def _distance(mine: Answer, right: Answer) -> float:
    """Return how far an answer is from the right one: behind the row, and where its own tokens are scored."""
    within = (distance(there, right.row_logprobs[position]) for position, there in mine.row_logprobs.items())
    return max(distance(mine.logprobs, right.logprobs), *within, 0.0)


def distance(found: Mapping[int, float], truth: Mapping[int, float]) -> float:
    """Return how far `found` is from `truth`, both log-probabilities of tokens, in nats.

    The root of the mean square difference, weighted by the probabilities of `truth`: a token that nobody
    would say may differ by more in right computations. What `found` lacks is infinitely far.
    """
    total, weights = 0.0, 0.0
    for token, right in truth.items():
        mine = found.get(token, math.nan)
        if math.isnan(mine) or math.isnan(right):
            return math.inf
        weight = math.exp(right)
        total += weight * (mine - right) ** 2
        weights += weight
    return math.sqrt(total / weights) if weights else math.inf


def try_adapters(
    loop: StepLoop, names: Sequence[str], text_ids: Sequence[int], *, block_tokens: int, dtype: str
) -> tuple[str, ...]:
    """Answer the same row with the model as it is and with each adapter, and return what to note.

    Raises: PrerequisiteError for an adapter that vLLM does not load; EngineError when one reads what another
        left in the prefix cache, or answers otherwise in one batch with others than alone.
    """
    if not names:
        return ()
    ids = _rows(text_ids, block_tokens)[0]
    loop.forget()
    alone = [_answer_with(loop, ids, name) for name in (None, *names)]
    loop.forget()
    together = [Ask(ids, top=TOP, may_reuse=False, adapter=name) for name in (None, *names)]
    limit = LIMITS.get(dtype, LIMITS["bfloat16"])
    for mixed, right in zip(_answers(loop, together, rows=len(together)), alone, strict=True):
        if (worst := distance(mixed.logprobs, right.logprobs)) > limit:
            raise EngineError(
                f"vLLM's answer with an adapter changes by {worst:.2g} nats when others are in the batch"
            )
    loop.forget()
    return (f"LoRA adapters: {', '.join(names)}",)


def _answer_with(loop: StepLoop, ids: tuple[int, ...], name: str | None) -> Answer:
    try:
        (answer,) = _answers(loop, [Ask(ids, top=TOP, adapter=name)])
    except (ValueError, RuntimeError, LookupError) as problem:
        reason = " ".join(str(problem).split())
        raise PrerequisiteError(f"vLLM does not load the adapter {name!r}: {reason:.400}") from problem
    if answer.reused_tokens:
        raise EngineError(
            f"vLLM's prefix cache gave the adapter {name!r} what was computed for another; run with "
            "--engine-option prefix_cache=no"
        )
    return answer


def _compare_ways(loop: StepLoop, row: tuple[int, ...], scored: Answer, limit: float) -> None:
    """Hold the log-probability of a row's last token against what is said behind the row without it.

    Raises: EngineError.
    """
    (behind,) = _answers(loop, [Ask(row[:-1], wanted=(row[-1],), may_reuse=False)])
    one, other = scored.row_logprobs[len(row) - 2][row[-1]], behind.logprobs[row[-1]]
    # Of a token that is unlikely, rounding changes the logarithm by more.
    allowed = limit * max(1.0, -other)
    if not abs(one - other) <= allowed:
        raise EngineError(
            f"vLLM gives the same token the log-probability {one:.4f} within a prompt and {other:.4f} behind "
            f"it; {allowed:.2g} are allowed between them"
        )


def _answers(loop: StepLoop, asks: Sequence[Ask], *, rows: int = 1) -> list[Answer]:
    """Return the answers to `asks`, `rows` of them in flight."""
    done = [each for step in loop.together(asks, rows) for each in step]
    return [each.answer for each in sorted(done, key=lambda each: each.place)]


def _rows(text_ids: Sequence[int], block_tokens: int) -> list[tuple[int, ...]]:
    shared = _BLOCKS * block_tokens + 1
    text = tuple(islice(cycle(text_ids), shared + 4 * sum(_ENDS)))
    return [
        text[:shared] + text[shared + 3 * place : shared + 3 * place + end] for place, end in enumerate(_ENDS)
    ]
