"""From the index to what a site shows: runs, histories, and what each number is beside an earlier one."""

from __future__ import annotations

import json
import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from modeltest.api import (
    UNCOMPARED,
    Compared,
    Dashboard,
    DashboardRun,
    Finding,
    FindingCode,
    FlatMetric,
    History,
    Mark,
    ModelTestError,
    Point,
    RunState,
    Series,
    Verdict,
)
from modeltest.compare.tolerances import Tolerances
from modeltest.dashboard.chain import Link, compare_chain
from modeltest.dashboard.earlier import heirs, joined
from modeltest.dashboard.identity import history_key
from modeltest.dashboard.index import Index
from modeltest.dashboard.judge import JUDGED, Found, Side, compare_runs, found_for
from modeltest.findings import sentence
from modeltest.plain.contracts import from_plain, to_plain
from modeltest.run.record.directory import read_result
from modeltest.version import __version__

_RULES = "rules"
_HEIRS = "histories joined"
_HELD_SIDES = 16

Key = tuple[str, str]
"""Family and part of the run."""


def load_dashboard(index: Index, tolerances: Tolerances) -> Dashboard:
    """Return everything the index knows; comparisons that were never made are made, and kept in it.

    Raises: PrerequisiteError when the index cannot be written.
    """
    _forget_other_rules(index, tolerances)
    runs = _runs(index)
    judge = _Judge(index, runs, tolerances)
    histories = tuple(_histories(runs, _accepted(index), judge))
    judge.keep()
    return Dashboard(runs=runs, histories=histories, modeltest_version=__version__)


def _forget_other_rules(index: Index, tolerances: Tolerances) -> None:
    rules = f"{__version__} {tolerances!r}"
    if index.setting(_RULES) != rules:
        with index.changing():
            index.forget_comparisons()
            index.set(_RULES, rules)


def _runs(index: Index) -> dict[int, DashboardRun]:
    metrics = _metrics(index)
    originals: dict[str, str] = {}
    found = {}
    for row in index.rows("SELECT * FROM runs ORDER BY started IS NULL, started, run"):
        run = _run(row, tuple(metrics.get(row["run"], ())))
        if row["run_sha256"] is not None and run.state is not RunState.UNREADABLE:
            original = originals.setdefault(row["run_sha256"], run.directory)
            if original != run.directory:
                run = _copied(run, original)
        found[run.key] = run
    heir_of = _heirs(index, found.values())
    return {key: joined(run, heir_of) for key, run in found.items()}


def _heirs(index: Index, runs: Iterable[DashboardRun]) -> Mapping[str, str]:
    """Return which model goes on with each history of an earlier version; what was decided once stays so."""
    settled = json.loads(index.setting(_HEIRS) or "{}")
    found = heirs(runs, settled)
    if found != settled:
        with index.changing():
            index.set(_HEIRS, json.dumps(found, ensure_ascii=False))
    return found


def _metrics(index: Index) -> Mapping[int, Sequence[FlatMetric]]:
    found: dict[int, list[FlatMetric]] = {}
    query = "SELECT * FROM metrics WHERE followed AND value IS NOT NULL ORDER BY run, family, part"
    for row in index.rows(query):
        found.setdefault(row["run"], []).append(
            FlatMetric(
                family=row["family"],
                value=row["value"],
                case=row["part"],
                low=row["low"],
                high=row["high"],
                better_here=row["better"],
            )
        )
    return found


def _run(row: sqlite3.Row, metrics: tuple[FlatMetric, ...]) -> DashboardRun:
    names = (row["model"], row["task"], row["engine"], row["device"])
    state = RunState(row["state"])
    has_history = row["task"] and state is not RunState.FOLLOWED
    return DashboardRun(
        key=row["run"],
        directory=row["directory"],
        state=state,
        problem=row["problem"],
        problem_code=_finding(row["problem_code"]),
        started=row["started"],
        model=row["model"],
        task=row["task"],
        engine=row["engine"],
        device=row["device"],
        history=history_key(*names) if has_history else None,
        verdict=Verdict(row["verdict"]) if row["verdict"] else None,
        decision=row["decision"],
        decision_tone=Verdict(row["decision_tone"]) if row["decision_tone"] else None,
        reasons=tuple(json.loads(row["reasons"])),
        reason_codes=_findings(row["reason_codes"]),
        warnings=tuple(json.loads(row["warnings"])),
        warning_codes=_findings(row["warning_codes"]),
        command=row["command"],
        facts=json.loads(row["facts"]),
        metrics=metrics,
        report=row["report"],
    )


def _copied(run: DashboardRun, original: str) -> DashboardRun:
    problem = Finding(FindingCode.COPY_OF_RUN, {"original": original})
    return replace(
        run,
        state=RunState.COPY,
        problem=sentence(problem),
        problem_code=problem,
        history=None,
        metrics=(),
    )


def _finding(text: str | None) -> Finding | None:
    plain = json.loads(text or "null")
    return None if plain is None else from_plain(Finding, plain)


