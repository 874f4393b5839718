"""Dashboards made by hand, for tests of their pages."""

from __future__ import annotations

from modeltest.api import (
    Compared,
    Dashboard,
    DashboardRun,
    FlatMetric,
    History,
    Mark,
    Point,
    RunState,
    Series,
    Verdict,
)


def run(key: int, day: int, **changes) -> DashboardRun:
    values = {
        "key": key,
        "directory": f"/runs/{day:02d}",
        "state": RunState.COMPLETE,
        "started": f"2026-01-{day:02d}T01:00:00+00:00",
        "model": "gemma-7b",
        "task": "full_BoolQ",
        "engine": "hf_fp32 (hf)",
        "device": "cpu",
        "history": "gemma",
        "verdict": Verdict.VALID,
        "command": "modeltest hf_fp32 full_BoolQ 8 gemma /w 8",
        "facts": {"torch version": "2.6"},
        "metrics": (FlatMetric("accuracy", 0.8, low=0.7, high=0.9),),
        **changes,
    }
    return DashboardRun(**values)


def series(*points: Point, family: str = "accuracy", part: str = "") -> Series:
    unit, better = ("ratio", "higher") if family == "accuracy" else ("ms", "lower")
    return Series(family, part, unit, better, points)


WORSE = Compared(Mark.REGRESSION, reference=1, change=-0.1, low=-0.15, high=-0.05, note="10 questions")


def dashboard(*runs: DashboardRun, histories: tuple[History, ...] | None = None) -> Dashboard:
    if histories is None:
        points = [Point(each.key, 0.8 - index / 10, 0.7, 0.9) for index, each in enumerate(runs)]
        points[-1:] = [Point(runs[-1].key, 0.7, 0.6, 0.8, WORSE)]
        keys = tuple(each.key for each in runs)
        histories = (
            History("gemma", "gemma-7b", "full_BoolQ", "hf_fp32 (hf)", "cpu", keys, (series(*points),)),
        )
    return Dashboard({each.key: each for each in runs}, histories, "0.1.0")
