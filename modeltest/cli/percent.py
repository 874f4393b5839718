"""Percentages on the command line: `0.5%`, always with the sign."""

from __future__ import annotations

import click


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
