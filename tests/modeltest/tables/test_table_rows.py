from dataclasses import replace

from shown_results import ACCURACY, CASE, PRECISION, RESULT, SEARCH

from modeltest.api import MaxBatchSummary, PerformanceSummary, RunResult, SearchStatus
from modeltest.console import plain_console
from modeltest.tables import further_tables, headline, result_table


def _text(result: RunResult) -> str:
    console = plain_console(width=120)
    with console.capture() as capture:
        console.print(result_table(result))
    return capture.get()


def _cells(text: str, first: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.strip().startswith(first)]
    return line.removeprefix("  " + first).split()


def test_accuracy_is_shown_by_category_group_and_altogether():
    text = _text(replace(RESULT, summary=ACCURACY))
    assert text.startswith("full_CEval, 5 shots: llama2_7b with hf on cpu in float32")
    assert _cells(text, "STEM")[:3] == ["3", "5", "60.00%"]
    assert _cells(text, "C-Eval Hard")[:3] == ["0", "2", "0.00%"]
    assert _cells(text, "all questions")[:3] == ["6", "8", "75.00%"]
    assert _cells(text, "mean of subjects") == ["70.00%"]


def test_what_spoils_accuracy_is_shown_and_what_does_not_occur_is_not():
    text = _text(replace(RESULT, summary=ACCURACY))
    assert _cells(text, "failed") == ["1"]
    assert _cells(text, "truncated") == ["2"]
    assert _cells(text, "near-ties (margin < 0.0001)") == ["1"]
    assert "no answer" not in text


def test_a_metric_that_is_undefined_is_a_dash():
    cells = _cells(_text(replace(RESULT, summary=PerformanceSummary((CASE,)))), "64x32")
    assert cells == ["4", "5", "-", "2.5", "4.0%", "-", "-", "VALID"]


def test_the_interval_is_shown_as_half_its_width_in_percent():
    tpot = replace(CASE.metrics["tpot_ms"], low=2.45, high=2.55)
    case = replace(CASE, metrics={"tpot_ms": tpot})
    text = _text(replace(RESULT, summary=PerformanceSummary((case,))))
    assert _cells(text, "64x32") == ["4", "5", "-", "2.5", "±2.0%", "4.0%", "-", "-", "VALID"]


def test_a_search_shows_its_answer():
    text = _text(replace(RESULT, summary=MaxBatchSummary((SEARCH,))))
    assert "non-first token ms" in text
    assert _cells(text, "64x32") == ["1..64", "20", "3", "19.5", "FOUND", "VALID"]
    nothing = replace(SEARCH, max_batch=None, latency_ms=None, status=SearchStatus.NONE_FEASIBLE)
    assert _cells(_text(replace(RESULT, summary=MaxBatchSummary((nothing,)))), "64x32")[2:4] == ["-", "-"]


def test_every_probe_of_a_search_is_shown_with_its_trials_and_its_decision():
    console = plain_console(width=120)
    with console.capture() as capture:
        console.print(*further_tables(replace(RESULT, summary=MaxBatchSummary((SEARCH,)))))
    rows = [line.split() for line in capture.get().splitlines() if line.strip().startswith("64x32")]
    assert rows == [
        ["64x32", "3", "pass,", "certified", "19.5", "19.2", "..", "19.8", "5", "+", "1", "warm-up", "0"],
        ["64x32", "4", "fail", "(23)", "0", "2"],
        ["64x32", "8", "out", "of", "memory", "-", "0", "0"],
    ]


def test_outputs_are_shown_by_their_beginning_in_one_line_and_as_they_are() -> None:
    result = replace(RESULT, summary=PRECISION)
    console = plain_console(width=140, record=True)
    console.print(result_table(result))
    text = console.export_text()
    assert "[red]so" in text
    assert "..." in text
    assert "7 8 9" in text
    assert headline(result).startswith("8x3 batch 2, prompt 0: [red]so")
