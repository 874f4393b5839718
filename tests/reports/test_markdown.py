import html as html_text
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.markdown import bullets, details, escape, quoted, table

markdown_it = pytest.importorskip("markdown_it")
PIECES = st.lists(
    st.one_of(
        st.text(max_size=5),
        st.sampled_from(
            [*"\\`*_[]()<>&|~@#$:!^{}\"'-+=.1 ", "</code>", "&amp;", "&#124;", "```", "\n\n", "\\|"]
        ),
    ),
    max_size=12,
).map("".join)


def rendered(text: str) -> str:
    html: str = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text)
    return html


def words(text: str) -> list[str]:
    """Return what a reader sees, whatever the blanks between."""
    shown = re.sub(
        r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]", "�", text
    )
    return shown.split()


def seen(text: str) -> str:
    return re.sub(r"[\n\r\t\u2028\u2029]", " ", text)


@given(PIECES)
def test_any_text_is_one_cell_that_shows_it(text: str) -> None:
    html = rendered(table(("name", "text"), [("row", quoted(text, most=1000)), ("next", "1")]))
    rows = re.findall(r"<tr>\n(.*?)</tr>", html, re.DOTALL)
    assert len(rows) == 3
    cells = re.findall(r"<td[^>]*>(.*?)</td>", rows[1], re.DOTALL)
    assert len(cells) == 2
    content = re.fullmatch(r"(?:<code>(.*)</code>)?", cells[1], re.DOTALL)
    assert content
    inside = content[1] or ""
    assert "<" not in inside
    assert words(html_text.unescape(inside)) == words(seen(text))


@given(PIECES)
def test_any_text_is_a_paragraph_that_shows_it(text: str) -> None:
    html = rendered(f"Text: {escape(text)}\n")
    content = re.fullmatch(r"<p>Text:(.*)</p>\n", html, re.DOTALL)
    assert content
    assert "<" not in content[1]
    assert words(html_text.unescape(content[1])) == words(seen(text))


@given(PIECES)
def test_any_text_is_an_entry_of_a_list(text: str) -> None:
    html = rendered(bullets([text + "x", "last"]))
    assert re.findall(r"<\w+", html) == ["<ul", "<li", "<li"]


def test_names_stay_readable() -> None:
    assert escape("high_school_biology, 5 shots (v1.2)") == "high_school_biology, 5 shots (v1.2)"


def test_long_texts_are_cut() -> None:
    assert quoted("a" * 300).count("a") == 200
    assert quoted("") == ""


def test_details_fold_a_table() -> None:
    html = rendered(details("More & more", table(("a", "b"), [("1", "2")])))
    assert "<summary>More &#38; more</summary>" in html
    assert "<table>" in html
