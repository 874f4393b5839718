"""The report that writes `report.html` and `plots/`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from modeltest.api import (
    AccuracySummary,
    GenerationSummary,
    HarnessSummary,
    MaxBatchSummary,
    PerformanceSummary,
    PrecisionSummary,
    PrerequisiteError,
    RunResult,
)
from modeltest.machine.files import write_text
from reports.page import render, require_packages
from reports.page.texts import Texts, load_texts
from reports.plots.drawing import Plot, write_plots
from reports.run_page.accuracy import accuracy_content
from reports.run_page.content import Content
from reports.run_page.provenance import provenance
from reports.run_page.timed import maxbs_content, performance_content

FILE_NAME = "report.html"
PLOTS_FOLDER = "plots"

_TEXTS = ("run", "plot")
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
        "plots": {plot.name: plot for plot in content.plots},
        "provenance": provenance(result),
        **content.values,
    }
    return render(f"run_{content.kind}", context, language)


def content_of(result: RunResult, texts: Texts) -> Content:
    """Return what the page shows of the summary of `result`.

    Raises: ValueError without one.
    """
    summary = result.summary
    if isinstance(summary, AccuracySummary):
        return accuracy_content(result, summary, texts)
    if isinstance(summary, PerformanceSummary):
        return performance_content(result, summary, texts)
    if isinstance(summary, MaxBatchSummary):
        return maxbs_content(summary, texts)
    if isinstance(summary, PrecisionSummary):
        counts = Counter(output.verdict.value for output in summary.outputs)
        return Content(kind="precision", values={"counts": counts})
    if isinstance(summary, HarnessSummary):
        return Content(kind="harness")
    if isinstance(summary, GenerationSummary):
        return Content(kind="generation")
    raise ValueError("a run without a summary has no page")


def _write_plots(plots: Sequence[Plot], folder: Path) -> list[Path]:
    if not plots:
        return []
    try:
        folder.mkdir(exist_ok=True)
    except OSError as problem:
        raise PrerequisiteError(f"cannot create {folder}: {problem.strerror}") from problem
    return write_plots(plots, folder)
