"""Reading JSON from whoever wrote it: the one place that knows how Python's reader fails and what it lets in.

Python reads NaN, infinities, numbers beyond all floats and a key that is there twice, and it fails with
`RecursionError` on what nests too deep. Readers of files say what is wrong with a file; this says what is
wrong with its JSON, always as a `JsonError`.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

_BEYOND_DIGITS = 300
_AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")


class JsonError(ValueError):
    """A text is not JSON, or holds what no file may; `line` is where, if that is known."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason if line is None else f"line {line}: {reason}")
        self.reason = reason
        self.line = line


def parse_json(text: str | bytes) -> Any:
    """Return the value in `text`, UTF-8 where it is bytes: what ModelTest or its user writes.

    Raises: JsonError also for NaN, infinities, numbers beyond all floats, and a key that is there twice.
    """
    text = _decoded(text)
    return _read(_CAREFUL if _has_long_number(text) else _STRICT, text)


def parse_published_json(text: str | bytes) -> Any:
    """Return the value in `text` as the libraries read it that it was published for.

    Configs of models do have `Infinity` in them, and of a key that is there twice the last value counts.

    Raises: JsonError.
    """
    return _read(_LENIENT, _decoded(text))


def _has_long_number(text: str) -> bool:
    """Say whether an integer may be beyond all floats: few texts look so, and they are read more slowly."""
    if len(text) < _BEYOND_DIGITS:
        return False
    # Five times as fast as a regular expression, on lines of journals that are mostly numbers.
    return b"0" * _BEYOND_DIGITS in text.encode(errors="surrogatepass").translate(_AS_ZEROS)


def _decoded(text: str | bytes) -> str:
    if isinstance(text, str):
        return text
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as problem:
        raise JsonError(f"byte {problem.start} is not of UTF-8") from None


def _read(decoder: json.JSONDecoder, text: str) -> Any:
    try:
        return decoder.decode(text)
    except JsonError:
        raise
    except json.JSONDecodeError as problem:
        raise JsonError(problem.msg, problem.lineno) from None
    except RecursionError:
        raise JsonError("its values lie too deep in each other") from None
    except ValueError as problem:  # an integer of more digits than Python converts
        raise JsonError(str(problem)) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise JsonError(f"{twice!r:.80} is there twice in one object")
    return found


def _no_number(text: str) -> NoReturn:
    raise JsonError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise JsonError(f"{text:.40} is a number beyond all bounds")
    return value


def _within_floats(text: str) -> int:
    value = int(text)
    _finite(text)  # arithmetic with floats would fail with such an integer
    return value


_STRICT = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_number, parse_float=_finite)
_CAREFUL = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_no_number, parse_float=_finite, parse_int=_within_floats
)
_LENIENT = json.JSONDecoder()
