"""MindIE Service's own `/infer` and `/infer_token`: the ids of an answer, and of each event of a stream.

They have no words for a stop, for ignoring an end, or for log-probabilities, and count no prompt tokens.

Source: `single_req_self_develop_infer_interface.cpp` of MindIE-LLM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engines.endpoint.routes.replies import Reply, ReplyError, Usage
from engines.endpoint.routes.route import ReadChunk, Wishes
from engines.endpoint.routes.values import as_count, as_ids, message

_ALL_TOKENS = (1 << 31) - 1
"""The `top_k` that cuts nothing off: without one the server takes its model's."""

_FINISHES = {"length": "length", "eos_token": "stop"}
"""Any other reason is that of a request that was cancelled or failed."""


@dataclass(frozen=True, slots=True)
class MindieInfer:
    """The routes `/infer`, for texts, and `/infer_token`, for token ids."""

    name: str = "/infer_token"
    ends_with_done: bool = False
    takes_ids: bool = True
    wishes: frozenset[str] = frozenset({"top_k", "seed", "return_token_ids"})

    def request(self, wishes: Wishes) -> tuple[str, dict[str, Any]]:
        """Return path and body; see `Route`."""
        prompt = wishes["prompt"]
        parameters = {"max_new_tokens": wishes["max_tokens"], "details": True, **sampling(wishes)}
        body = {"stream": bool(wishes.get("stream")), "parameters": parameters}
        if isinstance(prompt, str):
            return "//infer", {"inputs": prompt, **body}
        return "//infer_token", {"input_id": prompt, **body}

    def read(self, value: Any) -> Reply:
        """Return an answer that came whole; see `Route`."""
        text = value.get("generated_text") if isinstance(value, dict) else None
        if not isinstance(text, str):
            raise ReplyError("the answer has no generated_text")
        details = value.get("details")
        told = details if isinstance(details, dict) else {}
        return Reply(
            text=text,
            finish=_finish(told),
            token_ids=as_ids(told.get("generated_token_ids")),
            usage=_usage(told),
        )

    def chunk_reader(self) -> ReadChunk:
        """Return what reads the events of one stream; the last brings its token without a text."""
        return _chunk


def sampling(wishes: Wishes) -> dict[str, Any]:
    """Return how tokens are chosen, in TGI's words: what is at its neutral value is left out.

    Such a value is refused (`top_p` 1, `temperature` 0), or taken for a wish to draw.
    """
    if not wishes.get("temperature"):
        return {"do_sample": False}
    told: dict[str, Any] = {"do_sample": True, "temperature": wishes["temperature"]}
    if wishes.get("top_p", 1) < 1:
        told["top_p"] = wishes["top_p"]
    if "top_k" in wishes:
        told["top_k"] = wishes["top_k"] if wishes["top_k"] > 0 else _ALL_TOKENS
    if "seed" in wishes:
        told["seed"] = wishes["seed"] + 1  # 0 is refused
    return told


def _chunk(value: Any) -> Reply:
    token = value.get("token") if isinstance(value, dict) else None
    if not isinstance(token, dict):
        raise ReplyError("an event has no token")
    ids = token.get("id")
    details = value.get("details")
    told = details if isinstance(details, dict) else {}
    return Reply(
        text=token.get("text") or "",
        finish=_finish(told),
        token_ids=(ids,) if type(ids) is int else as_ids(ids),  # one number in older versions
        usage=_usage(told),
    )


def _usage(details: Mapping[str, Any]) -> Usage:
    return Usage(as_count(details.get("prompt_tokens")), as_count(details.get("generated_tokens")))


def _finish(details: Mapping[str, Any]) -> str | None:
    reason = details.get("finish_reason")
    if reason is None:
        return None
    if reason not in _FINISHES:
        raise ReplyError(f"the server gave the request up: {message(reason)}")
    return _FINISHES[reason]
