"""Requests of the timed batches, and the random token ids most are made of: a seed reproduces them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence

from modeltest.api import (
    Case,
    EngineError,
    EngineInfo,
    Request,
    SpecError,
    TokenPrompt,
)


def ordinary_token_ids(engine: EngineInfo) -> tuple[int, ...]:
    """Return the token ids a prompt may be made of: the vocabulary without the special ones.

    Raises: EngineError when none is left.
    """
    special = frozenset(engine.special_token_ids)
    ids = tuple(token for token in range(engine.vocabulary_size) if token not in special)
    if not ids:
        raise EngineError(
            f"engine {engine.engine!r} reports a vocabulary of {engine.vocabulary_size} tokens, all special; "
            "no prompt can be made of them: check the tokenizer files beside the weights"
        )
    return ids


def random_requests(
    case: Case, batch_size: int, trial: int, *, seed: int, token_ids: Sequence[int]
) -> tuple[Request, ...]:
    """Return the rows of one batch: distinct, and new in every trial so that no cache is warm.

    Ids come from sha256 and `Random.random`, the one method whose sequence Python promises to keep.

    Raises: SpecError when there are fewer distinct rows than asked for.
    """
    if len(token_ids) ** case.input_tokens < batch_size:
        raise SpecError(
            f"{len(token_ids)} token ids make {len(token_ids) ** case.input_tokens} distinct prompts of "
            f"{case.input_tokens} tokens, fewer than the batch size {batch_size}; "
            "ask for a smaller batch or more input tokens"
        )
    name = _trial_name(case, batch_size, trial)
    rows: dict[tuple[int, ...], None] = {}
    for row in range(batch_size):
        attempt = 0
        while (ids := _random_ids(f"{seed}/{name}/r{row}/{attempt}", case.input_tokens, token_ids)) in rows:
            attempt += 1
        rows[ids] = None
    return timed_requests(case, trial, tuple(rows))


def request_id(case: Case, batch_size: int, trial: int, row: int) -> str:
    """Return the name of one row of one trial."""
    return f"{_trial_name(case, batch_size, trial)}/r{row}"


def timed_requests(case: Case, trial: int, rows: Sequence[tuple[int, ...]]) -> tuple[Request, ...]:
    """Return one request per row, each for exactly the new tokens of the case."""
    return tuple(
        Request(
            request_id(case, len(rows), trial, row),
            TokenPrompt(ids),
            max_new_tokens=case.output_tokens,
            ignore_eos=True,
        )
        for row, ids in enumerate(rows)
    )


def _trial_name(case: Case, batch_size: int, trial: int) -> str:
    return f"{case.shape}/b{batch_size}/t{trial}"


def _random_ids(key: str, count: int, token_ids: Sequence[int]) -> tuple[int, ...]:
    draw = random.Random(int.from_bytes(hashlib.sha256(key.encode()).digest(), "big")).random
    size = len(token_ids)
    return tuple(token_ids[int(draw() * size)] for _ in range(count))
