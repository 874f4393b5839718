"""How many tokens a served model knows, where no tokenizer's files say it."""

from __future__ import annotations

from engines.endpoint.routes.completions import COMPLETIONS
from engines.endpoint.server import Server

_LARGEST = 1 << 21
"""No vocabulary is as large."""


async def vocabulary_size(server: Server) -> int | None:
    """Return the number of tokens by asking for ids that may be too large; `None` where that may do harm.

    Some twenty requests of one token each, and only of servers that are known to refuse such ids.
    """
    if not server.seen.dialect.refuses_unknown_ids or not server.can("token_prompts"):
        return None
    known, unknown = 1, _LARGEST
    if not await _is_known(server, known) or await _is_known(server, unknown):
        return None
    while unknown - known > 1:
        middle = (known + unknown) // 2
        if await _is_known(server, middle):
            known = middle
        else:
            unknown = middle
    return unknown


async def _is_known(server: Server, token: int) -> bool:
    reply = await server.client.probe(COMPLETIONS, server.completion((token,), new_tokens=1))
    return reply.status == 200
