from dataclasses import replace
from pathlib import Path

import pytest
from accuracy_runs import accuracy_run
from timed_runs import max_batch_run, out_of_memory_run, performance_run, run_result

from modeltest.api import (
    GeneratedText,
    GenerationSummary,
    HarnessMetric,
    HarnessSummary,
    Report,
    RunResult,
    Verdict,
)
from modeltest.statistics import proportion
from reports.ci.summary_md import MOST_BYTES, MOST_ROWS, SummaryMd, limited, sections

markdown_it = pytest.importorskip("markdown_it")
HOSTILE = (
    "</code></details>| x |\n\n# Title\n<script>alert(1)</script> ![](http://evil/x.png) "
    "[a](javascript:b) @all"
)


def text_of(result: RunResult) -> str:
    return limited(sections(result))


def html_of(text: str) -> str:
    rendered: str = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text)
    return rendered


def test_the_verdict_and_the_number_come_first() -> None:
    lines = [line for line in text_of(accuracy_run()).splitlines() if line]
    assert lines[0].endswith("VALID: full_CEval, 5 shots: gpt2 with pa_fp16 on cpu in float32")
    assert lines[1] == "**accuracy 50.00%** (21.52% .. 78.48%): 4 of 8 right"


def test_subjects_are_rows_of_a_table() -> None:
    html = html_of(text_of(accuracy_run()))
    assert "<td>logic</td>" in html
    assert ">20.00%</td>" in html


def test_reasons_of_an_invalid_run_are_not_folded() -> None:
    text = text_of(accuracy_run(error="out of memory"))
    reasons, _, folded = text.partition("<details>")
    assert "1 of 8 questions failed" in reasons
    assert "out of memory" in folded


def test_timed_cases_show_median_and_interval() -> None:
    result = replace(out_of_memory_run(), reasons=("8x3 batch 4: ran out of memory",))
    html = html_of(text_of(result))
    assert "4 cases, <strong>2 of them not VALID</strong>" in html
    assert ">10 (" in html
    assert "ran out of memory" in html


def test_a_search_says_its_answer() -> None:
    assert "8x3: **max batch 2** within 10 ms" in text_of(max_batch_run())


def test_what_a_model_says_is_shown_and_is_no_markup() -> None:
    texts = (GeneratedText(0, HOSTILE, HOSTILE, 1, 1, None), GeneratedText(1, "next", "row", 1, 1, None))
    html = html_of(text_of(run_result(performance_run().spec, summary=GenerationSummary(2, texts))))
    for tag in ("<script", "<img", "<a ", "<h1", "</details></code>"):
        assert tag not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert html.count("<tr>") == 1 + 2 + 1 + html.partition("What was run on what")[2].count("<tr>") - 1
    assert "<td>" in html


def test_a_hostile_name_of_a_subject_or_model_is_no_markup() -> None:
    result = accuracy_run(subjects=(HOSTILE, "logic"))
    html = html_of(text_of(replace(result, model=replace(result.model, name=HOSTILE))))
    for tag in ("<script", "<img", "<a "):
        assert tag not in html


def test_a_run_without_a_summary_says_why() -> None:
    result = replace(accuracy_run(), status="failed", verdict=None, summary=None, error="no device")
    text = text_of(result)
    assert text.startswith("## \N{CROSS MARK} FAILED")
    assert "no device" in text


def test_thousands_of_rows_are_cut_and_told() -> None:
    result = accuracy_run()
    subjects = {f"subject {number}": proportion(1, 2) for number in range(5000)}
    text = text_of(replace(result, summary=replace(result.summary, subjects=subjects)))  # type: ignore[type-var]
    assert f"The first {MOST_ROWS} rows" in text
    assert text.count("\n| subject ") <= MOST_ROWS
    assert len(text.encode()) < MOST_BYTES


def test_what_does_not_fit_is_left_out_from_the_end_and_told() -> None:
    result = replace(accuracy_run(), reasons=tuple("reason " * 200 for _ in range(2000)))
    text = text_of(replace(result, verdict=Verdict.INVALID))
    assert len(text.encode()) < MOST_BYTES < 1 << 20
    assert "accuracy 50.00%" in text
    assert text.endswith("too long for a summary.\n")


def test_metrics_of_a_harness_are_rows() -> None:
    metric = HarnessMetric("arc_easy", "none", "acc", 0.5, 0.1, True, 0, 10, "1")
    result = run_result(performance_run().spec, summary=HarnessSummary("lm-eval", "0.4", (metric,)))
    assert "| arc_easy | none | acc | 0.5 | 0.1 |" in text_of(result)


def test_it_is_a_report_for_every_run(tmp_path: Path) -> None:
    report = SummaryMd()
    assert isinstance(report, Report)
    (path,) = report.write(accuracy_run(), tmp_path)
    assert path.name == "summary.md"
    assert path.read_text(encoding="utf-8") == text_of(accuracy_run())
