"""From a matplotlib figure to the files of a plot and to the SVG that a page takes in.

Equal figures give equal bytes. Text stays text, so that a page can set it in the reader's font and language.
Nothing of pyplot is imported: there is no window and no state.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from modeltest.machine.files import write_bytes, write_text
from reports.page.texts import Texts, fill
from reports.plots.page_svg import PageText, page_svg
from reports.plots.palette import FAINT, INK, LINE, LINE_STRONG, MUTED, PAPER

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_IN = 8.4
_PNG_DPI = 144
_NAME_CHARACTERS = 32

_SETTINGS = {
    "svg.fonttype": "none",
    "svg.hashsalt": "modeltest",
    "text.parse_math": False,  # a subject called $x$ is no formula
    "font.family": ["DejaVu Sans"],
    "font.size": 8.5,
    "text.color": INK,
    "axes.edgecolor": LINE_STRONG,
    "axes.labelcolor": MUTED,
    "axes.facecolor": PAPER,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "axes.titlecolor": INK,
    "axes.formatter.useoffset": False,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
}


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a plot in English, and what a page needs to say them in another language."""

    texts: Texts
    used: dict[str, PageText] = field(default_factory=dict)

    def __call__(self, key: str, /, **arguments: object) -> str:
        """Return the English text of `key`."""
        text = fill(self.texts[key]["en"], arguments)
        self.used[text] = PageText(key, arguments)
        return text


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot with its files' contents and the form that a page takes in."""

    name: str
    """Of its files, without suffix."""

    svg: str
    png: bytes
    page_svg: str
    caption: str
    """Key of the text that says how to read it."""

    arguments: dict[str, object] = field(default_factory=dict)
    """Of the caption."""

    @property
    def key(self) -> str:
        """What the plot shows, whichever case it is drawn for."""
        return self.caption.removeprefix("plot.").removesuffix("_caption")


Draw = Callable[[Words], "Figure"]


def make_plot(
    name: str, draw: Draw, *, texts: Texts, caption: str, arguments: dict[str, object] | None = None
) -> Plot:
    """Return what `draw` draws, in every form."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # it tells users of its caches and fonts
    import matplotlib

    words = Words(texts)
    values = arguments or {}
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():  # type: ignore[arg-type]
        # Names in Chinese are boxes in the PNG where no font has them; the SVG and the page have the text.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = draw(words)
        _lay_out(figure)
        svg = _svg(figure)
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=_PNG_DPI, metadata={"Software": None})
    label = fill(texts[caption]["en"], values)
    in_page = page_svg(svg, prefix=name, label=label, texts=words.used)
    return Plot(name, svg, png.getvalue(), in_page, caption, values)


def write_plots(plots: Sequence[Plot], directory: Path) -> list[Path]:
    """Write the SVG and the PNG of every plot into `directory` and return their paths.

    Raises: PrerequisiteError when one cannot be written.
    """
    paths = []
    for plot in plots:
        write_text(directory / f"{plot.name}.svg", plot.svg)
        write_bytes(directory / f"{plot.name}.png", plot.png)
        paths += [directory / f"{plot.name}.svg", directory / f"{plot.name}.png"]
    return paths


def new_figure(height_in: float, *, panels: int = 1, share_y: bool = False) -> tuple[Figure, list[Axes]]:
    """Return an empty figure as wide as a page with `panels` side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False, sharey=share_y)
    return figure, list(axes[0])


def plot_name(name: str) -> str:
    """Return a name that comes from data short enough to leave room for what is plotted."""
    return name if len(name) <= _NAME_CHARACTERS else name[: _NAME_CHARACTERS - 1] + "…"


def legend_above(axes: Axes) -> None:
    """Say what the series are above the plot, where nothing is drawn."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=6, borderaxespad=0.2, columnspacing=1.6)


def legend_above_all(figure: Figure, axes: Axes) -> None:
    """Say what the series of `axes` are above all panels: they share them, and keep their width."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=6, borderaxespad=0.2, columnspacing=1.6)


def _lay_out(figure: Figure) -> None:
    """Give everything its place once: `savefig` does so for every file anew, and draws all of it for that."""
    figure.draw_without_rendering()
    figure.set_layout_engine(None)


def _svg(figure: Figure) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()