def _findings(text: str) -> tuple[Finding, ...]:
    return tuple(from_plain(Finding, each) for each in json.loads(text))


def _accepted(index: Index) -> frozenset[int]:
    return frozenset(row["run"] for row in index.rows("SELECT run FROM runs WHERE accepted"))


class _Judge:
    """Compares runs of the index by their keys; what was compared before is remembered."""

    def __init__(self, index: Index, runs: Mapping[int, DashboardRun], tolerances: Tolerances) -> None:
        self._index = index
        self._runs = runs
        self._tolerances = tolerances
        self._known: dict[tuple[int, int], dict[Key, Compared]] = {}
        self._new: list[tuple[int, int]] = []
        self._sides: OrderedDict[int, Side | None] = OrderedDict()
        for row in index.rows("SELECT * FROM comparisons"):
            self._known.setdefault((row["reference"], row["run"]), {})[row["family"], row["part"]] = Compared(
                Mark(row["mark"]),
                change=row["change"],
                low=row["low"],
                high=row["high"],
                note=row["note"],
                note_code=_finding(row["note_code"]),
            )

    def compare(self, reference: int, candidate: int, key: Key) -> Compared:
        pair = (reference, candidate)
        if pair not in self._known:
            self._known[pair] = dict(self._compare(reference, candidate))
            self._new.append(pair)
        return found_for(self._known[pair], *key)

    def keep(self) -> None:
        """Write what was compared for the first time."""
        if not self._new:
            return
        with self._index.changing():
            self._index.insert("comparisons", self._rows())
        self._new.clear()

    def _rows(self) -> Iterator[tuple[object, ...]]:
        for reference, candidate in self._new:
            for (family, part), found in self._known[reference, candidate].items():
                figures = (found.change, found.low, found.high)
                code = json.dumps(to_plain(found.note_code)) if found.note_code else None
                yield (candidate, reference, family, part, found.mark.value, *figures, found.note, code)

    def _compare(self, reference: int, candidate: int) -> Found:
        before, after = self._side(reference), self._side(candidate)
        if before is None or after is None:
            return {}
        found = compare_runs(before, after, self._tolerances)
        # Nothing found is something known: it is not looked for again.
        return found or {("", ""): UNCOMPARED}

    def _side(self, run: int) -> Side | None:
        if run not in self._sides:
            self._sides[run] = self._read_side(run)
            if len(self._sides) > _HELD_SIDES:
                self._sides.popitem(last=False)
        return self._sides[run]

    def _read_side(self, run: int) -> Side | None:
        try:
            return Side(read_result(Path(self._runs[run].directory)), self._index.evidence(run))
        except ModelTestError:  # it went while this was running; the next update forgets it
            return None


def _histories(
    runs: Mapping[int, DashboardRun], accepted: frozenset[int], judge: _Judge
) -> Iterator[History]:
    grouped: dict[str, list[DashboardRun]] = {}
    for run in runs.values():
        if run.history is not None:
            grouped.setdefault(run.history, []).append(run)
    for key in sorted(grouped, key=lambda key: _names(grouped[key][0])):
        members = grouped[key]
        model, task, engine, device = _names(members[0])
        yield History(
            key=key,
            model=model,
            task=task,
            engine=engine,
            device=device,
            runs=tuple(run.key for run in members),
            series=tuple(_all_series(members, accepted, judge)),
        )


def _names(run: DashboardRun) -> tuple[str, str, str, str]:
    return (run.model, run.task, run.engine, run.device)


def _all_series(members: Sequence[DashboardRun], accepted: frozenset[int], judge: _Judge) -> Iterator[Series]:
    found: dict[Key, list[tuple[DashboardRun, FlatMetric]]] = {}
    for run in members:
        for metric in run.metrics:
            found.setdefault((metric.family, metric.case), []).append((run, metric))
    for key, values in found.items():
        latest = values[-1][1]
        yield Series(
            family=latest.family,
            case=latest.case,
            unit=latest.unit,
            better=latest.better,
            points=tuple(_points(key, values, accepted, judge)),
        )


def _points(
    key: Key, values: Sequence[tuple[DashboardRun, FlatMetric]], accepted: frozenset[int], judge: _Judge
) -> Iterator[Point]:
    for (run, metric), compared in zip(values, _compared(key, values, accepted, judge), strict=True):
        if metric.value is not None:
            yield Point(run.key, metric.value, metric.low, metric.high, compared)


def _compared(
    key: Key, values: Sequence[tuple[DashboardRun, FlatMetric]], accepted: frozenset[int], judge: _Judge
) -> Iterable[Compared]:
    if key[0] not in JUDGED or (key[0] == "accuracy" and key[1]):
        return [UNCOMPARED] * len(values)
    links = [
        Link(
            run.key,
            is_usable=run.verdict is not Verdict.INVALID,
            is_valid=run.verdict is Verdict.VALID,
            is_accepted=run.key in accepted,
        )
        for run, _ in values
    ]
    return compare_chain(links, lambda reference, candidate: judge.compare(reference, candidate, key))
