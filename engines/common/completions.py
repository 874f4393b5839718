"""Completions of encoded requests, whoever computes them."""

from __future__ import annotations

from typing import Any

from engines.common.encoding import Encoded
from engines.common.endings import Speaking, text_of
from engines.common.stops import cut_at
from modeltest.api import Completion, Finish


def completion(encoded: Encoded, **values: Any) -> Completion:
    """Return a completion of `encoded` with what is known of its prompt."""
    return Completion(
        request_id=encoded.request.id,
        prompt_tokens=encoded.prompt_ids,
        choice_tokens=encoded.choice_ids,
        replaced_tokens=encoded.replaces,
        dropped_shots=encoded.dropped_shots,
        cut_prompt_tokens=encoded.cut_tokens,
        **values,
    )


def generated(
    encoded: Encoded,
    tokens: tuple[int, ...],
    ended: bool,
    loaded: Speaking,
    *,
    times_ns: tuple[int, ...] = (),
) -> Completion:
    """Return the completion of a generation."""
    # Text of a timed run is never read, and decoding thousands of rows takes longer than measuring.
    text = None if encoded.request.ignore_eos else text_of(loaded, tokens)
    if text is not None:
        text = cut_at(text, encoded.request.stop)
    return completion(
        encoded,
        text=text,
        output_tokens=tokens,
        token_times_ns=times_ns[: len(tokens)],
        finish=Finish.STOP if ended else Finish.LENGTH,
    )
