"""The pages of a dashboard as a reader uses them: mouse, keys, filters, languages, themes, addresses."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from dashboard_runs import BOOLQ, LATENCY, MMLU, Change, Plan, nights, write_odd_runs

from modeltest.compare.tolerances import Tolerances
from modeltest.dashboard.build import build_site
from modeltest.dashboard.serve import SiteServer
from modeltest.run.record.directory import read_result, write_result

HOSTILE = "<img src=x onerror=alert(1)><script>document.title='owned'</script>"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Path:
    """Return a site of some nights: one history got slower, one run is hostile, some are odd."""
    root = tmp_path_factory.mktemp("dashboard")
    slower = replace(LATENCY, changes=(Change(first=2, last=None, time=1.2),))
    (first, *_) = nights(root / "runs", BOOLQ, 3)
    nights(root / "runs", slower, 4)
    nights(root / "runs", replace(MMLU, model="borealis-14b"), 3)
    (hostile,) = nights(root / "runs", replace(BOOLQ, model="hostile"), 1)
    result = read_result(hostile)
    named = replace(result.model, name=HOSTILE)
    write_result(hostile, replace(result, model=named, error=HOSTILE, reasons=(HOSTILE,), command=HOSTILE))
    (first / "report.html").write_text("<!doctype html><title>its report</title><p>its report")
    write_odd_runs(root / "runs", Plan(BOOLQ, 8, 0))
    build_site([root / "runs"], root / "site", tolerances=Tolerances(), language=None, tell=lambda _: None)
    return root / "site"


@pytest.fixture
def opened(page, site):
    """Return a function that opens a page of the site, by its path and what follows it."""

    def open_page(name: str):
        path, _, hash_ = name.partition("#")
        page.goto((site / path).as_uri() + (f"#{hash_}" if hash_ else ""))
        page.wait_for_selector("html[data-ready]")
        return page

    return open_page


def address(page):
    """Return the address as the page has it: `page.url` follows a moment after the script has changed it."""
    return page.evaluate("location.href")


def texts(page, selector: str) -> list[str]:
    return [text.strip() for text in page.locator(selector).all_inner_texts()]


def wait_for_text(page, text: str) -> None:
    """Wait until the run that is looked at is the one of `text`: the mouse is heard frame by frame."""
    page.wait_for_selector(f'#detail strong:has-text("{text}")')


def models(page) -> list[str]:
    return texts(page, "#numbers-table tbody th")


def test_the_overview_says_what_became_worse_since_when_and_by_how_much(opened):
    page = opened("index.html")
    (alert,) = texts(page, ".alert")
    assert "aurora-7b performance pa_fp16 npu" in " ".join(alert.split())
    assert re.search(r"\+\d\d\.\d %", alert)
    assert "since 2026-03-04, beside 2026-03-02" in alert
    assert page.locator(".alert svg.spark circle.mark-r").count() == 2


def test_the_matrix_has_a_cell_per_model_task_and_engine(opened):
    page = opened("index.html")
    assert texts(page, "#matrix-table thead th") == ["Model", "full_BoolQ", "full_MMLU 5-shot", "performance"]
    assert texts(page, "#matrix-table tbody th") == [HOSTILE, "aurora-7b", "borealis-14b"]
    assert page.locator("#matrix-table .cell").count() == 4
    assert page.locator("#matrix-table .cell-regression").count() == 1


def test_filters_are_in_the_address_and_come_back_from_it(opened, page, new_page, site):
    opened("index.html")
    page.select_option('[data-filter="model"]', "aurora-7b")
    page.select_option('[data-filter="family"]', "tpot_ms")
    page.click('button[data-filter="mark"][value="regression"]')
    page.fill('[data-filter="q"]', "batch8")
    assert "#q=batch8&model=aurora-7b&family=tpot_ms&mark=regression" in address(page)
    rows = texts(page, "#numbers-table tbody tr")
    assert len(rows) == 2
    other = new_page()
    other.goto(address(page))
    other.wait_for_selector("html[data-ready]")
    assert texts(other, "#numbers-table tbody tr") == rows
    assert other.input_value('[data-filter="q"]') == "batch8"
    assert other.get_attribute('button[value="regression"]', "aria-pressed") == "true"


def test_all_filters_are_taken_back_at_once(opened):
    page = opened("index.html#model=borealis-14b&q=nothing+at+all")
    assert page.is_visible("#nothing")
    assert page.is_hidden("#matrix")
    page.click("[data-reset]")
    assert page.is_hidden("#nothing")
    assert len(models(page)) == 15
    assert "#" not in address(page)


def test_a_number_in_the_head_filters_by_it(opened):
    page = opened("index.html")
    page.click("text=8 worse")
    assert len(models(page)) == 8
    assert address(page).endswith("#mark=regression")


def test_a_column_is_sorted_by_either_direction_and_the_address_says_so(opened):
    page = opened("index.html")
    page.click("#numbers-table th[data-key=latest] button")
    values = [
        float(text.split()[0].replace(",", "")) for text in texts(page, "#numbers-table td:nth-child(6)")
    ]
    assert page.get_attribute("#numbers-table th[data-key=latest]", "aria-sort") == "descending"
    assert address(page).endswith("#sort=-latest")
    assert values[0] == max(values)
    page.click("#numbers-table th[data-key=model] button")
    page.click("#numbers-table th[data-key=model] button")
    assert models(page) == sorted(models(page), reverse=True)


def test_the_skip_link_leaves_the_filters_alone(opened):
    page = opened("index.html#model=aurora-7b")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert set(models(page)) == {"aurora-7b"}


def test_the_keyboard_reaches_search_filters_and_rows(opened):
    page = opened("index.html")
    page.keyboard.press("/")
    page.keyboard.type("borealis")
    assert set(models(page)) == {"borealis-14b"}
    page.focus("#numbers-table tbody a")
    page.keyboard.press("Enter")
    page.wait_for_selector("#detail")
    assert "/history/" in address(page)


def test_a_history_shows_the_run_the_mouse_is_at_and_the_one_that_is_clicked(opened, page):
    opened("index.html")
    page.click(".alert a")
    page.wait_for_selector("html[data-ready] .chart")
    assert page.inner_text("h1") == "aurora-7b"
    wait_for_text(page, "2026-03-05 01:00")
    box = page.locator(".chart").first.bounding_box()
    page.mouse.move(box["x"] + 62, box["y"] + 60)
    wait_for_text(page, "2026-03-02 01:00")
    page.mouse.move(5, 5)
    wait_for_text(page, "2026-03-05 01:00")
    page.mouse.click(box["x"] + 62, box["y"] + 60)
    wait_for_text(page, "2026-03-02 01:00")
    page.wait_for_url("**run=20260302-010000_performance**")
    page.reload()
    page.wait_for_selector("html[data-ready] .chart")
    wait_for_text(page, "2026-03-02 01:00")


def test_the_keys_go_from_run_to_run_on_a_chart(opened, page):
    opened("index.html")
    page.click(".alert a")
    page.wait_for_selector("html[data-ready] .chart")
    chart = page.locator(".chart").first
    assert chart.get_attribute("aria-label").startswith("TPOT 256×32 batch 1 over 4 runs")
    chart.focus()
    seen = []
    for key in ("Home", "ArrowRight", "ArrowRight", "End", "ArrowRight"):
        page.keyboard.press(key)
        seen.append(page.inner_text("#detail strong")[8:10])
    assert seen == ["02", "03", "04", "05", "05"]
    assert "+" in page.inner_text("#detail .detail-change.bad >> nth=0")
    page.click("#detail button.link")
    assert page.inner_text("#detail strong")[8:10] == "02"


def test_a_run_leads_to_its_report_or_to_a_page_of_its_own(opened, page):
    opened("runs.html")
    page.click("#runs-table thead th[data-key=time] button")
    page.click("#runs-table thead th[data-key=time] button")
    page.fill('[data-filter="q"]', "20260302 full_BoolQ aurora")
    page.click("#runs-table tbody a >> nth=0")
    assert page.title() == "its report"
    page.go_back()
    page.wait_for_selector("html[data-ready]")
    page.fill('[data-filter="q"]', "20260302 performance")
    page.click("#runs-table tbody a >> nth=0")
    page.wait_for_selector("#metrics")
    assert "VALID" in page.inner_text(".verdict")


def test_runs_that_failed_or_cannot_be_read_are_listed_with_the_reason(opened):
    page = opened("runs.html#state=unreadable")
    (row,) = texts(page, "#runs-table tbody tr")
    assert "run.json cannot be read" in row
    page = opened("runs.html")
    outcomes = set(texts(page, "#runs-table .badge"))
    assert {"VALID", "failed", "not ended", "interrupted", "not readable"} <= outcomes


def test_what_a_run_says_runs_nothing(opened, page):
    for name in ("index.html", "runs.html"):
        opened(name)
        assert "owned" not in page.title()
        assert page.locator("main img").count() == 0
    page.fill('[data-filter="q"]', "onerror")
    page.click("#runs-table td a", position={"x": 5, "y": 5})
    page.wait_for_selector("html[data-ready] #detail")
    assert page.inner_text("h1") == HOSTILE
    assert page.title() != "owned"
    assert page.locator("main img").count() == 0


def test_the_language_is_switched_on_the_page_and_kept(opened, page):
    opened("index.html")
    page.click('[data-choose="language"][value="zh"]')
    assert page.inner_text("h1") == "历史"
    assert "准确率" in page.inner_text("#numbers-table")
    assert page.get_attribute('[data-filter="q"]', "placeholder") == "搜索"
    opened("runs.html")
    assert page.inner_text("h1") == "全部运行"


def test_light_and_dark_follow_the_system_and_the_switch(new_page, site):
    page = new_page(color_scheme="dark")
    page.goto((site / "index.html").as_uri())
    page.wait_for_selector("html[data-ready]")

    def paper() -> str:
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    dark = paper()
    page.click('[data-choose="theme"][value="light"]')
    assert paper() != dark
    page.click('[data-choose="theme"][value="dark"]')
    assert paper() == dark


@pytest.mark.parametrize("width", [390, 820])
def test_a_small_screen_shows_everything_without_scrolling_sideways(new_page, site, width):
    page = new_page(viewport={"width": width, "height": 800})
    history = next((site / "history").glob("aurora*performance*.html"))
    for path in (site / "index.html", site / "runs.html", history):
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path.name


def test_the_site_is_the_same_from_a_server(new_page, site):
    with SiteServer(site, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            page = new_page(origin=server.address.rstrip("/"))
            page.goto(f"{server.address}#model=borealis-14b")
            page.wait_for_selector("html[data-ready]")
            assert set(models(page)) == {"borealis-14b"}
            page.click("#numbers-table tbody a >> nth=0")
            page.wait_for_selector("html[data-ready] .chart")
        finally:
            server.shutdown()
            thread.join()
