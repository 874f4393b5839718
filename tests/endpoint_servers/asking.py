"""A client of the plainest kind, to hold the servers of these tests to what they say."""

from __future__ import annotations

import http.client
import json
from typing import Any


def ask(port: int, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    """Return status and JSON of one request: a POST if there is a body; `None` for an empty answer."""
    status, data = ask_raw(port, path, body, headers)
    return status, json.loads(data) if data else None


def ask_raw(
    port: int, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """Return status and bytes of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        method = "GET" if body is None else "POST"
        sent = None if body is None else json.dumps(body)
        connection.request(method, path, sent, {"Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def events(data: bytes) -> list[Any]:
    """Return the events of a stream: JSON, `[DONE]` as text, comments as bytes."""
    found: list[Any] = []
    for part in data.split(b"\n\n"):
        if part.startswith(b"data: [DONE]"):
            found.append("[DONE]")
        elif part.startswith(b"data: "):
            found.append(json.loads(part[6:]))
        elif part:
            found.append(part)
    return found
