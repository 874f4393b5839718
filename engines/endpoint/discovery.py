"""Which server this is and what it serves, then what it can: everything that is asked at load."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engines.endpoint.dialects import LOOKED_AT, ROUTES, UNKNOWN, recognize
from engines.endpoint.server import Server
from engines.endpoint.timed import TIMED_NEEDS, timed_route
from engines.endpoint.transport.client import Client
from modeltest.api import Capability, EngineError, PrerequisiteError, SpecError

_SHOWN_MODELS = 8


async def find_server(client: Client, served_model: str | None) -> Server:
    """Return the server behind `client` and the model that is asked: the one named, or the only one.

    Raises: PrerequisiteError when there is no such model; EngineError when nothing answers as such a server.
    """
    reply = await client.probe("/models")
    listed = reply.value.get("data") if isinstance(reply.value, dict) else None
    entries = {
        str(each["id"]): each
        for each in listed or ()
        if isinstance(each, dict) and isinstance(each.get("id"), str)
    }
    if reply.status != 200 and served_model is None:
        raise EngineError(
            f"{client.address.base}/models answers with status {reply.status}: {reply.text}; is the URL that "
            "of an OpenAI-compatible interface, such as http://HOST:PORT/v1? If so, name the model with "
            "--served-model NAME"
        )
    model = served_model or _only(client, entries)
    answers = {path: value for path in LOOKED_AT if (value := await _told(client, path)) is not None}
    seen = recognize(entries.get(model), answers)
    if seen.dialect is UNKNOWN:
        seen = recognize(entries.get(model), {**answers, ROUTES: await _told(client, ROUTES)})
    return Server(client, model, seen, is_alone=len(entries) < 2)


async def _told(client: Client, path: str) -> Any:
    """Return the JSON that `path` is answered with, `None` without any."""
    found = await client.probe(path)
    return found.value if found.status == 200 else None


def _only(client: Client, entries: Mapping[str, Any]) -> str:
    if len(entries) == 1:
        return next(iter(entries))
    names = ", ".join(sorted(entries)[:_SHOWN_MODELS]) or "none that it names"
    raise PrerequisiteError(
        f"{client.address.base} serves {len(entries)} models ({names}): name one with --served-model NAME"
    )


def refuse_unknown_model(server: Server) -> None:
    """Refuse a model that the server answers nothing for.

    Raises: PrerequisiteError with what it said.
    """
    if server.can("completions") or server.can("chat"):
        return
    said = server.abilities["completions"].seen
    raise PrerequisiteError(
        f"{server.client.address.base} completes nothing with model {server.model!r}: {said}; name the model "
        "with --served-model NAME"
    )


def refuse_other_dtype(server: Server, stated: str | None) -> None:
    """Refuse float32 where the server's logits were seen to be rounded to 16 bits.

    The other way round says nothing: a model in bfloat16 may have its last layer in float32.

    Raises: SpecError.
    """
    found = server.abilities["float32_logits"]
    if stated == "float32" and found.is_there is False:
        raise SpecError(
            f"--dtype says that {server.model!r} is served in float32, its log-probabilities say otherwise: "
            f"{found.seen}; give the dtype that the server was started with, or leave it out"
        )


_NEEDS: Mapping[Capability, tuple[tuple[str, ...], ...]] = {
    Capability.CHOICE_LOGPROBS: (
        ("token_prompts",),
        ("prompt_logprobs", "echo", "chosen_logprobs"),
        ("text_side",),
    ),
    Capability.TOKEN_LOGPROBS: (("token_prompts",), ("prompt_logprobs", "echo"), ("text_side",)),
    Capability.TOKEN_TIMES: (("token_prompts",), ("stream",), ("token_times",), ("vocabulary",)),
    Capability.SAMPLE: (("seed",),),
}
"""By capability, of each group one ability at least must have been seen."""


def lacking(server: Server, *, is_chat: bool) -> dict[str, str]:
    """Return what this server cannot do of what the engine claims, and the probes that showed it."""
    found = {
        capability.value: "; ".join(
            _said(server, group) for group in groups if not any(map(server.can, group))
        )
        for capability, groups in _NEEDS.items()
    }
    if not found[Capability.TOKEN_LOGPROBS.value]:
        found[Capability.TOKEN_LOGPROBS.value] = _said_of_texts_alone(server)
    if not found[Capability.TOKEN_TIMES.value] and timed_route(server) is None:
        found[Capability.TOKEN_TIMES.value] = _said_of_routes(server)
    if not server.can("completions") and not (is_chat and server.can("chat")):
        hint = "; it only chats: ask with chat" if server.can("chat") else ""
        found[Capability.GENERATE.value] = _said(server, ("completions",)) + hint
    ignoring = server.abilities["ignore_eos"]
    if ignoring.is_there is False:
        found[Capability.IGNORE_EOS.value] = _said(server, ("ignore_eos",))
    return {name: said for name, said in found.items() if said}


def _said_of_texts_alone(server: Server) -> str:
    """Return why the route that tells a prompt's tokens cannot be sent any; empty where it can."""
    route = server.route_of("prompt_logprobs") or server.openai
    if route.takes_ids:
        return ""
    return f"{route.name} takes texts alone, and not all token ids are those that their text is cut into"


def _said_of_routes(server: Server) -> str:
    """Return why no route alone has all that a timed run needs."""
    found = []
    for route in (server.openai, *server.natives):
        seen = server.by_route[route.name]
        gone = [seen[name] for name in TIMED_NEEDS if name in seen and seen[name].is_there is False]
        lacks = [f"{each.name} ({each.seen})" for each in gone]
        found.append(f"{route.name} lacks {', '.join(lacks or ['prompts of token ids'])}")
    return "; ".join(found)


def _said(server: Server, group: tuple[str, ...]) -> str:
    return ", ".join(
        f"{name}: {server.abilities[name].seen if name in server.abilities else 'not looked for'}"
        for name in group
    )
