"""What each page of a dashboard is made of, as plain values. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from modeltest.api import (
    KNOWN_BEFORE,
    Compared,
    Dashboard,
    DashboardRun,
    Finding,
    History,
    Mark,
    Point,
    RunState,
    Series,
)
from modeltest.findings import in_every_language
from reports.page.formats import data_size, percent, significant

SPARK_POINTS = 48
"""The latest runs that a sparkline shows."""

SHOWN_FIRST = ("accuracy", "tpot_ms", "ttft_ms", "output_tokens_per_s", "max_batch")
"""Which number stands for a history, and the order of the others."""

BETTER = {"higher": 1, "lower": -1, None: 0}


_NO_NUMBER = Series("", "", "", None, ())


class PageOf(Protocol):
    """Knows where the page of a run is."""

    def page_of(self, run: int) -> str | None:
        """Return the path within the site."""


def overview_view(dashboard: Dashboard) -> dict[str, Any]:
    """Return the overview: one row per number that is followed, with its latest values."""
    rows = [row for history in dashboard.histories for row in _overview_rows(dashboard, history)]
    return {
        "counts": _counts(dashboard),
        "rows": rows,
        "newest": max((run.started or "" for run in dashboard.runs.values()), default=""),
        "version": dashboard.modeltest_version,
        "models": len({history.model for history in dashboard.histories}),
    }


def runs_view(dashboard: Dashboard, pages: PageOf) -> dict[str, Any]:
    """Return the page of all runs, the newest first; what cannot be read is among them."""
    marks = _worst_marks(dashboard)
    return {
        "rows": [_run_row(run, pages, marks) for run in reversed([*dashboard.runs.values()])],
        "counts": _counts(dashboard),
        "version": dashboard.modeltest_version,
    }


def history_view(dashboard: Dashboard, history: History, pages: PageOf) -> dict[str, Any]:
    """Return the page of one history: every series whole, and what is known of each of its runs."""
    place = {key: index for index, key in enumerate(history.runs)}
    return {
        "history": _names(history),
        "key": history.key,
        "runs": _history_runs([dashboard.runs[key] for key in history.runs], pages),
        "series": [_whole_series(series, place) for series in _in_order(history.series)],
        "version": dashboard.modeltest_version,
    }


def run_view(dashboard: Dashboard, run: DashboardRun) -> dict[str, Any]:
    """Return the small page of a run without a report."""
    return {
        "run": {
            "title": " · ".join(filter(None, (run.model, run.task, run.engine))),
            "directory": run.directory,
            "started": run.started,
            "state": run.state.value,
            **_outcome(run),
            "problem": run.problem,
            "problem_code": run.problem_code,
            "reasons": list(run.reasons),
            "reason_codes": run.reason_codes,
            "warnings": list(run.warnings),
            "warning_codes": run.warning_codes,
            "command": run.command,
            "device": run.device,
            "facts": dict(run.facts),
            "metrics": [
                {
                    "family": metric.family,
                    "part": metric.case,
                    "value": _written(metric.value, metric.unit),
                    "low": _written(metric.low, metric.unit),
                    "high": _written(metric.high, metric.unit),
                }
                for metric in run.metrics
            ],
            "history": f"../history/{run.history}.html" if run.history else None,
        },
        "version": dashboard.modeltest_version,
    }


def _written(value: float | None, unit: str) -> str | None:
    if value is None:
        return None
    if unit == "ratio":
        return percent(value)
    if unit == "bytes":
        return data_size(value)
    return f"{significant(value)} {unit}".strip()


def headline_of(history: History) -> Series | None:
    """Return the number that stands for a history: one that got worse before all others."""
    shown = [series for series in _in_order(history.series) if _is_in_overview(series)]
    worse = [series for series in shown if series.points[-1].compared.mark is Mark.REGRESSION]
    return next(iter((*worse, *shown)), None)


def _names(history: History) -> dict[str, str]:
    return {
        "model": history.model,
        "task": history.task,
        "engine": history.engine,
        "device": history.device,
    }


def _in_order(series: Sequence[Series]) -> list[Series]:
    """Return the series in the order they are shown in: by number, then by part as they came."""
    ranks = {family: rank for rank, family in enumerate(SHOWN_FIRST)}
    return sorted(series, key=lambda each: (ranks.get(each.family, len(ranks)), *_part_order(each.case)))


def _part_order(part: str) -> tuple[Any, ...]:
    """Order `256x64.batch8` by its numbers."""
    digits = "".join(letter if letter.isdigit() else " " for letter in part).split()
    return (bool(part), [int(number) for number in digits], part)


def _is_in_overview(series: Series) -> bool:
    """Tell the numbers of a whole run, or of a timed case, from those that the history's page has beside."""
    return (
        bool(series.points)
        and series.family != "peak_memory_bytes"
        and not (series.family == "accuracy" and series.case)
    )


def _overview_rows(dashboard: Dashboard, history: History) -> Iterator[dict[str, Any]]:
    """Yield a row per number of a history; one without a number has a row too."""
    shown = [series for series in _in_order(history.series) if _is_in_overview(series)]
    headline = headline_of(history)
    for series in shown or [_NO_NUMBER]:
        yield {
            **_names(history),
            "key": history.key,
            "headline": series is (headline or _NO_NUMBER),
            "newest": dashboard.runs[history.runs[-1]].started,
            **_series_names(series),
            **_latest_values(series),
            "compared": _compared(dashboard, series.points[-1].compared) if series.points else None,
            "since": _since(dashboard, series),
        }


