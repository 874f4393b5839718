"""Data on its way into a page: JSON that cannot leave its script element, and large JSON compressed."""

from __future__ import annotations

import base64
import json
import zlib

PACKED = "application/x-deflate+base64"
"""The type of an element that holds compressed JSON; `page.data` of page.js reads both kinds."""

_ESCAPES = str.maketrans(
    {
        "<": "\\u003c",
        ">": "\\u003e",
        "&": "\\u0026",
        "\u2028": "\\u2028",
        "\u2029": "\\u2029",
    }
)


def script_json(value: object) -> str:
    """Return `value` as JSON in which nothing can end a script element or begin a comment.

    Raises: ValueError for NaN and infinity.
    """
    return _json(value).translate(_ESCAPES)


def packed_json(value: object) -> str:
    """Return `value` as deflated JSON in base64: a quarter of the size where texts resemble each other.

    Raises: ValueError for NaN and infinity.
    """
    # Lone surrogates, which a model's tokenizer may have made, are no UTF-8.
    data = _json(value).encode("utf-8", errors="replace")
    return base64.b64encode(zlib.compress(data, 6)).decode()


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
