"""The types of all options and variables that are numbers: bounded on both sides, and never nan."""

from __future__ import annotations

import math
from typing import Any

import click

from modeltest.grammar.bounds import LARGEST_COUNT, LARGEST_SEED, LONGEST_S, SMALLEST_SEED
from modeltest.grammar.words import WordError, read_count


def count(*, lowest: int = 1) -> click.IntRange:
    """Return the type of a number of things: questions, tokens, rows."""
    return click.IntRange(lowest, LARGEST_COUNT)


SEED = click.IntRange(SMALLEST_SEED, LARGEST_SEED)
"""The type of what random numbers begin with."""


class Decimal(click.FloatRange):
    """A decimal number within bounds. Those of click let nan through, which is neither below nor above."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return `value` as a number within the bounds."""
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


def decimal(*, above: float | None = None, lowest: float = 0, highest: float) -> Decimal:
    """Return the type of a decimal number: more than `above`, or else at least `lowest`, up to `highest`."""
    return Decimal(lowest if above is None else above, highest, min_open=above is not None)


def seconds(*, above: float | None = None) -> Decimal:
    """Return the type of a time in seconds: from 0, or longer than `above`."""
    return decimal(above=above, highest=LONGEST_S)


def percent(text: str) -> float:
    """Return the fraction that `0.5%` means; the type of an option.

    Raises: click.BadParameter, also for a bare number, which could mean either.
    """
    digits = text.strip()
    try:
        number = float(digits.removesuffix("%"))
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a percentage such as 0.5%") from None
    if not digits.endswith("%"):
        raise click.BadParameter(
            f"{text!r} may mean {digits}% or {100 * number:.10g}%: write the sign, such as 0.5%"
        )
    if not 0 <= number <= 100:
        raise click.BadParameter(f"{text!r} is not between 0% and 100%")
    return number / 100


def _pairs(
    _: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> tuple[tuple[int, int], ...]:
    """Convert texts such as 256,64; click's own tuple type would want a blank between the numbers."""
    pairs = []
    for text in texts:
        try:
            first, second = map(read_count, map(str.strip, text.strip("[]").split(",")))
        except ValueError as problem:
            why = f": {problem}" if isinstance(problem, WordError) else ""
            raise click.BadParameter(
                f"{text!r:.80} is not two positive numbers such as 256,64{why}", param=parameter
            ) from None
        pairs.append((first, second))
    return tuple(pairs)


PAIRS: dict[str, Any] = {"multiple": True, "metavar": "N,M", "callback": _pairs}
"""Settings of an option that takes two numbers, such as 256,64, and may be repeated."""