def _latest_values(series: Series) -> dict[str, Any]:
    points = series.points[-SPARK_POINTS:]
    return {
        "n": len(series.points),
        "value": [_rounded(point.value) for point in points],
        "low": [_rounded(point.low) for point in points],
        "high": [_rounded(point.high) for point in points],
        "mark": [point.compared.mark.value[0] for point in points],
    }


def _series_names(series: Series) -> dict[str, Any]:
    return {
        "family": series.family,
        "part": series.case,
        "unit": series.unit,
        "better": BETTER[series.better],
    }


def _compared(dashboard: Dashboard, compared: Compared) -> dict[str, Any]:
    reference = dashboard.runs.get(compared.reference) if compared.reference is not None else None
    return {
        "mark": compared.mark.value,
        "change": _rounded(compared.change),
        "low": _rounded(compared.low),
        "high": _rounded(compared.high),
        "reference": reference.started if reference else None,
        "note": _note(compared),
    }


def _since(dashboard: Dashboard, series: Series) -> str | None:
    """Return when the number became what it is marked as; `None` where it is not worse now."""
    first = None
    for point in reversed(series.points):
        if point.compared.mark is not Mark.REGRESSION:
            break
        first = dashboard.runs[point.run].started
    return first


def _whole_series(series: Series, place: Mapping[int, int]) -> dict[str, Any]:
    return {**_series_names(series), "points": [_point(point, place) for point in series.points]}


def _point(point: Point, place: Mapping[int, int]) -> list[Any]:
    compared = point.compared
    reference = place.get(compared.reference) if compared.reference is not None else None
    return [
        place[point.run],
        *map(_rounded, (point.value, point.low, point.high)),
        compared.mark.value[0],
        *map(_rounded, (compared.change, compared.low, compared.high)),
        reference,
        _note(compared),
    ]


def _by_language(text: str | None, code: Finding | None) -> Mapping[str, str] | None:
    return in_every_language([text], [code] if code else [])[0] if text else None


def _note(compared: Compared) -> Mapping[str, str] | None:
    """Return what the mark rests on, by language; `None` where there is nothing to say."""
    return _by_language(compared.note, compared.note_code)


def _history_runs(runs: Sequence[DashboardRun], pages: PageOf) -> list[dict[str, Any]]:
    """Return the rows of a history, each with whether its weights are others than those of the run before."""
    rows = []
    before: dict[bool, str] = {}
    for run in runs:
        # Fingerprints of earlier versions are made otherwise: beside today's they say nothing.
        kind, now = KNOWN_BEFORE in run.facts, run.facts.get("fingerprint")
        has_changed = now is not None and before.get(kind, now) != now
        rows.append({**_history_run(run, pages), "weights_changed": has_changed})
        if now is not None:
            before[kind] = now
    return rows


def _history_run(run: DashboardRun, pages: PageOf) -> dict[str, Any]:
    page = pages.page_of(run.key)
    return {
        "started": run.started,
        "state": run.state.value,
        **_outcome(run),
        "problem": _by_language(run.problem, run.problem_code),
        "reasons": list(in_every_language(run.reasons, run.reason_codes)),
        "command": run.command,
        "directory": run.directory,
        "facts": dict(run.facts),
        "page": f"../{page}" if page else None,
        "has_report": bool(page) and run.report is not None,
    }


def _run_row(run: DashboardRun, pages: PageOf, marks: Mapping[int, str]) -> dict[str, Any]:
    return {
        "started": run.started,
        "model": run.model,
        "task": run.task,
        "engine": run.engine,
        "device": run.device,
        "state": run.state.value,
        **_outcome(run),
        "mark": marks.get(run.key),
        "problem": run.problem,
        "said_problem": _by_language(run.problem, run.problem_code),
        "directory": run.directory,
        "page": pages.page_of(run.key),
        "history": run.history,
    }


def _outcome(run: DashboardRun) -> dict[str, str | None]:
    """Return the verdict, the word that tells what came of a run, and as which verdict it is coloured."""
    verdict = run.verdict.value if run.verdict else None
    tone = run.decision_tone or run.verdict
    return {"verdict": verdict, "word": run.decision or verdict, "tone": tone.value if tone else None}


def _worst_marks(dashboard: Dashboard) -> dict[int, str]:
    """Return for each run the one mark to tell it by: worse before better before nothing."""
    found: dict[int, str] = {}
    for mark in (Mark.STEADY, Mark.DOUBTFUL, Mark.IMPROVEMENT, Mark.REGRESSION):
        for history in dashboard.histories:
            for series in history.series:
                found |= {point.run: mark.value for point in series.points if point.compared.mark is mark}
    return found


def _counts(dashboard: Dashboard) -> dict[str, int]:
    states = [run.state for run in dashboard.runs.values()]
    latest = list(_latest_marks(dashboard))
    return {
        "runs": len(states),
        "histories": len(dashboard.histories),
        "regressions": latest.count(Mark.REGRESSION),
        "improvements": latest.count(Mark.IMPROVEMENT),
        **{state.value: states.count(state) for state in RunState},
    }


def _latest_marks(dashboard: Dashboard) -> Iterator[Mark]:
    for history in dashboard.histories:
        for series in history.series:
            if series.points:
                yield series.points[-1].compared.mark


def _rounded(value: float | None) -> float | None:
    """Return a number in as many digits as anyone sees, for pages of thousands of them."""
    return None if value is None else float(f"{value:.6g}")
