"""Completions of encoded requests, whoever computes them."""

from __future__ import annotations

from typing import Any

from engines.common.encoding import Encoded
from modeltest.api import Completion


def completion(encoded: Encoded, **values: Any) -> Completion:
    """Return a completion of `encoded` with what is known of its prompt."""
    return Completion(
        request_id=encoded.request.id,
        prompt_tokens=encoded.prompt_ids,
        choice_tokens=encoded.choice_ids,
        dropped_shots=encoded.dropped_shots,
        cut_prompt_tokens=encoded.cut_tokens,
        **values,
    )
