"""The page of a suite as a reader uses it: from the verdict to a run's own page, by mouse and keys."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modeltest.api import RunSpec, SuiteResult, SuiteRun, SuiteStatus, Verdict

pytest.importorskip("jinja2")

from reports.suite.page import SuitePage

HOSTILE = "</td><script>window.ran = 1</script><img src=x onerror='window.ran = 2'> ${window.ran = 3}"
SOUND = SuiteRun(
    name="001_full_BoolQ_llama_hf_fp32",
    command=("modeltest", "accuracy", "--task=boolq"),
    spec=RunSpec("hf_fp32", "full_BoolQ", "boolq", "llama", "W", split="full", batch_sizes=((8,),)),
    model="llama",
    adapter="hf",
    shares=1,
    status=SuiteStatus.COMPLETE,
    verdict=Verdict.VALID,
    headline="accuracy 50.00% (4/8)",
    exit_status=0,
    loads=1,
)
FAILED = replace(
    *(SOUND,),
    name="002_full_MMLU_gemma_hf_fp32",
    model="gemma",
    status=SuiteStatus.FAILED,
    verdict=None,
    headline="",
    error=HOSTILE,
    exit_status=5,
    loads=2,
)
REFUSED = replace(
    FAILED, name=f"003_{HOSTILE}", status=SuiteStatus.REFUSED, error="no such weights", exit_status=2, loads=0
)


def suite(*runs: SuiteRun) -> SuiteResult:
    statuses = [run.exit_status or 0 for run in runs]
    return SuiteResult(
        name="nightly",
        file="nightly.yaml",
        started="2025-01-01T00:00:00+00:00",
        status=SuiteStatus.COMPLETE,
        runs=runs,
        loads=sum(run.loads for run in runs),
        exit_status=max(statuses),
        command=f"modeltest suite {HOSTILE}",
        modeltest_version="0.1.0",
    )


@pytest.fixture
def open_suite(new_page, tmp_path):
    """Return a function that writes the page of `runs`, the first of which has a page, and opens it."""

    def open_it(*runs, **options):
        folder = tmp_path / SOUND.name
        folder.mkdir(exist_ok=True)
        (folder / "report.html").write_text("<!doctype html><title>its report</title>")
        page = new_page(**options)
        page.goto(SuitePage().write(suite(*runs), {}, tmp_path)[0].as_uri())
        return page

    return open_it


def texts(page, selector):
    return page.locator(selector).all_inner_texts()


def test_the_exit_status_comes_first_with_what_went_wrong(open_suite):
    said = open_suite(SOUND, FAILED, REFUSED).inner_text(".verdict")
    assert "Exit status 5" in said
    assert f"{FAILED.name}: {HOSTILE}" in said
    assert "no such weights" in said
    assert "Exit status 0" in open_suite(SOUND).inner_text(".verdict")


def test_a_run_leads_to_its_own_page(open_suite):
    page = open_suite(SOUND, FAILED)
    assert page.locator("#runs tbody th a").count() == 1
    page.locator("#runs tbody th a").click()
    assert page.title() == "its report"


def test_a_column_head_sorts_by_mouse_and_key(open_suite):
    page = open_suite(SOUND, FAILED, REFUSED)
    models = "#runs tbody td:nth-child(2)"
    page.locator("#runs button.sort", has_text="Model").first.click()
    assert texts(page, models) == ["gemma", "gemma", "llama"]
    page.locator("#runs button.sort", has_text="Exit status").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert texts(page, "#runs tbody td:nth-child(6)") == ["5", "2", "0"]


def test_what_runs_and_errors_say_is_shown_and_not_run(open_suite):
    page = open_suite(SOUND, FAILED, REFUSED)
    assert HOSTILE in page.inner_text("#runs")
    assert page.evaluate("window.ran") is None
    assert page.locator("main img").count() == 0


def test_states_speak_chinese_and_failures_are_red_in_both_themes(open_suite):
    colours = set()
    for scheme in ("light", "dark"):
        page = open_suite(SOUND, FAILED, color_scheme=scheme, locale="zh-CN")
        assert "失败" in page.inner_text("#runs")
        assert "退出状态 5" in page.inner_text(".verdict")
        badge, cell = (
            page.eval_on_selector(each, "element => getComputedStyle(element).color")
            for each in ("#runs tbody tr:nth-child(2) .badge", "#runs tbody td")
        )
        assert badge != cell
        colours.add(badge)
    assert len(colours) == 2


@pytest.mark.parametrize("width", [360, 1440])
def test_nothing_is_wider_than_the_window(open_suite, width):
    page = open_suite(SOUND, FAILED, REFUSED, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
