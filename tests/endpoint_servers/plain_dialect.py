"""A server of no known kind that keeps to OpenAI's interface and refuses whatever that has not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dialect import Refused
from openai_dialect import SAMPLING, OpenAIDialect


class PlainDialect(OpenAIDialect):
    """Echo and log-probabilities with texts of tokens; no field of anybody's own."""

    takes = (SAMPLING - {"top_k"}) | {"echo", "logprobs", "top_logprobs", "logit_bias", "stream_options"}
    refuses_beyond = frozenset({"presence_penalty", "frequency_penalty", "max_completion_tokens"})

    def refusal(self, problem: Refused) -> Any:
        """Return an object with `error`."""
        error = {"message": problem.message, "type": "invalid_request_error", "param": problem.param}
        return {"error": {**error, "code": None}}

    def unexpected(self, names: Iterable[str]) -> Refused:
        """Return the refusal of fields that are not known."""
        return Refused(400, f"Unrecognized request argument supplied: {', '.join(names)}")
