"""The site of a dashboard as HTML pages; found as `html` in the entry points `modeltest.site_builders`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from modeltest.api import Dashboard, PrerequisiteError
from modeltest.machine.files import write_text
from reports.dashboard.run_pages import RunPages
from reports.dashboard.views import history_view, overview_view, run_view, runs_view
from reports.page import render, require_packages

HISTORIES = "history"
"""The folder of the pages of histories; those of runs are in `RunPages`."""

_PAGES_SOURCE = Path(__file__).resolve().parents[1] / "page"
_TAIL_BYTES = 256


class HtmlSite:
    """Writes self-contained pages that open from a file or a server."""

    name = "html"

    def __init__(self) -> None:
        """Make sure that pages can be made.

        Raises: MissingExtra.
        """
        require_packages("the dashboard's pages", "jinja2")

    def build(self, dashboard: Dashboard, directory: Path, *, language: str | None) -> Sequence[Path]:
        """Write the pages that are not yet as they are to be, remove those of what is no more.

        Raises: PrerequisiteError when a page cannot be written.
        """
        pages = _Pages(directory, language)
        runs = RunPages(directory, dashboard)
        runs.bring_reports()
        for key in runs.without_report:
            run = dashboard.runs[key]
            pages.write(runs.page_of(key) or "", "dashboard_run", run_view(dashboard, run))
        for history in dashboard.histories:
            view = history_view(dashboard, history, runs)
            pages.write(f"{HISTORIES}/{history.key}.html", "dashboard_history", view)
        pages.write("runs.html", "dashboard_runs", runs_view(dashboard, runs))
        pages.write("index.html", "dashboard", overview_view(dashboard))
        pages.remove_others(HISTORIES)
        pages.remove_others(RunPages.SMALL)
        runs.remove_others()
        return pages.written


class _Pages:
    """Writes pages of one site; one that was made of the same is left alone."""

    def __init__(self, site: Path, language: str | None) -> None:
        self._site = site
        self._language = language
        self._source = _source_digest()
        self._named: set[Path] = set()
        self.written: list[Path] = []

    def write(self, name: str, kind: str, context: Mapping[str, object]) -> None:
        """Write the page `name` unless it is there and was made of the same."""
        path = self._site / name
        self._named.add(path)
        made_of = json.dumps([kind, self._language, self._source, context], sort_keys=True, default=str)
        stamp = f"<!-- made of {hashlib.sha256(made_of.encode(errors='replace')).hexdigest()} -->\n"
        if _ends_with(path, stamp.encode()):
            return
        _make(path.parent)
        write_text(path, render(kind, context, self._language) + "\n" + stamp)
        self.written.append(path)

    def remove_others(self, folder: str) -> None:
        """Remove the pages in `folder` that were not named by `write`."""
        for path in (self._site / folder).glob("*.html"):
            if path not in self._named:
                with suppress(OSError):
                    path.unlink()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as problem:
        raise PrerequisiteError(f"cannot create {folder}: {problem.strerror}") from problem


def _ends_with(path: Path, stamp: bytes) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            return file.read().endswith(stamp)
    except OSError:
        return False


def _source_digest() -> str:
    """Return a digest of everything that pages are made with: another version makes other pages."""
    digest = hashlib.sha256()
    for path in _source_files():
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _source_files() -> Iterator[Path]:
    for folder in (_PAGES_SOURCE, Path(__file__).parent):
        yield from sorted(
            path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts
        )
