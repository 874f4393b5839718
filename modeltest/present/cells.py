"""Values of a result as short texts, for a table or a line."""

from __future__ import annotations

from modeltest.api import CaseSummary, Distribution, PrecisionOutput, Proportion
from modeltest.present.presentation import Cell, Estimate, IntervalCell, Said
from modeltest.statistics import relative_half_width

SHOWN = 40
"""Characters of an output that are shown."""


def plain(cell: Cell) -> str:
    """Return a cell for a reader who sees characters only, intervals as half their width in percent."""
    if isinstance(cell, Said):
        return in_one_line(cell.text)
    if isinstance(cell, Estimate):
        width = relative_half_width(cell.found) if cell.found and not cell.is_secondary else None
        return number(cell.found.median if cell.found else None) + ("" if width is None else f" ±{width:.1%}")
    if isinstance(cell, IntervalCell):
        return "" if cell.of.low is None else f"{cell.of.low:.2%} .. {cell.of.high:.2%}"
    return cell


def median(case: CaseSummary, metric: str) -> str:
    """Return the median of a metric over the trials of a case; a dash where there is none."""
    distribution: Distribution | None = case.metrics.get(metric)
    return number(distribution.median if distribution else None)


def accuracy(proportion: Proportion) -> str:
    """Return an accuracy in percent; a dash of no questions."""
    return "-" if proportion.accuracy is None else f"{proportion.accuracy:.2%}"


def number(value: float | None) -> str:
    """Return four digits of a number; a dash where there is none."""
    return "-" if value is None else f"{value:.4g}"


def said(output: PrecisionOutput) -> str:
    """Return the output: the text, or else the token ids."""
    return output.text if output.text is not None else " ".join(map(str, output.output_tokens))


def in_one_line(text: str) -> str:
    """Return the beginning of a text, with a sign for each line end and other control character."""
    line = "".join(character if character.isprintable() else "\N{SYMBOL FOR NEWLINE}" for character in text)
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 3]}..."
