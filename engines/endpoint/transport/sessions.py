"""aiohttp's connections as the engine `openai` uses them."""

from __future__ import annotations

import ssl
from pathlib import Path
from time import perf_counter_ns
from types import SimpleNamespace
from typing import Any

import aiohttp

from engines.endpoint.transport.options import EndpointOptions
from engines.endpoint.transport.secrets import Secrets
from engines.endpoint.transport.stamped import StampingConnector
from modeltest.api import PrerequisiteError

KEEP_ALIVE_S = 4.0
"""How long an idle connection is used again. uvicorn, which most servers are built on, closes its own after
five seconds, and a request that meets the closing is lost."""


class Sent:
    """When a request was written to its connection, by `time.perf_counter_ns`; handed to aiohttp with it."""

    time_ns: int | None = None


def open_session(options: EndpointOptions, secrets: Secrets) -> aiohttp.ClientSession:
    """Return a session that follows no cookies and takes no proxy from the environment.

    Raises: PrerequisiteError when the certificates cannot be read.
    """
    trace = aiohttp.TraceConfig()
    trace.on_request_chunk_sent.append(_note_sent)
    return aiohttp.ClientSession(
        connector=StampingConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S, ssl=_trusted(options)),
        timeout=aiohttp.ClientTimeout(
            total=options.whole_s, sock_connect=options.connect_s, sock_read=options.first_byte_s
        ),
        headers={**secrets.headers, "Accept-Encoding": "identity", "User-Agent": "modeltest"},
        trace_configs=[trace],
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def _note_sent(_session: Any, context: SimpleNamespace, _sent: Any) -> None:
    asked = context.trace_request_ctx
    if isinstance(asked, Sent):
        asked.time_ns = perf_counter_ns()


def _trusted(options: EndpointOptions) -> ssl.SSLContext | bool:
    if options.ca_bundle is None:
        return True
    try:
        return ssl.create_default_context(cafile=str(Path(options.ca_bundle).expanduser()))
    except OSError as problem:  # an SSLError is one
        raise PrerequisiteError(f"ca_bundle={options.ca_bundle} cannot be used: {problem}") from None
