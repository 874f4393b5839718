"""`summary.md`: a run on one screen, for the job summaries of CI systems.

GitHub takes at most 1 MiB a step; the file stays far below it, and says what it leaves out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from modeltest.api import CERTIFICATE_FILE, AcceptanceSummary, Distribution, RunResult, Verdict
from modeltest.machine.files import write_text
from modeltest.present import Estimate, Level, Phrase, Row, Said, outcome_of, presentation_of
from modeltest.present.cells import number, plain
from reports.markdown import bullets, details, escape, quoted, table

MOST_BYTES = 512 * 1024
"""Of the whole file: what comes last is left out."""

MOST_ROWS = 200
MOST_FAILED = 20

MARKS = {
    Verdict.VALID: "\N{WHITE HEAVY CHECK MARK}",
    Verdict.NOISY: "\N{WARNING SIGN}",
    Verdict.SUSPECT: "\N{WARNING SIGN}",
    Verdict.INVALID: "\N{CROSS MARK}",
}

_ORDER = (Level.WHOLE, Level.GROUP, Level.PART, Level.COUNT)
_EMPHASIS = {Level.WHOLE: "**", Level.GROUP: "*"}


class SummaryMd:
    """Writes `summary.md`."""

    name = "summary_md"

    def accepts(self, result: RunResult) -> bool:
        """Say that every run can be told in short."""
        return True

    def write(self, result: RunResult, directory: Path) -> Sequence[Path]:
        """Write the file and return its path.

        Raises: PrerequisiteError when it cannot be written.
        """
        path = directory / "summary.md"
        write_text(path, limited(sections(result)))
        return (path,)


def limited(parts: Sequence[str]) -> str:
    """Return as many of `parts` as fit, the first first, with a word on those that do not."""
    note = "\nThe rest is too long for a summary.\n"
    taken: list[str] = []
    room = MOST_BYTES - len(note.encode())
    for part in parts:
        room -= len(part.encode()) + 1
        if room < 0:
            return "\n".join(taken) + note
        taken.append(part)
    return "\n".join(taken)


def sections(result: RunResult) -> list[str]:
    """Return the summary in pieces that stand for themselves, the most telling first."""
    parts = [f"## {_title(result)}\n", f"{headline(result)}\n", _table(result)]
    if (outcome := outcome_of(result)) is not None and outcome.reasons:
        parts.append(bullets(outcome.reasons))
    if result.reasons or result.warnings:
        told = details if result.verdict is Verdict.VALID else _opened
        parts.append(told("Reasons and warnings", bullets((*result.reasons, *result.warnings))))
    if failed := _failed(result):
        parts.append(details("Questions that failed", failed))
    parts.append(details("What was run on what", _facts(result)))
    return [part for part in parts if part.strip()]


def headline(result: RunResult) -> str:
    """Return the most telling numbers in one line of Markdown."""
    summary = result.summary
    if summary is None:
        return escape(result.error or result.status)
    gist = presentation_of(summary).gist(summary)
    return "".join(_phrase(each) for each in gist)


def _phrase(phrase: Phrase) -> str:
    text = escape(phrase.text) if phrase.is_foreign else phrase.text
    return f"**{text}**" if phrase.is_key else text


def _title(result: RunResult) -> str:
    verdict = result.verdict
    word = f"{MARKS[verdict]} {verdict.value}" if verdict else f"{MARKS[Verdict.INVALID]} {_end(result)}"
    if (outcome := outcome_of(result)) is not None:
        word = f"{MARKS[outcome.tone]} {outcome.word}"
    engine = result.engine
    where = f" on {escape(engine.device)} in {escape(engine.dtype)}" if engine else ""
    shots = result.spec.options.shots
    what = result.spec.mode + (f", {shots} shots" if shots is not None else "")
    return f"{word}: {escape(what)}: {escape(result.model.label)} with {escape(result.spec.engine)}{where}"


def _end(result: RunResult) -> str:
    return escape(result.status.upper())


def _table(result: RunResult) -> str:
    header, rows = _rows(result)
    shown = list(islice(rows, MOST_ROWS + 1))
    text = table(header, shown[:MOST_ROWS]) if shown else ""
    if len(shown) > MOST_ROWS:
        text += f"\nThe first {MOST_ROWS} rows; the others are in `metrics.json`.\n"
    return text


def _rows(result: RunResult) -> tuple[Sequence[str], Iterator[Sequence[str]]]:
    """Return the names of the brief columns, and the rows, that of the whole first."""
    summary = result.summary
    if summary is None:
        return (), iter(())
    shown = presentation_of(summary)
    brief = [place for place, column in enumerate(shown.columns) if column.is_brief]
    rows = sorted(shown.rows(summary), key=lambda row: _ORDER.index(row.level))
    header = [shown.columns[place].name for place in brief]
    return header, ([_cell(row, place) for place in brief] for row in rows)


def _cell(row: Row, place: int) -> str:
    cell = row.cells[place]
    if isinstance(cell, Said):
        return quoted(cell.text)
    if isinstance(cell, Estimate):
        return _with_interval(cell.found)
    text = escape(plain(cell))
    return f"{_EMPHASIS.get(row.level, '')}{text}{_EMPHASIS.get(row.level, '')}" if place == 0 else text


def _failed(result: RunResult) -> str:
    """Return what the first failed questions say."""
    summary = result.summary
    count = 0 if summary is None else presentation_of(summary).failed_questions(summary)
    if not count:
        return ""
    failed = (
        (sample.score.request_id, sample.score.error) for sample in result.samples if sample.score.error
    )
    rows = [(quoted(name), quoted(error or "")) for name, error in islice(failed, MOST_FAILED)]
    more = count - len(rows)
    return table(("question", "error"), rows, has_numbers=False) + (
        f"\nand {more} more in `samples.jsonl`\n" if more else ""
    )


def _facts(result: RunResult) -> str:
    spec, model, engine, dataset = result.spec, result.model, result.engine, result.dataset
    facts = {
        "model": f"{model.label} ({model.model_type or 'no checkpoint'})",
        "weights": model.fingerprint,
        "engine": f"{spec.engine}, served by {result.adapter}",
        "device": f"{engine.device}, {engine.dtype}" if engine else None,
        "versions": ", ".join(f"{name} {version}" for name, version in engine.versions.items())
        if engine
        else None,
        "dataset": f"{dataset.name} {dataset.split}, sha256 {dataset.sha256}" if dataset else None,
        "certificate": CERTIFICATE_FILE if isinstance(result.summary, AcceptanceSummary) else None,
        "started": result.started,
        "time": ", ".join(f"{name} {seconds:.3g} s" for name, seconds in result.timing_s.items()),
        "ModelTest": result.modeltest_version,
        "command": result.command,
    }
    rows = [(name, quoted(value, most=1000)) for name, value in facts.items() if value]
    return table(("what", "value"), rows, has_numbers=False)


def _opened(title: str, body: str) -> str:
    return f"**{escape(title)}**\n\n{body}"


def _with_interval(found: Distribution | None) -> str:
    if found is None or found.median is None:
        return "-"
    if found.low is None or found.high is None:
        return number(found.median)
    return f"{number(found.median)} ({number(found.low)} .. {number(found.high)})"
