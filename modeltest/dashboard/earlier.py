"""Histories of before models were told by their weights: each is joined, once, to one that goes on with it.

Until then a model was called after its shape, so that runs of several models may be in one such history. It
goes to the first model that had this shape; the runs keep their fingerprints, and each change is marked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from modeltest.api import KNOWN_BEFORE, DashboardRun
from modeltest.dashboard.identity import EARLIER_NAME, history_key

Names = tuple[str, str, str, str]


def names_of(run: DashboardRun) -> Names:
    """Return what the history of `run` is called: model, task, engine, device."""
    return (run.model, run.task, run.engine, run.device)


def heirs(runs: Iterable[DashboardRun], settled: Mapping[str, str]) -> dict[str, str]:
    """Return the model that goes on with each earlier history, by that history's key.

    `runs` are the oldest first. What was `settled` before stays so.
    """
    listed = [run for run in runs if run.history is not None]
    earlier = {run.history for run in listed if EARLIER_NAME not in run.facts}
    found = dict(settled)
    for run in listed:
        shape = run.facts.get(EARLIER_NAME)
        if shape is not None:
            key = history_key(shape, run.task, run.engine, run.device)
            if key in earlier:
                found.setdefault(key, run.model)
    return found


def joined(run: DashboardRun, heir_of: Mapping[str, str]) -> DashboardRun:
    """Return `run` under the name that goes on with its history, if it is one of before."""
    if run.history is None or EARLIER_NAME in run.facts or run.history not in heir_of:
        return run
    model = heir_of[run.history]
    key = history_key(model, run.task, run.engine, run.device)
    return replace(run, model=model, history=key, facts={**run.facts, KNOWN_BEFORE: run.model})
