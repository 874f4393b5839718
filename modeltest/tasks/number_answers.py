"""The number a free-form answer settles on, by the rule of each protocol, in a short form for tables.

Source: MindIE-LLM tests/modeltest for the last number; lm-evaluation-harness 0.4.13 tasks/gsm8k/gsm8k.yaml
(version 3.0), filters/extraction.py and api/metrics.py for the strict and the flexible match.
"""

from __future__ import annotations

import math
import re

_LAST_NUMBER = re.compile(r"([+-])?(?=([0-9]|\.[0-9]))(0|([1-9](\d{0,2}(,\d{3})*)|\d*))?(\.\d*)?(?=\D|$)")
_STRICT = re.compile(r"#### (\-?[0-9\.\,]+)")
_FLEXIBLE = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
_IGNORED = tuple(re.compile(pattern) for pattern in (",", r"\$", r"(?s).*#### ", r"\.$"))
"""What `exact_match` removes from an answer and from the expected one, in this order."""

_NUMBER = re.compile(r"-?(?=[.]*[0-9])[0-9.]+")
"""What is left of a number then."""

_TOLERANCE = 1e-4
_EXACT_BELOW = 10**15
"""Whole numbers below it are written out; above, a float's neighbours are more than one apart."""

_LONGEST = 40
"""Characters of a text that is to stand in a table."""


def last_number(text: str) -> str | None:
    """Return the last number in `text`, as `short_number` writes it; `None` when there is none.

    A hyphen before a digit is a sign, also in "5-10", and the last of several numbers counts whatever it
    is of: so it is in the reference.
    """
    found = None
    for match in _LAST_NUMBER.finditer(text):
        found = match[0]
    return None if found is None else short_number(float(found.replace(",", "").replace("+", "")))


def short_number(value: float) -> str:
    """Return the shortest text that reads as `value` again: `18`, not `18.0`."""
    if value.is_integer() and abs(value) < _EXACT_BELOW:
        return str(int(value))
    return repr(value)


def are_close(predicted: str | None, expected: str) -> bool:
    """Say whether two numbers, as texts, differ by 0.0001 at most; no number is close to none.

    Raises: ValueError when a text is no number.
    """
    if predicted is None:
        return False
    # The reference compares decimals by math.isclose, which makes floats of them too.
    return math.isclose(float(predicted), float(expected), rel_tol=0.0, abs_tol=_TOLERANCE)


def strict_match(text: str) -> str | None:
    """Return what follows the first `#### ` as `exact_match` compares it; `None` when no digit does."""
    match = _STRICT.search(text)
    return None if match is None else exact_number(match[1])


def flexible_extract(text: str) -> str | None:
    """Return the last number of `text` as `exact_match` compares it; `None` when there is none.

    Signs of punctuation count as a number of their own: "18. ..." ends with none.
    """
    found = None
    for match in _FLEXIBLE.finditer(text):
        found = match[0]
    return None if found is None else exact_number(found)


def exact_number(text: str) -> str | None:
    """Return the number that `exact_match` compares of `text`; `None` when it is none.

    Of a whole answer of the dataset that is what stands behind `#### `. Numbers are compared as texts:
    "1234.50" is not "1234.5".
    """
    for pattern in _IGNORED:
        text = pattern.sub("", text)
    # lm-evaluation-harness compares other texts too, in lower case. No right answer is lost by leaving them
    # out: an expected one is always a number here, and what is left of "..." is none.
    return text if _NUMBER.fullmatch(text) else None


def shortened(text: str) -> str:
    """Return `text`, cut where it is too long for a table, as the digits of a model in a loop are."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
