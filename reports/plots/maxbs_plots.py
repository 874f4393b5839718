"""The plots of a max-batch run: every batch size tried, the limit, and the line the search followed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from modeltest.api import MaxBatchCase, Probe, ProbeDecision
from reports.page.texts import Texts
from reports.plots.drawing import Plot, Words, legend_above, make_plot, new_figure
from reports.plots.palette import BAD, FAINT, GOOD, INK, PAPER, WARN

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {
    ProbeDecision.PASS: GOOD,
    ProbeDecision.FAIL: BAD,
    ProbeDecision.BORDERLINE: WARN,
    ProbeDecision.OPEN: FAINT,
    ProbeDecision.OUT_OF_MEMORY: INK,
    ProbeDecision.FAILED: INK,
}
_LINE_POINTS = 64


def maxbs_plots(searches: Sequence[MaxBatchCase], *, texts: Texts) -> list[Plot]:
    """Return one plot per case that has a probe."""
    return [
        make_plot(
            f"probes_{search.case.shape}",
            partial(_probes, search),
            texts=texts,
            caption="plot.probes_caption",
            arguments={"case": search.case.shape},
        )
        for search in searches
        if search.probes
    ]


def _probes(search: MaxBatchCase, words: Words) -> Figure:
    figure, (axes,) = new_figure(3.3)
    _limit(axes, search, words)
    named: set[ProbeDecision] = set()
    for probe in search.probes:
        label = words(f"decision.{probe.decision.value}") if probe.decision not in named else None
        named.add(probe.decision)
        _probe(axes, probe, label=label, limit_ms=search.limit_ms)
    if search.max_batch is not None:
        axes.axvline(search.max_batch, color=GOOD, linewidth=1, alpha=0.6)
    sizes = [probe.batch_size for probe in search.probes]
    axes.set_xscale("log", base=2)
    axes.set_xlim(min(sizes) / 1.25, max(sizes) * 1.25)
    ticks = _ticks(sorted(set(sizes)), answer=search.max_batch)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(0, 1.12 * max(search.limit_ms, *(_top(probe) for probe in search.probes)))
    _line(axes, search, words)
    axes.set_xlabel(words("plot.batch_size"))
    axes.set_ylabel(words("plot.non_first_token_ms"))
    legend_above(axes)
    return figure


def _limit(axes: Axes, search: MaxBatchCase, words: Words) -> None:
    axes.axhline(search.limit_ms, color=INK, linewidth=1.2)
    axes.annotate(
        words("plot.limit", limit=f"{search.limit_ms:g}"),
        (0, search.limit_ms),
        (4, 3),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        color=INK,
        fontsize=8,
    )


def _line(axes: Axes, search: MaxBatchCase, words: Words) -> None:
    if search.line is None:
        return
    left, right = axes.get_xlim()
    sizes = [left * (right / left) ** (step / _LINE_POINTS) for step in range(_LINE_POINTS + 1)]
    heights = [search.line.start_ms + search.line.slope_ms * size for size in sizes]
    axes.plot(
        sizes,
        heights,
        color=FAINT,
        linewidth=1.2,
        linestyle=(0, (4, 3)),
        zorder=1,
        label=words("plot.line"),
    )


def _probe(axes: Axes, probe: Probe, *, label: str | None, limit_ms: float) -> None:
    colour = _COLOURS[probe.decision]
    size = probe.batch_size
    if probe.latency_ms is None:
        # Only screens, or nothing that could be timed: out of memory stands on the limit.
        height = median(probe.screens_ms) if probe.screens_ms else limit_ms
        shape = "x" if not probe.screens_ms else "o"
        axes.plot([size], [height], shape, color=colour, markerfacecolor=PAPER, label=label)
        return
    axes.plot([size] * len(probe.trials_ms), probe.trials_ms, "_", color=colour, alpha=0.7, markersize=9)
    if probe.low_ms is not None and probe.high_ms is not None:
        axes.plot([size, size], [probe.low_ms, probe.high_ms], color=colour, linewidth=4, alpha=0.3)
    face = colour if probe.is_certified else PAPER
    axes.plot([size], [probe.latency_ms], "o", color=colour, markerfacecolor=face, label=label, zorder=3)


def _top(probe: Probe) -> float:
    return max((*probe.trials_ms, *probe.screens_ms, probe.high_ms or 0.0), default=0.0)


def _ticks(sizes: Sequence[int], *, answer: int | None) -> list[int]:
    """Return the batch sizes whose labels do not run into each other, the answer before others."""
    kept: list[int] = [] if answer is None else [answer]
    for size in sizes:
        if all(size / other > 1.18 or other / size > 1.18 for other in kept):
            kept.append(size)
    return sorted(kept)
