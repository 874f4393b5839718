"""`summary.md` of a suite: one table of all its runs, for the job summaries of CI systems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from modeltest.api import RunResult, SuiteResult, SuiteRun, SuiteStatus, Verdict
from modeltest.findings import sentences
from modeltest.machine.files import write_text
from reports.ci.summary_md import MARKS, limited, sections
from reports.markdown import bullets, details, escape, quoted, table
from reports.suite.problems import problems

MOST_ROWS = 500


class SuiteSummaryMd:
    """Writes `summary.md` of a suite."""

    name = "summary_md"

    def write(self, suite: SuiteResult, results: Mapping[str, RunResult], directory: Path) -> Sequence[Path]:
        """Write the file and return its path.

        Raises: PrerequisiteError when it cannot be written.
        """
        path = directory / "summary.md"
        write_text(path, limited(list(_parts(suite, results))))
        return (path,)


def _parts(suite: SuiteResult, results: Mapping[str, RunResult]) -> Iterator[str]:
    mark = MARKS[Verdict.INVALID if suite.exit_status else Verdict.VALID]
    yield f"## {mark} suite {escape(suite.name)}: {suite.status.value}, exit status {suite.exit_status}\n"
    runs, loads = _count(len(suite.runs), "run"), _count(suite.loads, "model load")
    yield f"{runs}: {_counts(suite)}; {loads}\n"
    header = ("run", "engine", "verdict", "exit status", "loads", "result")
    yield table(header, [_row(run) for run in suite.runs[:MOST_ROWS]], has_numbers=False)
    if wrong := problems(suite, results):
        yield f"**What went wrong**\n\n{bullets(sentences(wrong))}"
    for run in suite.runs:
        result = results.get(run.name)
        if result is not None and result.summary is not None:
            title, *rest = sections(result)
            yield details(run.name, "\n".join((title.replace("## ", "#### "), *rest)))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _counts(suite: SuiteResult) -> str:
    words = [run.verdict.value if run.verdict else run.status.value for run in suite.runs]
    return ", ".join(f"{words.count(word)} {word}" for word in dict.fromkeys(words))


def _row(run: SuiteRun) -> Sequence[str]:
    verdict = f"{MARKS[run.verdict]} {run.verdict.value}" if run.verdict else run.status.value
    if run.status in (SuiteStatus.FAILED, SuiteStatus.REFUSED):
        verdict = f"{MARKS[Verdict.INVALID]} {run.status.value}"
    return (
        escape(run.name),
        escape(run.adapter or "-"),
        verdict,
        "-" if run.exit_status is None else str(run.exit_status),
        str(run.loads),
        quoted(run.headline or run.error or ""),
    )
