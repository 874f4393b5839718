import re
from xml.etree import ElementTree

import pytest

from reports.page.rendering import FOLDER
from reports.page.texts import load_texts
from reports.plots.palette import SERIES, TOKENS

pytest.importorskip("matplotlib")

from reports.plots.drawing import make_plot, new_figure

TEXTS = load_texts(["plot"])


def draw(words):
    figure, (axes,) = new_figure(2.0)
    axes.plot([1, 2], [3, 4], "o-", color=SERIES[0], label="$x$ <b>&amp;</b>")
    axes.fill_between([1, 2], [3, 4], color=SERIES[1], alpha=0.5)
    axes.set_xlabel(words("plot.batch_size"))
    axes.set_title(words("plot.batch", n=8))
    axes.legend()
    return figure


@pytest.fixture(scope="module")
def plot():
    return make_plot("name", draw, texts=TEXTS, caption="plot.trials_caption")


def test_the_colours_of_the_files_are_those_of_the_light_theme():
    styles = (FOLDER / "assets" / "page.css").read_text(encoding="utf-8")
    light = styles[: styles.index("@media screen")]
    for colour, token in TOKENS.items():
        assert f"--{token}: {colour};" in light, token


def test_the_form_for_the_page_is_well_formed_and_has_no_style(plot):
    root = ElementTree.fromstring(plot.page_svg.replace("xlink:href", "href"))
    assert "viewBox" in root.attrib
    assert "width" not in root.attrib
    assert not any("style" in element.attrib or element.tag == "style" for element in root.iter())


def test_the_colours_of_the_page_are_tokens(plot):
    assert "var(--series-1)" in plot.page_svg
    assert re.findall(r"#[0-9a-f]{6}", plot.page_svg) == []
    assert SERIES[0] in plot.svg


def test_ids_are_those_that_are_used_and_begin_with_the_name(plot):
    ids = re.findall(r' id="([^"]+)"', plot.page_svg)
    assert ids
    assert all(name.startswith("name-") for name in ids)
    assert all(f"#{name}" in plot.page_svg for name in ids)


def test_words_can_be_translated_and_names_cannot(plot):
    assert re.search(r'<text[^>]* data-t="plot.batch_size">Batch size</text>', plot.page_svg)
    assert re.search(
        r'<text[^>]* data-t="plot.batch" data-a="\{&quot;n&quot;:8\}">batch 8</text>', plot.page_svg
    )
    assert "$x$ &lt;b&gt;&amp;amp;&lt;/b&gt;" in plot.page_svg


def test_equal_figures_give_equal_bytes(plot):
    again = make_plot("name", draw, texts=TEXTS, caption="plot.trials_caption")
    assert (again.svg, again.png, again.page_svg) == (plot.svg, plot.png, plot.page_svg)


def test_the_files_are_an_svg_and_a_png(plot):
    assert ElementTree.fromstring(plot.svg).tag.endswith("svg")
    assert plot.png.startswith(b"\x89PNG")
