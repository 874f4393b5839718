"""What a server says when it fails, in the shapes that servers have for it. Pure."""

from __future__ import annotations

from typing import Any

from modeltest.plain.json_text import JsonError, parse_published_json

_SHOWN_CHARACTERS = 300
_KEYS = ("message", "error", "detail", "msg")


def said_in(data: bytes) -> str:
    """Return the message in the body of a failure: of JSON the innermost message, else its beginning."""
    try:
        value = parse_published_json(data)
    except JsonError:
        value = None
    text = message_of(value) or data.decode(errors="replace")
    return " ".join(text.split())[:_SHOWN_CHARACTERS] or "no text"


def message_of(value: Any) -> str | None:
    """Return the message of an error: `{"error": {"message": ...}}` of OpenAI and vLLM, `{"error": text}`,
    the flat `{"object": "error", "message": ...}` of SGLang, `{"detail": ...}` of FastAPI.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        return message_of(value[0])
    if isinstance(value, dict):
        for key in _KEYS:
            if found := message_of(value.get(key)):
                return found
    return None


def is_error(value: Any) -> bool:
    """Say whether JSON that came with status 200, or in a stream, is an error."""
    return isinstance(value, dict) and (value.get("error") is not None or value.get("object") == "error")
