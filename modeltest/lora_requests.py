"""Which LoRA adapter answers which request: the file behind the word `lora`.

JSON Lines of `{"<number of the request>": "<adapter>"}`, requests counted from 0. A request that is not
named, and one with the adapter `base`, is answered by the model as it is.

Source: Ascend/MindIE-LLM at 8b4871ad, examples/atb_models/tests/modeltest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from modeltest.api import SpecError
from modeltest.plain.json_text import JsonError, parse_json

BASE = "base"
"""The model without an adapter."""

_MOST_DIGITS = 12


def read_adapters(path: str) -> Mapping[int, str]:
    """Return the adapter of each request that has one, by its number.

    Raises: SpecError naming the line that is wrong.
    """
    found: dict[int, str] = {}
    lines: dict[int, int] = {}
    for number, line in enumerate(_text_of(path).splitlines(), start=1):
        if not line.strip():
            continue
        for request, adapter in _read_line(line, f"line {number} of {path}"):
            if request in lines:
                raise SpecError(
                    f"line {number} of {path} names request {request} again, after line {lines[request]}"
                )
            lines[request] = number
            if adapter != BASE:
                found[request] = adapter
    return found


def _text_of(path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SpecError(f"the LoRA data {path!r} are not UTF-8 text; JSON Lines are expected") from None
    except OSError as problem:
        raise SpecError(
            f"the LoRA data {path!r} cannot be read: {problem.strerror or problem}; give a file with lines "
            'such as {"0": "adapter1"}'
        ) from None


def _read_line(line: str, place: str) -> Iterator[tuple[int, str]]:
    try:
        entries = parse_json(line)
    except JsonError as problem:
        raise SpecError(f"{place} is not JSON: {problem.reason}") from None
    if not isinstance(entries, dict) or not entries:
        raise SpecError(f'{place} is {line.strip()!r:.60}; an object such as {{"0": "adapter1"}} is expected')
    for key, adapter in entries.items():
        if not (key.isascii() and key.isdecimal() and len(key) <= _MOST_DIGITS):
            raise SpecError(f"{place} names request {key!r:.40}; its number is expected, counted from 0")
        if not isinstance(adapter, str) or not adapter:
            raise SpecError(f"{place} gives request {key} the adapter {adapter!r:.40}; a name is expected")
        yield int(key), adapter
