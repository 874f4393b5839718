"""`suite.html`: a suite on one page that opens offline, each run with a link to its own page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from modeltest.api import Finding, RunResult, SuiteResult, SuiteRun
from modeltest.machine.files import write_text
from reports.page import render, require_packages
from reports.suite.problems import problems

FILE_NAME = "suite.html"

_PAGES = ("report.html", "partial/report.html")


class SuitePage:
    """Writes `suite.html`."""

    name = "page"

    def write(self, suite: SuiteResult, results: Mapping[str, RunResult], directory: Path) -> Sequence[Path]:
        """Write the page and return its path.

        Raises: MissingExtra without jinja2; PrerequisiteError when it cannot be written.
        """
        require_packages(FILE_NAME, "jinja2")
        path = directory / FILE_NAME
        pages = {run.name: _page_of(run, directory) for run in suite.runs}
        write_text(path, suite_page(suite, pages, problems(suite, results)))
        return (path,)


def suite_page(
    suite: SuiteResult, pages: Mapping[str, str | None], wrong: Sequence[Finding], language: str | None = None
) -> str:
    """Return the page as HTML.

    `pages` has the address of each run's own page, where there is one; `wrong` says what went wrong.
    """
    alike: dict[str, list[SuiteRun]] = {}
    for run in suite.runs:
        alike.setdefault(run.verdict.value if run.verdict else run.status.value, []).append(run)
    context = {
        "suite": suite,
        "rows": [{"run": run, "page": pages.get(run.name)} for run in suite.runs],
        "counts": [(runs[0], len(runs)) for runs in alike.values()],
        "problems": wrong,
    }
    return render("suite", context, language)


def _page_of(run: SuiteRun, directory: Path) -> str | None:
    for name in _PAGES:
        if (directory / run.name / name).exists():
            return quote(f"{run.name}/{name}")
    return None
