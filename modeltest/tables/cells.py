"""Values of a result as short texts, for a table or a line."""

from __future__ import annotations

from modeltest.api import Case, CaseSummary, Distribution, PrecisionOutput, Proportion
from modeltest.statistics import relative_half_width

SHOWN = 40
"""Characters of an output that are shown."""


def shape(case: Case) -> str:
    """Return the tokens of a case: `64x32`."""
    return f"{case.input_tokens}x{case.output_tokens}"


def median(case: CaseSummary, metric: str) -> str:
    """Return the median of a metric over the trials of a case; a dash where there is none."""
    distribution: Distribution | None = case.metrics.get(metric)
    return number(distribution.median if distribution else None)


def with_interval(case: CaseSummary, metric: str) -> str:
    """Return the median and half of its 95 % interval, where there is one."""
    distribution: Distribution | None = case.metrics.get(metric)
    width = relative_half_width(distribution) if distribution else None
    return median(case, metric) + ("" if width is None else f" ±{width:.1%}")


def accuracy(proportion: Proportion) -> str:
    """Return an accuracy in percent; a dash of no questions."""
    return "-" if proportion.accuracy is None else f"{proportion.accuracy:.2%}"


def number(value: float | None) -> str:
    """Return four digits of a number; a dash where there is none."""
    return "-" if value is None else f"{value:.4g}"


def beginning(output: PrecisionOutput) -> str:
    """Return the first of the output in one line: the text, or else the token ids."""
    text = output.text if output.text is not None else " ".join(map(str, output.output_tokens[:SHOWN]))
    return in_one_line(text)


def in_one_line(text: str) -> str:
    """Return the beginning of a text, with a sign for each line end and other control character."""
    line = "".join(character if character.isprintable() else "\N{SYMBOL FOR NEWLINE}" for character in text)
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 3]}..."
