"""The page of a run as a reader uses it: sorting, searching, keys, languages, themes, and hostile text."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_runs import accuracy_summary, performance_result

from modeltest.api import (
    Case,
    Completion,
    DatasetInfo,
    EngineInfo,
    Finding,
    FindingCode,
    Finish,
    FirstDifference,
    GeneratedText,
    GenerationSummary,
    HarnessMetric,
    HarnessSummary,
    ModelInfo,
    PrecisionOutput,
    PrecisionSummary,
    Question,
    Request,
    RunResult,
    RunSpec,
    Sample,
    Score,
    TextPrompt,
    Verdict,
)
from modeltest.findings import sentences

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

from reports.run_page.report import RunPage

HOSTILE = (
    "</script><script>window.ran = 1</script><img src=x onerror='window.ran = 2'>"
    "<svg onload='window.ran = 3'><a href='javascript:window.ran = 4'>\u2028 --> ]]> ${window.ran = 5}"
)
SUBJECTS = {
    "astronomy": {"category": "STEM"},
    "law": {"category": "humanities"},
    HOSTILE: {"category": HOSTILE},
}
LAW_ROWS = 400


def question_of(subject: str, row: int) -> tuple[Sample, Question]:
    """Right in every second row; a near-tie in every tenth; the first of the hostile subject failed."""
    name = f"{subject}/{row}"
    is_failed = subject == HOSTILE and row == 0
    predicted = "A" if row % 2 else "B"
    score = Score(
        *(name, subject, SUBJECTS[subject]["category"], "A", None if is_failed else predicted),
        correct=None if is_failed else predicted == "A",
        margin=None if is_failed else (0.00001 if row % 10 == 0 else 1.5),
        error=HOSTILE if is_failed else None,
    )
    completion = Completion(name, text=HOSTILE, choice_logprobs=() if is_failed else (-1.5, -0.5))
    prompt = TextPrompt(
        "Header. ", ("Shot. ",), f"Which is number {row}? {HOSTILE if subject == HOSTILE else ''}"
    )
    return Sample(score, completion, name), Question(Request(name, prompt, choices=(" A", " B")), name)


def run() -> RunResult:
    pairs = [
        *(question_of("astronomy", row) for row in range(4)),
        *(question_of("law", row) for row in range(LAW_ROWS)),
        *(question_of(HOSTILE, row) for row in range(3)),
    ]
    samples = [sample for sample, _ in pairs]
    return RunResult(
        spec=RunSpec("hf_fp32", "full_MMLU", "mmlu", "llama", "W", split="full", batch_sizes=((8,),)),
        started="2025-01-01T00:00:00+00:00",
        status="complete",
        model=ModelInfo("llama", HOSTILE, "/w", "llama", "float32", None, 1024, 128, 1, "f" * 64),
        adapter="hf",
        engine=EngineInfo("hf", "cpu", "float32", 10, (), 1024, {"torch": "2.9"}, notes=(HOSTILE,)),
        dataset=DatasetInfo("mmlu", "full", "/d", "d" * 64, True, len(samples), 3),
        machine={"cpus": 2},
        samples=samples,
        questions=[question for _, question in pairs],
        summary=accuracy_summary(samples, SUBJECTS),
        verdict=Verdict.INVALID,
        reasons=(HOSTILE,),
        command=HOSTILE,
    )


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run")
    return RunPage().write(run(), directory)[0].as_uri()


@pytest.fixture
def open_page(new_page, address):
    """Return a function that opens the page, at `fragment`, and waits until it is ready."""

    def open_it(fragment="", **options):
        page = new_page(**options)
        page.goto(address + fragment)
        page.wait_for_selector("html[data-ready]")
        return page

    return open_it


def tally(page):
    return page.locator("#tally").inner_text()


def shown(page):
    return page.locator("#detail h3").inner_text()


def colour(page, selector):
    return page.eval_on_selector(selector, "element => getComputedStyle(element).backgroundColor")


def test_nothing_that_a_model_or_dataset_says_is_run(open_page):
    page = open_page("#show=f")
    assert shown(page).startswith("</script>")
    page.locator("#list").press("End")
    page.locator(".chip[value=all]").click()
    page.locator("#list").press("End")
    assert "onerror" in page.locator("#detail").inner_text()
    page.locator("button[value=zh]").click()
    assert page.evaluate("window.ran") is None
    assert page.locator("img").count() == 0
    assert HOSTILE.replace("\u2028", "") in page.locator("h1").inner_text().replace("\u2028", "")


def test_a_column_head_sorts_by_mouse_and_key_and_says_so(open_page):
    page = open_page()
    head = page.locator("#subjects th", has_text="Questions").first
    names = page.locator("#subjects tbody th a")
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert names.nth(2).inner_text() == "law"
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert names.first.inner_text() == "law"


def test_filters_say_how_many_are_left_and_the_address_keeps_them(open_page):
    page = open_page()
    assert tally(page) == "407 of 407 questions"
    page.locator(".chip[value=tie]").click()
    assert tally(page) == "41 of 407 questions"  # every tenth of 400, and the first of astronomy
    page.locator("#subject").select_option("law")
    assert tally(page) == "40 of 407 questions"
    page.locator("#find").fill("number 390")
    page.wait_for_selector("#tally:has-text('1 of 407')")
    fragment = page.evaluate("location.hash")
    again = open_page(fragment)
    assert tally(again) == "1 of 407 questions"
    assert shown(again) == "law/390"
    assert again.locator(".chip[value=tie]").get_attribute("aria-pressed") == "true"


def test_a_subject_leads_to_its_questions(open_page):
    page = open_page()
    page.locator("#subjects tbody th a", has_text="astronomy").click()
    page.wait_for_selector("#tally:has-text('4 of 407')")
    assert shown(page) == "astronomy/0"


def test_keys_go_through_the_questions(open_page):
    page = open_page()
    page.keyboard.press("/")
    page.keyboard.type("number 3")
    page.wait_for_selector("#tally:not(:has-text('407 of'))")
    page.keyboard.press("Escape")
    assert tally(page) == "407 of 407 questions"
    before = shown(page)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert (before, shown(page)) == ("astronomy/3", "law/0")
    page.locator("#list").press("Home")
    assert shown(page) == "astronomy/0"
    page.locator("#list").press("PageDown")
    active = page.locator("#list").get_attribute("aria-activedescendant")
    assert page.locator(f"#{active}").get_attribute("aria-selected") == "true"


def test_only_the_rows_in_sight_exist_and_the_last_can_be_reached(open_page):
    page = open_page("#subject=law")
    assert page.locator(".list-row").count() < 60
    page.locator("#list").press("End")
    assert shown(page) == f"law/{LAW_ROWS - 1}"
    last = page.locator(".list-row[aria-selected=true]")
    assert last.get_attribute("aria-posinset") == str(LAW_ROWS)
    assert last.get_attribute("aria-setsize") == str(LAW_ROWS)


def test_a_question_shows_prompt_choices_and_answer(open_page):
    page = open_page("#subject=law")
    said = page.locator("#detail").inner_text()
    assert "Which is number 0?" in said
    assert "-0.5000" in said
    assert "73.1 %" in said  # 1 / (1 + exp(-1))
    assert "A near-tie" in said
    page.locator("#detail details summary").click()
    assert "Header. Shot. " in page.locator("#detail pre.shared").inner_text() + " "


def test_the_page_speaks_chinese_by_the_reader_s_system_and_by_its_switch(open_page):
    page = open_page(locale="zh-CN")
    assert page.locator("#subjects h2").inner_text() == "科目"
    assert "题" in tally(page)
    assert page.locator("#find").get_attribute("placeholder") == "搜索提示与作答"
    assert page.locator("svg text", has_text="全部题目").count() == 1
    page.locator("button[value=en]").click()
    assert page.locator("#subjects h2").inner_text() == "Subjects"
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.locator("#subjects h2").inner_text() == "Subjects", "the choice is remembered"


def test_the_page_is_dark_by_the_reader_s_system_and_by_its_switch(open_page):
    light, dark = open_page(), open_page(color_scheme="dark")
    assert colour(light, "body") != colour(dark, "body")
    light.locator("button[value=dark]").click()
    assert colour(light, "body") == colour(dark, "body")
    stroke = "element => getComputedStyle(element).fill"
    assert dark.eval_on_selector("figure svg text", stroke) != open_page().eval_on_selector(
        "figure svg text", stroke
    )


def test_the_keyboard_begins_at_a_link_that_skips_to_the_content(open_page):
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_what_is_printed_is_light_and_has_no_switches(open_page):
    page = open_page(color_scheme="dark")
    page.emulate_media(media="print")
    assert colour(page, "body") == "rgb(255, 255, 255)"
    assert not page.locator(".switches").is_visible()
    assert not page.locator("#browser").is_visible()


def test_what_is_folded_is_printed_within_a_sheet_and_folded_again(new_page, tmp_path):
    page = new_page(viewport={"width": 720, "height": 1000})
    page.goto(RunPage().write(performance_result(step_ms=1234.5), tmp_path)[0].as_uri())
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#details details:not([open])").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 720
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("#details details[open]").count() == 0


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_nothing_is_wider_than_the_window(open_page, width):
    page = open_page(viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_page_of_a_stopped_run_opens_too(new_page, tmp_path):
    stopped = replace(run(), status="partial", error="interrupted", samples=[], questions=[])
    stopped = replace(stopped, summary=accuracy_summary([], SUBJECTS))
    page = new_page()
    page.goto(RunPage().write(stopped, tmp_path)[0].as_uri())
    page.wait_for_selector("html[data-ready]")
    assert tally(page) == "0 of 0 questions"


OUTPUT = PrecisionOutput(
    *(Case(8, 2), 2, 0, (5, 6), (7, 8), (-0.5, -1.0), HOSTILE, 2, 1),
    *(FirstDifference(1, 0, 7, 9), Verdict.INVALID, (HOSTILE,)),
)


def test_a_reason_is_said_in_the_language_that_is_chosen(new_page, tmp_path):
    reason = Finding(FindingCode.QUESTIONS_CUT_SHORT, {"asked": 90, "expected": 100})
    recorded = replace(
        run(),
        reasons=(*sentences([reason]), HOSTILE),
        reason_codes=(reason, Finding(FindingCode.TEXT, {"text": HOSTILE})),
    )
    page = new_page()
    page.goto(RunPage().write(recorded, tmp_path)[0].as_uri())
    first, second = page.locator(".verdict li span").all()
    assert first.inner_text() == "90 of 100 questions were asked: the run was cut short"
    page.locator("button[value=zh]").click()
    assert first.inner_text() == "100 题中只问了 90 题：运行中途停止"
    assert (first.get_attribute("lang"), second.get_attribute("lang")) == ("zh", "en")
    assert "onerror" in second.inner_text()
    assert page.evaluate("window.ran") is None
    page.locator("button[value=en]").click()
    assert first.inner_text() == "90 of 100 questions were asked: the run was cut short"


@pytest.mark.parametrize(
    ("summary", "heading"),
    [
        (GenerationSummary(1, (GeneratedText(0, HOSTILE, HOSTILE, 5, 7, Finish.STOP),)), "Texts"),
        (PrecisionSummary((OUTPUT,)), "Outputs"),
        (
            HarnessSummary("lm_eval", "1", (HarnessMetric(HOSTILE, "f", "m", 0.5, 0.1, True, 0, 9, "1"),)),
            "Metrics",
        ),
    ],
    ids=["generation", "precision", "harness"],
)
def test_the_other_kinds_of_pages_work_in_both_languages(new_page, tmp_path, summary, heading):
    page = new_page()
    page.goto(RunPage().write(replace(run(), summary=summary), tmp_path)[0].as_uri())
    title = page.locator("section h2").first
    assert title.inner_text() == heading
    page.locator("button[value=zh]").click()
    assert title.inner_text() != heading
    assert page.evaluate("window.ran") is None
    assert "onerror" in page.locator("main").inner_text()
