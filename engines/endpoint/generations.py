"""Texts made by a server: what is asked, and what an answer is held against before it counts."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from engines.common.completions import completion
from engines.common.encoding import Encoded
from engines.common.stops import cut_at, stop_ids
from engines.endpoint.choices import check_prompt
from engines.endpoint.routes.completions import CHAT
from engines.endpoint.routes.replies import Reply, ReplyError, read_reply
from engines.endpoint.routes.route import Route
from engines.endpoint.server import Server, sampling_fields
from modeltest.api import ChatPrompt, Completion, Finish, Request, Sampling, TextPrompt, TokenPrompt


@dataclass(frozen=True, slots=True)
class Drawing:
    """How tokens are drawn; each request draws by a seed of its own, so that equal prompts differ."""

    sampling: Sampling
    seed: int

    def seed_of(self, request_id: str) -> int:
        """Return the seed of one request: the same in every run with the same seed."""
        digest = hashlib.sha256(f"{self.seed}/{request_id}".encode()).digest()
        return int.from_bytes(digest[:4], "big") >> 1


async def generate(
    server: Server, asked: Encoded | Request, *, drawing: Drawing | None, tokenizer: Any, retokenize: bool
) -> tuple[Completion, Reply]:
    """Return the answer to a prompt of token ids, or to a request as it is: as text, or as a conversation.

    Raises: Unanswered, ReplyError.
    """
    request = asked.request if isinstance(asked, Encoded) else asked
    special = stop_ids(tokenizer, request.stop) if tokenizer is not None and request.stop else ()
    if isinstance(request.prompt, ChatPrompt) and not isinstance(asked, Encoded):
        fields = _fields(server, server.openai, request, drawing, special)
        reply = await _chat(server, request.prompt, request.max_new_tokens, fields)
    else:
        route = _route(server, asked, request, drawing)
        fields = _fields(server, route, request, drawing, special)
        prompt = asked.prompt_ids if isinstance(asked, Encoded) else _text(request)
        reply = await server.reply(route, prompt, new_tokens=request.max_new_tokens, **fields)
        if isinstance(asked, Encoded):
            check_prompt(reply, asked.prompt_ids)
    return _answered(asked, request, reply, tokenizer if retokenize else None), reply


async def _chat(server: Server, prompt: ChatPrompt, new_tokens: int, fields: dict[str, Any]) -> Reply:
    turns = [{"role": turn.role, "content": turn.content} for turn in prompt.turns]
    return read_reply(await server.client.post(CHAT, server.chat(turns, new_tokens=new_tokens, **fields)))


def _route(server: Server, asked: Encoded | Request, request: Request, drawing: Drawing | None) -> Route:
    """Return the route that has most of what a request needs: one that returns ids before others."""
    is_encoded = isinstance(asked, Encoded)
    takes = "token_prompts" if is_encoded else "completions"
    wanted = [
        *(["ignore_eos"] if request.ignore_eos else []),
        *(["seed"] if drawing is not None else []),
        *(["stop"] if request.stop else []),
    ]
    with_ids = server.route_of(takes, *wanted, "returned_ids")
    without = server.route_of(takes, *wanted) or server.route_of(takes) or server.openai
    writes_ids = is_encoded and with_ids is not None and not with_ids.takes_ids
    return without if with_ids is None or (writes_ids and without.takes_ids) else with_ids


def _fields(
    server: Server, route: Route, request: Request, drawing: Drawing | None, special: Collection[int]
) -> dict[str, Any]:
    fields: dict[str, Any] = {"stop": list(request.stop)} if request.stop else {}
    wanted = {
        "stop_token_ids": sorted(special),  # no text shows these
        "return_token_ids": True,
        "ignore_eos": request.ignore_eos,
    }
    fields |= {name: value for name, value in wanted.items() if value and name in route.wishes}
    if drawing is not None:
        fields |= sampling_fields(server, drawing.sampling, drawing.seed_of(request.id))
    return fields


def _text(request: Request) -> str:
    if isinstance(request.prompt, TokenPrompt):
        raise ReplyError("the server takes no prompts of token ids")
    assert isinstance(request.prompt, TextPrompt)
    return request.prompt.text


def _answered(asked: Encoded | Request, request: Request, reply: Reply, tokenizer: Any) -> Completion:
    """Return the completion, or a failed one where the server's counts contradict what was asked."""
    count = reply.usage.completion_tokens
    ids: Sequence[int] | None = reply.token_ids
    if ids is None and tokenizer is not None:
        ids = tokenizer.encode(reply.text, add_special_tokens=False)
    if error := _contradiction(request, reply, count):
        return _made(asked, error=error)
    return _made(
        asked,
        text=cut_at(reply.text, request.stop),
        output_tokens=tuple(ids or ()),
        output_count=None if ids else count,
        finish=Finish.LENGTH if reply.finish == "length" else Finish.STOP,
    )


def _contradiction(request: Request, reply: Reply, count: int | None) -> str | None:
    limit = request.max_new_tokens
    if reply.finish is None:
        return "the answer has no reason for its end"
    if reply.finish == "stop_sequence" and not request.stop:
        return "the server ended the answer at a stop, and none was asked for"  # MindIE's word for cancelled
    if reply.finish not in ("stop", "length", "eos", "eos_token", "stop_sequence"):
        return f"the server ended the answer for another reason: {reply.finish:.80}"
    if count is None:
        return None
    if count > limit:
        return f"at most {limit} tokens were asked for, the server made {count}"
    if count < limit and (reply.finish == "length" or request.ignore_eos):
        return f"{limit} tokens were asked for, the server made {count} and says that was the limit"
    if reply.token_ids is not None and len(reply.token_ids) != count:
        return f"the server counts {count} tokens and returns {len(reply.token_ids)}"
    return None


def _made(asked: Encoded | Request, **values: Any) -> Completion:
    return completion(asked, **values) if isinstance(asked, Encoded) else Completion(asked.id, **values)
