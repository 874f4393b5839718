"""The colours of plots: those of the light theme of page.css, under the names of its tokens."""

from __future__ import annotations

INK = "#1b1d1f"
MUTED = "#5d636b"
FAINT = "#8b9198"
LINE = "#e2e3e0"
LINE_STRONG = "#c9cbc6"
PAPER = "#fcfcfb"
GOOD = "#15764a"
WARN = "#8f5f00"
BAD = "#b3261e"
SERIES = ("#2a68c8", "#c25a0c", "#157f63", "#7b4fc0", "#a8285f", "#6b7280")

TOKENS = {
    INK: "ink",
    MUTED: "muted",
    FAINT: "faint",
    LINE: "line",
    LINE_STRONG: "line-strong",
    PAPER: "paper",
    GOOD: "good",
    WARN: "warn",
    BAD: "bad",
    **{colour: f"series-{number}" for number, colour in enumerate(SERIES, start=1)},
}
"""Colour -> the token of page.css that has it in the light theme."""


def series_colour(index: int) -> str:
    """Return the colour of a series; after the last colour the first follows again."""
    return SERIES[index % len(SERIES)]
