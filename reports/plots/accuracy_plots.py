"""The plots of an accuracy run: by category with intervals, and how sure the answers were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import log10
from typing import TYPE_CHECKING

from modeltest.api import AccuracySummary, Proportion
from reports.page.texts import Texts
from reports.plots.drawing import Plot, Words, legend_above, make_plot, new_figure, plot_name
from reports.plots.palette import FAINT, INK, MUTED, SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BINS = 48
_ROW_IN = 0.3


@dataclass(frozen=True, slots=True)
class Margins:
    """The margins of the answers that have one, right and wrong apart."""

    right: Sequence[float]
    wrong: Sequence[float]
    near_tie: float


def accuracy_plots(
    summary: AccuracySummary, margins: Margins, *, chance: float | None, texts: Texts
) -> list[Plot]:
    """Return the plots that have something to show; `chance` is the accuracy of guessing."""
    plots = []
    if len(summary.categories) > 1:
        plots.append(
            make_plot(
                "accuracy_by_category",
                partial(_by_category, summary, chance),
                texts=texts,
                caption="plot.accuracy_by_category_caption",
            )
        )
    if len(margins.right) + len(margins.wrong) > 1:
        plots.append(
            make_plot(
                "margins",
                partial(_margins, margins),
                texts=texts,
                caption="plot.margins_caption",
            )
        )
    return plots


def _by_category(summary: AccuracySummary, chance: float | None, words: Words) -> Figure:
    rows: list[tuple[str, Proportion]] = [
        (words("plot.all_questions"), summary.micro),
        *summary.categories.items(),
        *summary.groups.items(),
    ]
    figure, (axes,) = new_figure(0.75 + _ROW_IN * len(rows))
    for place, (_, proportion) in enumerate(rows):
        _interval(axes, place, proportion, colour=INK if place == 0 else SERIES[0])
    axes.set_yticks(range(len(rows)), [plot_name(name) for name, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(words("plot.accuracy_percent"))
    if chance is not None:
        axes.axvline(100 * chance, color=FAINT, linewidth=1, linestyle=(0, (3, 3)), zorder=1)
        axes.annotate(
            words("plot.chance"),
            (100 * chance, 1),
            (3, 1),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            color=MUTED,
            fontsize=8,
        )
    return figure


def _interval(axes: Axes, place: int, proportion: Proportion, *, colour: str) -> None:
    if proportion.accuracy is None or proportion.low is None or proportion.high is None:
        return
    axes.plot([100 * proportion.low, 100 * proportion.high], [place, place], color=colour, linewidth=2)
    axes.plot([100 * proportion.accuracy], [place], "o", color=colour)
    axes.annotate(
        f"{100 * proportion.accuracy:.1f}",
        (100 * proportion.high, place),
        (6, 0),
        textcoords="offset points",
        va="center",
        color=colour,
    )


def _margins(margins: Margins, words: Words) -> Figure:
    figure, (axes,) = new_figure(2.6)
    positive = [margin for margin in (*margins.right, *margins.wrong) if margin > 0]
    # The near-ties are in sight, also where there are none: that is what the plot is asked.
    lowest = log10(max(min((*positive, margins.near_tie / 2)), 1e-8))
    highest = max(log10(max(positive, default=1.0)), lowest + 1)
    edges = [10 ** (lowest + (highest - lowest) * step / _BINS) for step in range(_BINS + 1)]
    named = ((margins.right, "plot.right", SERIES[2]), (margins.wrong, "plot.wrong", SERIES[1]))
    for values, key, colour in named:
        # What is exactly tied belongs on the left, not out of the plot.
        clipped = [min(max(value, edges[0]), edges[-1]) for value in values]
        label = words(key, n=f"{len(values):,}")
        axes.hist(clipped, bins=edges, histtype="step", color=colour, linewidth=1.6, label=label)
        axes.hist(clipped, bins=edges, color=colour, alpha=0.14)
    axes.set_xscale("log")
    axes.set_xlim(edges[0], edges[-1])
    axes.axvline(margins.near_tie, color=FAINT, linewidth=1, linestyle=(0, (3, 3)))
    axes.annotate(
        words("plot.near_tie"),
        (margins.near_tie, 1),
        (-3, -9),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="right",
        color=MUTED,
        fontsize=8,
    )
    axes.set_xlabel(words("plot.margin"))
    axes.set_ylabel(words("plot.questions"))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    legend_above(axes)
    return figure
