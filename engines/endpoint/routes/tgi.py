"""TGI's own `/generate` and `/generate_stream`, which MindIE Service has too: texts in, token ids out.

Token ids are sent as the text that they are cut from, and `prefill` tells the tokens that the server read:
an answer to others is none. TGI fills it from version 3 on only when started with
`--enable-prefill-logprobs`; MindIE tells the ids without log-probabilities.

Source: openapi.json of TGI 3.3, `router/src/validation.rs`; MindIE-Motor's interface of TGI.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engines.endpoint.routes.mindie import sampling
from engines.endpoint.routes.replies import PromptToken, Reply, ReplyError, Usage
from engines.endpoint.routes.route import ReadChunk, Wishes
from engines.endpoint.routes.values import as_count, as_ids, is_logprob

Write = Callable[[Sequence[int]], str]
"""Returns the text that is cut into the ids given. Raises: ReplyError where there is none."""

_ENDS_BY_ITSELF = "eos_token"


@dataclass(frozen=True, slots=True)
class TgiGenerate:
    """The routes `/generate` and, for streams, `/generate_stream`."""

    write: Write
    name: str = "/generate"
    ends_with_done: bool = False
    takes_ids: bool = False
    wishes: frozenset[str] = frozenset(
        {"top_k", "seed", "stop", "return_token_ids", "prompt_logprobs", "logprobs"}
    )

    def request(self, wishes: Wishes) -> tuple[str, dict[str, Any]]:
        """Return path and body; see `Route`."""
        prompt = wishes["prompt"]
        parameters = {"max_new_tokens": wishes["max_tokens"], "details": True, **sampling(wishes)}
        if "stop" in wishes:
            parameters["stop"] = wishes["stop"]
        if "logprobs" in wishes:
            parameters["top_n_tokens"] = wishes["logprobs"]
        body = {"inputs": prompt if isinstance(prompt, str) else self.write(prompt), "parameters": parameters}
        if wishes.get("stream"):
            return "//generate_stream", body
        if not isinstance(prompt, str) or "prompt_logprobs" in wishes:
            parameters["decoder_input_details"] = True
        return "//generate", body

    def read(self, value: Any) -> Reply:
        """Return an answer that came whole; see `Route`."""
        text = value.get("generated_text") if isinstance(value, dict) else None
        details = value.get("details") if isinstance(value, dict) else None
        if not isinstance(text, str) or not isinstance(details, dict):
            raise ReplyError("the answer has no generated_text or no details")
        tokens, read = _ids(details.get("tokens")), _ids(details.get("prefill"))
        return Reply(
            text=text,
            finish=_finish(details),
            token_ids=tokens,
            prompt_ids=read or None,
            usage=_usage(details, read),
            top=_told_of_output(details) if tokens else (),
            sampled=tokens or (),
            prompt_logprobs=tuple(_by_id(entry) for entry in details.get("prefill") or ()),
        )

    def chunk_reader(self) -> ReadChunk:
        """Return what reads the events of one stream."""
        return _chunk


def _chunk(value: Any) -> Reply:
    token = value.get("token") if isinstance(value, dict) else None
    if not isinstance(token, dict):
        raise ReplyError("an event has no token")
    details = value.get("details")
    told = details if isinstance(details, dict) else {}
    ids = token.get("id")
    text = token.get("text")
    return Reply(
        text=text if isinstance(text, str) else "",
        finish=_finish(told),
        token_ids=_ids([{"id": each} for each in (ids if isinstance(ids, list) else [ids])]),
        usage=_usage(told, None),
    )


def _usage(details: Mapping[str, Any], read: tuple[int, ...] | None) -> Usage:
    """Return the counts: of the prompt the tokens that were told, or what MindIE or a stream's end says."""
    told = details.get("prompt_tokens", details.get("input_length"))
    return Usage(len(read) if read else as_count(told), as_count(details.get("generated_tokens")))


def _finish(details: Mapping[str, Any]) -> str | None:
    reason = details.get("finish_reason")
    return "stop" if reason == _ENDS_BY_ITSELF else reason if isinstance(reason, str) else None


def _told_of_output(details: Mapping[str, Any]) -> tuple[Mapping[int, float], ...]:
    """Return by generated token what was told of it: itself, and the likeliest."""
    tokens, tops = details["tokens"], details.get("top_tokens")
    tops = tops if isinstance(tops, list) and len(tops) == len(tokens) else [[]] * len(tokens)
    return tuple(
        {
            token: told.logprob
            for entry in (own, *(more if isinstance(more, list) else ()))
            for token, told in (_by_id(entry) or {}).items()
        }
        for own, more in zip(tokens, tops, strict=True)
    )


def _ids(entries: Any) -> tuple[int, ...] | None:
    if not isinstance(entries, list):
        return None
    return as_ids([entry.get("id") if isinstance(entry, dict) else None for entry in entries])


def _by_id(entry: Any) -> Mapping[int, PromptToken] | None:
    """Return the log-probability of an entry {id, logprob} by its id; `None` without one."""
    if isinstance(entry, dict) and type(entry.get("id")) is int and is_logprob(entry.get("logprob")):
        return {entry["id"]: PromptToken(float(entry["logprob"]))}
    return None
