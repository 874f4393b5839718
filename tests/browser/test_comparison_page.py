"""The page of a comparison in a real browser."""

import pytest

pytest.importorskip("jinja2")

from made_comparisons import made_comparisons

from reports.comparison.page import ComparisonHtml

COMPARISONS = made_comparisons()


@pytest.fixture
def opened(page, html_file):
    def open_comparison(kind: str):
        page.goto(html_file(ComparisonHtml().render(COMPARISONS[kind])))
        return page

    return open_comparison


@pytest.mark.parametrize("kind", COMPARISONS)
def test_every_kind_shows_its_gates(opened, kind):
    shown = opened(kind).inner_text("main")
    for gate in COMPARISONS[kind].gates:
        assert gate.statement in shown


def test_a_column_head_sorts_the_subjects(opened):
    page = opened("accuracy")
    first = page.locator("#subjects tbody th").first
    assert first.inner_text() == "law", "the worst first"
    page.locator("#subjects button.sort").first.click()
    assert first.inner_text() == "art"


def test_the_words_change_to_chinese(opened):
    page = opened("accuracy")
    page.get_by_role("button", name="中文").click()
    assert page.locator("#answers h2").inner_text() == "作答"


def test_hostile_answers_are_text(opened):
    page = opened("accuracy")
    assert "<script>alert(1)</script>|`x`" in page.inner_text("#flips")


def test_dark_mode_has_light_letters(new_page, html_file):
    page = new_page(color_scheme="dark")
    page.goto(html_file(ComparisonHtml().render(COMPARISONS["performance"])))
    colour = page.evaluate("getComputedStyle(document.body).color")
    assert min(int(part) for part in colour.strip("rgb()").split(",")) > 200
