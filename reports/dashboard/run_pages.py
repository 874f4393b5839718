"""The page of each run: its own report, brought into the site, or a small one where it has none."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from modeltest.api import Dashboard, DashboardRun, PrerequisiteError, RunState
from modeltest.machine.files import SCRATCH_SUFFIX


class RunPages:
    """Where in the site the page of each run is."""

    REPORTS = "reports"
    """Folder of the runs' own reports."""

    SMALL = "runs"
    """Folder of the pages of runs without one."""

    def __init__(self, site: Path, dashboard: Dashboard) -> None:
        self._site = site
        self._pages: dict[int, str] = {}
        self._sources: dict[int, Path] = {}
        for run in dashboard.runs.values():
            if run.state in (RunState.COPY, RunState.UNREADABLE):
                continue
            if run.report is not None and Path(run.report).is_file():
                self._sources[run.key] = Path(run.report)
                self._pages[run.key] = f"{self.REPORTS}/{_name(run)}"
            else:
                self._pages[run.key] = f"{self.SMALL}/{_name(run)}"

    @property
    def without_report(self) -> tuple[int, ...]:
        """Keys of the runs that need a small page."""
        return tuple(key for key in self._pages if key not in self._sources)

    def page_of(self, run: int) -> str | None:
        """Return the page's path within the site; `None` for a run that cannot be read."""
        return self._pages.get(run)

    def bring_reports(self) -> None:
        """Link the reports into the site, or copy them where a link is not possible.

        Raises: PrerequisiteError when one cannot be written; one that went meanwhile is passed over.
        """
        folder = self._site / self.REPORTS
        for key, source in self._sources.items():
            target = self._site / self._pages[key]
            if not _is_same(source, target):
                folder.mkdir(exist_ok=True)
                with suppress(FileNotFoundError):
                    _bring(source, target)

    def remove_others(self) -> None:
        """Remove reports of runs that are no more."""
        named = {self._site / page for page in self._pages.values()}
        for path in (self._site / self.REPORTS).glob("*.html"):
            if path not in named:
                with suppress(OSError):
                    path.unlink()


def _name(run: DashboardRun) -> str:
    return f"{run.key}.html"


def _is_same(source: Path, target: Path) -> bool:
    """Tell whether `target` is a link to `source`, or a copy made of it as it is now."""
    try:
        one, other = source.stat(), target.stat()
    except OSError:
        return False
    if (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino):
        return True
    return (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def _bring(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}{SCRATCH_SUFFIX}")
    try:
        try:
            os.link(source, temporary)
        except OSError:  # another file system, or one without links
            shutil.copy2(source, temporary)
        temporary.replace(target)
    except FileNotFoundError:
        raise
    except OSError as problem:
        raise PrerequisiteError(f"cannot write {target}: {problem.strerror}") from problem
    finally:
        temporary.unlink(missing_ok=True)
