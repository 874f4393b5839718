"""From a URL and options to a model that can be asked: server, tokens, abilities, fingerprint."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from engines.endpoint.abilities import QUESTION, SENTENCE, Texts, find_out
from engines.endpoint.dialects import STRICT, UNKNOWN, Dialect
from engines.endpoint.discovery import find_server, refuse_other_dtype, refuse_unknown_model
from engines.endpoint.fingerprint import Fingerprint, fingerprint
from engines.endpoint.native_abilities import find_out_natives
from engines.endpoint.routes.known import known_routes
from engines.endpoint.server import Server
from engines.endpoint.stream_abilities import find_out_streams
from engines.endpoint.texts import ServerTexts, TextSide, tokenize, written
from engines.endpoint.transport.address import Address
from engines.endpoint.transport.client import Client, Unanswered
from engines.endpoint.transport.loop import LoopThread
from engines.endpoint.transport.options import EndpointOptions
from engines.endpoint.transport.secrets import read_secrets
from engines.endpoint.vocabulary import vocabulary_size
from modeltest.api import Ability, EngineError, ModelInfo, RunSpec, SpecError


@dataclass(slots=True)
class Loaded:
    """A served model that was looked at."""

    server: Server
    text_side: TextSide | None
    fingerprint: Fingerprint
    context_tokens: int | None
    vocabulary_size: int | None
    special_ids: tuple[int, ...] = ()
    tokenizer: Any = None
    """transformers' own, of the files that were given; also where the server takes no token ids."""


def load(
    loop: LoopThread, address: Address, options: EndpointOptions, spec: RunSpec, info: ModelInfo
) -> Loaded:
    """Look at the server behind `address`.

    Raises: EngineError, PrerequisiteError, SpecError.
    """
    client = Client(address, read_secrets(os.environ, options.headers), options)
    loop.run(_opened(client))
    try:
        return _look(loop, client, spec, info)
    except Unanswered as problem:
        loop.run(client.close())
        raise EngineError(f"{address.base}: {problem}") from None
    except BaseException:
        loop.run(client.close())
        raise


async def _opened(client: Client) -> None:
    client.open()


def _look(loop: LoopThread, client: Client, spec: RunSpec, info: ModelInfo) -> Loaded:
    options = client.options
    server = loop.run(find_server(client, options.served_model))
    raw = _tokenizer(options, spec, info) if options.tokenizer is not None else None
    context = _least(spec.max_position_embeddings, options.context_tokens, server.seen.context_tokens)
    server.abilities["tokenize"] = can_cut = loop.run(_tokenizes(server))
    texts = loop.run(_texts(server, raw, is_cut=can_cut.is_there is True))
    loop.run(find_out(server, texts))
    if server.seen.dialect is UNKNOWN and not (server.can("completions") or server.can("chat")):
        server.seen = replace(server.seen, dialect=STRICT)
        loop.run(find_out(server, texts))
    loop.run(find_out_natives(server, texts, known_routes(partial(written, raw))))
    refuse_unknown_model(server)
    refuse_other_dtype(server, spec.dtype)
    loop.run(find_out_streams(server, texts))
    size, special = _vocabulary(loop, server, raw)
    text_side = None
    if server.can("token_prompts"):
        text_side = _text_side(loop, server, raw, context, size, is_cut=can_cut.is_there is True)
    server.abilities["text_side"] = Ability("text_side", text_side is not None, _said_of_texts(server, raw))
    return Loaded(server, text_side, loop.run(fingerprint(server)), context, size, special, raw)


def is_as_it_was(loop: LoopThread, loaded: Loaded) -> bool:
    """Say whether the server is the one that was looked at, so that what it can need not be tried again.

    Raises: EngineError, PrerequisiteError when it is not asked with success.
    """
    client, then = loaded.server.client, loaded.server.seen
    try:
        now = loop.run(find_server(client, client.options.served_model))
    except Unanswered as problem:
        raise EngineError(f"{client.address.base}: {problem}") from None
    facts = [(each.dialect.name, each.version, each.context_tokens) for each in (then, now.seen)]
    return facts[0] == facts[1] and now.model == loaded.server.model and not client.has_changed


