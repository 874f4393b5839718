"""The report that writes `report.html` and `plots/`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any

from modeltest.api import PrerequisiteError, RunResult
from modeltest.machine.files import write_text
from modeltest.present import outcome_of, presentation_of
from reports.page import render, require_packages
from reports.page.rendering import page_kinds
from reports.page.texts import Texts, load_texts
from reports.plots.drawing import Plot, write_plots
from reports.run_page.accuracy import accuracy_content
from reports.run_page.content import Content, table_content
from reports.run_page.provenance import provenance
from reports.run_page.timed import maxbs_content, performance_content, precision_content

FILE_NAME = "report.html"
PLOTS_FOLDER = "plots"

_TEXTS = ("run", "plot")

_CONTENTS: Mapping[str, Callable[[RunResult, Any, Texts], Content]] = MappingProxyType(
    {
        "accuracy": accuracy_content,
        "performance": performance_content,
        "maxbs": maxbs_content,
        "precision": precision_content,
    }
)
"""By kind of result, what its page shows beside the summary."""
_PREPARED = (
    "jinja2",
    "matplotlib.figure",
    "matplotlib.backends.backend_svg",
    "matplotlib.backends.backend_agg",
)


class RunPage:
    """Writes `report.html`, and its plots as SVG and PNG into `plots/`."""

    name = "run_page"

    def accepts(self, result: RunResult) -> bool:
        """Say whether anything was found; a page can be made of every summary."""
        return result.summary is not None

    def prepare(self) -> None:
        """Import what pages and plots are made with, where it is installed."""
        for module in _PREPARED:
            with suppress(ImportError):
                import_module(module)

    def write(self, result: RunResult, directory: Path) -> Sequence[Path]:
        """Write the files and return their paths.

        Raises: MissingExtra without jinja2 or matplotlib; PrerequisiteError when a file cannot be written.
        """
        require_packages(f"{FILE_NAME} and {PLOTS_FOLDER}/", "jinja2", "matplotlib")
        content = content_of(result, load_texts(_TEXTS))
        path = directory / FILE_NAME
        write_text(path, run_page(result, content))
        return (path, *_write_plots(content.plots, directory / PLOTS_FOLDER))


def run_page(result: RunResult, content: Content, language: str | None = None) -> str:
    """Return the page of `result` as HTML."""
    context = {
        "result": result,
        "summary": result.summary,
        "outcome": outcome_of(result),
        "plots": {plot.name: plot for plot in content.plots},
        "provenance": provenance(result),
        **content.values,
    }
    return render(f"run_{content.kind}", context, language)


def content_of(result: RunResult, texts: Texts) -> Content:
    """Return what the page shows of the summary of `result`: a page of its kind, or else its table.

    Raises: ValueError without one.
    """
    summary = result.summary
    if summary is None:
        raise ValueError("a run without a summary has no page")
    shown = presentation_of(summary)
    if f"run_{shown.kind}" not in page_kinds():
        return table_content(shown, summary)
    make = _CONTENTS.get(shown.kind)
    return Content(kind=shown.kind) if make is None else make(result, summary, texts)


def _write_plots(plots: Sequence[Plot], folder: Path) -> list[Path]:
    if not plots:
        return []
    try:
        folder.mkdir(exist_ok=True)
    except OSError as problem:
        raise PrerequisiteError(f"cannot create {folder}: {problem.strerror}") from problem
    return write_plots(plots, folder)
