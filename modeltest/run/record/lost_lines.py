"""A run that came to its end and whose journal has lost lines since: it is a partial run again.

So everybody who reads it says the same, and `modeltest run --resume` asks what was lost.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from modeltest.api import AccuracySummary, Finding, FindingCode, Interruption, RunResult, RunStatus
from modeltest.findings import sentence
from modeltest.run.record.journal import count_entries


def without_lost_lines(result: RunResult, journal: Path, *, status: RunStatus) -> RunResult:
    """Return a complete `result` as it is, or with this `status` and no numbers where lines are lost."""
    expected = _lines_at_the_end(result)
    if expected is None or not _may_be_shorter(result, journal):
        return result
    found = count_entries(journal)
    if found >= expected:
        return result
    reason = Finding(
        FindingCode.LINES_LOST,
        {"file": journal.name, "lost": expected - found, "lines": expected},
    )
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return replace(
        result,
        status=status,
        error=sentence(reason),
        error_code=reason,
        interruptions=(
            *result.interruptions,
            Interruption(now, sentence(reason), found, reason_code=reason),
        ),
        summary=None,
        verdict=None,
        reasons=(),
        reason_codes=(),
        warnings=(),
        warning_codes=(),
        journal=None,
    )


def _lines_at_the_end(result: RunResult) -> int | None:
    """Return how many lines the journal had; `None` where an older version did not say so."""
    if result.journal is not None:
        return result.journal.lines
    if isinstance(result.summary, AccuracySummary) and result.dataset is not None:
        return result.dataset.records  # each has exactly one line
    return None


def _may_be_shorter(result: RunResult, journal: Path) -> bool:
    """Ask the size of a journal that should be whole, which costs less than reading it."""
    if result.journal is None:
        return True
    return not journal.exists() or journal.stat().st_size < result.journal.bytes