def _said_of_texts(server: Server, raw: Any) -> str:
    if not server.can("token_prompts"):
        return f"prompts are texts: {server.abilities['token_prompts'].seen}"
    if raw is not None:
        return "a tokenizer's files"
    return f"no tokenizer=DIR, and /tokenize: {server.abilities['tokenize'].seen}"


def _least(*counts: int | None) -> int | None:
    return min((count for count in counts if count is not None), default=None)


def _tokenizer(options: EndpointOptions, spec: RunSpec, info: ModelInfo) -> Any:
    try:
        import transformers
    except ImportError:
        raise SpecError("tokenizer=DIR needs transformers, which is not installed here") from None
    from engines.common.tokenizer_loading import load_tokenizer

    folder = str(Path(str(options.tokenizer)).expanduser())
    return load_tokenizer(transformers, replace(info, path=folder), trust_remote_code=spec.trust_remote_code)


async def _tokenizes(server: Server) -> Ability:
    """Look whether the server cuts texts itself."""
    try:
        ids = await tokenize(server.client, server.seen.dialect, server.model, SENTENCE, special=False)
    except EngineError as problem:
        return Ability("tokenize", False, str(problem))
    return Ability("tokenize", True, f"{len(ids)} tokens of {SENTENCE!r}")


async def _texts(server: Server, raw: Any, *, is_cut: bool) -> Texts:
    """Return what the probes need to know of tokens.

    Raises: SpecError when the tokenizer's files are not those of the server.
    """
    if raw is not None:
        own = tuple(raw.encode(SENTENCE, add_special_tokens=False))
        theirs = own
        if is_cut:
            theirs = await tokenize(server.client, server.seen.dialect, server.model, SENTENCE, special=False)
        if theirs not in _possible_cuts(raw, server.seen.dialect):
            raise SpecError(
                f"the tokenizer given is not the server's: it cuts {SENTENCE!r} into {list(own)}, the server "
                f"into {list(theirs)}"
            )
        chat = None
        if raw.chat_template:
            chat = tuple(
                raw.apply_chat_template(list(QUESTION), add_generation_prompt=True, return_dict=False)
            )
        return Texts(own, raw.eos_token_id, tuple(raw.encode(SENTENCE)), chat)
    chat_ids = await _chat_ids(server) if is_cut else None
    return Texts(chat_ids=chat_ids)


def _possible_cuts(raw: Any, dialect: Dialect) -> list[tuple[int, ...]]:
    """Return what a server with this tokenizer may cut `SENTENCE` into."""
    flags = (False,) if dialect.tokenize_special else (False, True)
    return [tuple(raw.encode(SENTENCE, add_special_tokens=special)) for special in flags]


async def _chat_ids(server: Server) -> tuple[int, ...] | None:
    body = {"model": server.model, "messages": list(QUESTION), "add_generation_prompt": True}
    reply = await server.client.probe(server.seen.dialect.tokenize_path, body)
    ids = reply.value.get("tokens") if isinstance(reply.value, dict) else None
    return tuple(ids) if ids and all(type(each) is int for each in ids) else None


def _vocabulary(loop: LoopThread, server: Server, raw: Any) -> tuple[int | None, tuple[int, ...]]:
    special: tuple[int, ...] = ()
    if raw is not None:
        size, said = len(raw), "a tokenizer's files"
        special = tuple(sorted(token for token in raw.all_special_ids if token < size))
    else:
        found = loop.run(vocabulary_size(server))
        size, said = found or 0, "searched for" if found else "unknown: give --tokenizer DIR"
    server.abilities["vocabulary"] = Ability(
        "vocabulary", size > 0, f"{size} tokens, {said}" if size else said
    )
    return size or None, special


def _text_side(
    loop: LoopThread, server: Server, raw: Any, context: int | None, size: int | None, *, is_cut: bool
) -> TextSide | None:
    if raw is not None:
        from engines.common.text_tokens import TextTokens

        return TextSide(TextTokens(raw), raw, context_tokens=context, vocabulary_size=size)
    if is_cut:
        texts = ServerTexts(server.client, loop, server.seen.dialect, server.model)
        return TextSide(texts, None, context_tokens=context, vocabulary_size=size)
    return None
