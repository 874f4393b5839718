"""The plots of a performance run: over tokens, trials, batch sizes and lengths, and the trade-off."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from modeltest.api import Case, CaseSummary, Distribution
from reports.page.texts import Texts
from reports.plots.drawing import Plot, Words, legend_above, legend_above_all, make_plot, new_figure
from reports.plots.palette import FAINT, INK, MUTED, PAPER, series_colour
from reports.plots.timed_trials import MEASURE, TrialNumbers, of_phase

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Trials = Mapping[tuple[int, int], Sequence[TrialNumbers]]
"""The trials of a run by (case index, batch size)."""

_ROW_IN = 0.27
_WATCHED = ("ttft_ms", "tpot_ms", "e2e_s")
_Place = Callable[[CaseSummary], int]
_Key = Callable[[CaseSummary], tuple[int, ...]]


def performance_plots(
    cases: Sequence[CaseSummary], trials: Trials, *, shapes: Sequence[Case], texts: Texts
) -> list[Plot]:
    """Return the plots that have something to show; `shapes` are the cases as they were asked for."""
    measured = [case for case in cases if _median(case, "ttft_ms") is not None]
    plots = list(_token_plots(trials, shapes, texts))
    if any(len(of_phase(MEASURE, found)) > 1 for found in trials.values()):
        plots.append(
            make_plot(
                "trials",
                partial(_over_trials, trials, shapes),
                texts=texts,
                caption="plot.trials_caption",
            )
        )
    plots += _trend_plots(measured, texts)
    return plots


def _token_plots(trials: Trials, shapes: Sequence[Case], texts: Texts) -> Iterator[Plot]:
    for index, shape in enumerate(shapes):
        found = {
            batch_size: of_phase(MEASURE, trials[case, batch_size])
            for case, batch_size in trials
            if case == index and any(trial.gaps_ms for trial in of_phase(MEASURE, trials[case, batch_size]))
        }
        if found and shape.output_tokens > 2:
            yield make_plot(
                f"latency_by_token_{shape.shape}",
                partial(_by_token, found),
                texts=texts,
                caption="plot.latency_by_token_caption",
                arguments={"case": shape.shape},
            )


def _by_token(trials: Mapping[int, Sequence[TrialNumbers]], words: Words) -> Figure:
    figure, (axes,) = new_figure(2.7)
    for number, (batch_size, found) in enumerate(sorted(trials.items())):
        length = min(len(trial.gaps_ms) for trial in found)
        columns = [[trial.gaps_ms[index] for trial in found] for index in range(length)]
        indices = range(1, length + 1)
        colour = series_colour(number)
        axes.fill_between(
            indices,
            [min(column) for column in columns],
            [max(column) for column in columns],
            color=colour,
            alpha=0.16,
            linewidth=0,
        )
        label = words("plot.batch", n=batch_size)
        axes.plot(indices, [median(column) for column in columns], color=colour, linewidth=1.2, label=label)
    # A single pause of the machine must not flatten everything else.
    tops = sorted(gap for found in trials.values() for trial in found for gap in trial.gaps_ms)
    axes.set_ylim(0, 1.25 * tops[int(0.995 * (len(tops) - 1))])
    axes.set_xlim(1, None)
    axes.set_xlabel(words("plot.token_index"))
    axes.set_ylabel(words("plot.gap_ms"))
    if len(trials) > 1:
        legend_above(axes)
    return figure


def _over_trials(trials: Trials, shapes: Sequence[Case], words: Words) -> Figure:
    rows = [key for key, found in trials.items() if of_phase(MEASURE, found)]
    figure, panels = new_figure(0.85 + _ROW_IN * max(2, len(rows)), panels=len(_WATCHED), share_y=True)
    for axes, metric in zip(panels, _WATCHED, strict=True):
        for place, key in enumerate(rows):
            values = [
                value
                for trial in of_phase(MEASURE, trials[key])
                if (value := trial.metrics[metric]) is not None
            ]
            if values:
                _deviations(axes, place, values)
        axes.axvline(0, color=FAINT, linewidth=0.8, zorder=1)
        reach = max(2.0, *(abs(limit) for limit in axes.get_xlim()))
        axes.set_xlim(-reach, reach)
        axes.set_title(words(f"metric.{metric}"))
        axes.set_xlabel(words("plot.deviation"))
        axes.grid(False, axis="y")
        axes.spines["left"].set_visible(False)
    labels = [words("plot.case_batch", case=shapes[case].shape, n=batch_size) for case, batch_size in rows]
    panels[0].set_yticks(range(len(rows)), labels)
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    return figure


def _deviations(axes: Axes, place: int, values: Sequence[float]) -> None:
    """Draw the trials of one row in percent of their median, the first above and the last below."""
    middle = median(values)
    offsets = [0.6 * (index / max(1, len(values) - 1) - 0.5) for index in range(len(values))]
    shares = [100 * (value / middle - 1) if middle else 0.0 for value in values]
    axes.plot(shares, [place + offset for offset in offsets], color=FAINT, linewidth=0.6, zorder=2)
    axes.plot(
        shares,
        [place + offset for offset in offsets],
        "o",
        color=series_colour(0),
        markersize=3.4,
        markeredgecolor=PAPER,
        markeredgewidth=0.5,
        zorder=3,
    )


def _trend_plots(cases: Sequence[CaseSummary], texts: Texts) -> Iterator[Plot]:
    by_case = _lines(cases, lambda case: (case.case.input_tokens, case.case.output_tokens))
    if any(len(line) > 1 for line in by_case.values()):
        named = {line[0].case.shape: line for line in by_case.values()}
        yield make_plot(
            "latency_by_batch",
            lambda words: _trend(named, "plot.batch_size", lambda case: case.batch_size, words),
            texts=texts,
            caption="plot.latency_by_batch_caption",
        )
        yield make_plot(
            "throughput_latency",
            partial(_trade_off, named),
            texts=texts,
            caption="plot.throughput_latency_caption",
        )
    # Where prompts of one length have outputs of several, each of these is a line of its own.
    are_many = len({(case.batch_size, case.case.input_tokens) for case in cases}) < len(cases)
    by_batch = _lines(
        cases, lambda case: (case.batch_size, *((case.case.output_tokens,) if are_many else ()))
    )
    if any(len({case.case.input_tokens for case in line}) > 1 for line in by_batch.values()):
        key = "plot.batch_output" if are_many else "plot.batch"
        yield make_plot(
            "latency_by_length",
            lambda words: _trend(
                {
                    words(key, n=line[0].batch_size, m=line[0].case.output_tokens): line
                    for line in by_batch.values()
                },
                "plot.input_tokens",
                lambda case: case.case.input_tokens,
                words,
            ),
            texts=texts,
            caption="plot.latency_by_length_caption",
        )


def _trend(lines: Mapping[str, Sequence[CaseSummary]], x_key: str, x_of: _Place, words: Words) -> Figure:
    figure, panels = new_figure(2.9, panels=2)
    for axes, metric in zip(panels, ("ttft_ms", "tpot_ms"), strict=True):
        places: set[int] = set()
        for number, (name, line) in enumerate(lines.items()):
            known = sorted((case for case in line if _median(case, metric) is not None), key=x_of)
            places.update(x_of(case) for case in known)
            _line_with_intervals(axes, known, metric, x_of, colour=series_colour(number), label=name)
        axes.set_xscale("log", base=2)
        axes.set_xticks(sorted(places), [str(place) for place in sorted(places)])
        axes.minorticks_off()
        axes.set_ylim(0, None)
        axes.set_xlabel(words(x_key))
        axes.set_ylabel(words(f"plot.{metric}"))
    if len(lines) > 1:
        legend_above_all(figure, panels[0])
    return figure


def _line_with_intervals(
    axes: Axes, line: Sequence[CaseSummary], metric: str, x_of: _Place, *, colour: str, label: str
) -> None:
    xs = [x_of(case) for case in line]
    axes.plot(xs, [_median(case, metric) or 0.0 for case in line], "o-", color=colour, label=label)
    for case in line:
        distribution = case.metrics[metric]
        if distribution.low is not None and distribution.high is not None:
            x = x_of(case)
            axes.plot([x, x], [distribution.low, distribution.high], color=colour, linewidth=4, alpha=0.35)


def _trade_off(lines: Mapping[str, Sequence[CaseSummary]], words: Words) -> Figure:
    figure, (axes,) = new_figure(3.1)
    for number, (name, line) in enumerate(lines.items()):
        known = sorted(
            (case for case in line if _median(case, "tpot_ms") and _median(case, "output_tokens_per_s")),
            key=lambda case: case.batch_size,
        )
        if not known:
            continue
        xs = [_median(case, "output_tokens_per_s") or 0.0 for case in known]
        ys = [_median(case, "tpot_ms") or 0.0 for case in known]
        axes.plot(xs, ys, "o-", color=series_colour(number), label=name)
        for case, x, y in zip(known, xs, ys, strict=True):
            axes.annotate(
                str(case.batch_size), (x, y), (5, 4), textcoords="offset points", color=INK, fontsize=8
            )
    axes.set_xlim(0, None)
    axes.set_ylim(0, None)
    axes.margins(0.1)
    axes.set_xlabel(words("plot.output_tokens_per_s"))
    axes.set_ylabel(words("plot.tpot_ms"))
    axes.yaxis.label.set_color(MUTED)
    if len(lines) > 1:
        legend_above(axes)
    return figure


def _lines(cases: Sequence[CaseSummary], key_of: _Key) -> dict[tuple[int, ...], list[CaseSummary]]:
    lines: dict[tuple[int, ...], list[CaseSummary]] = {}
    for case in cases:
        lines.setdefault(key_of(case), []).append(case)
    return lines


def _median(case: CaseSummary, metric: str) -> float | None:
    distribution: Distribution | None = case.metrics.get(metric)
    return None if distribution is None else distribution.median
