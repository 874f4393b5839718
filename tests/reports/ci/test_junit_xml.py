from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from accuracy_runs import accuracy_run
from hypothesis import given
from hypothesis import strategies as st
from timed_runs import max_batch_run, out_of_memory_run, performance_run, run_result

from modeltest.api import (
    Case,
    GeneratedText,
    GenerationSummary,
    HarnessMetric,
    HarnessSummary,
    PrecisionOutput,
    PrecisionSummary,
    Report,
    RunResult,
    Verdict,
)
from reports.ci.junit_xml import JUnitXml, junit_document, suite_of

etree = pytest.importorskip("lxml.etree")
SCHEMA = etree.XMLSchema(etree.parse(str(Path(__file__).parents[1] / "junit.xsd")))


def root_of(result: RunResult) -> ET.Element:
    """Return the document of `result` after holding it against the schema."""
    text = junit_document([suite_of(result)])
    SCHEMA.assertValid(etree.fromstring(text.encode()))
    return ET.fromstring(text)


def cases(result: RunResult) -> dict[str, ET.Element]:
    return {case.attrib["name"]: case for case in root_of(result).iter("testcase")}


def failures(result: RunResult) -> dict[str, str]:
    return {
        name: found.attrib["message"]
        for name, case in cases(result).items()
        for found in case.findall("failure")
    }


def errors(result: RunResult) -> dict[str, str]:
    return {name: found.text or "" for name, case in cases(result).items() for found in case.findall("error")}


def test_subjects_are_cases_and_wrong_answers_no_failures() -> None:
    found = cases(accuracy_run())
    assert list(found) == ["run", "law", "logic"]
    assert failures(accuracy_run()) == errors(accuracy_run()) == {}
    assert found["logic"].findtext("system-out") == "1 of 5 right: 20.00%"
    assert found["law"].attrib["classname"] == "full_CEval.gpt2.pa_fp16"


def test_failed_questions_are_an_error_of_their_subject() -> None:
    result = accuracy_run(error="out of memory")
    assert errors(result) == {"logic": "1 of 5 questions failed\nlogic/0: out of memory"}
    assert failures(result) == {}, "the error of the subject says it"
    suite = next(root_of(result).iter("testsuite"))
    assert [suite.attrib[name] for name in ("tests", "failures", "errors")] == ["3", "0", "1"]


def test_a_run_that_was_cut_short_fails_as_a_whole() -> None:
    result = replace(
        accuracy_run(),
        status="partial",
        verdict=Verdict.INVALID,
        reasons=("the run is partial: interrupted",),
    )
    assert failures(result) == {"run": "the run is partial: interrupted"}


def test_an_invalid_run_whose_cases_are_all_well_fails_as_a_whole() -> None:
    result = replace(accuracy_run(), verdict=Verdict.INVALID, reasons=("4 of 8 questions were asked",))
    assert failures(result) == {"run": "4 of 8 questions were asked"}


def test_a_run_without_a_verdict_is_an_error() -> None:
    result = replace(accuracy_run(), status="failed", verdict=None, summary=None, error="no such device")
    assert errors(result) == {"run": "failed: no such device"}


def test_a_run_that_ended_with_an_error_is_one_also_where_its_part_was_judged() -> None:
    failed = replace(accuracy_run(), status="failed", verdict=Verdict.INVALID, error="no device")
    assert failures(failed) == {}
    assert errors(failed) == {"run": "failed: no device"}


def test_a_timed_case_that_is_invalid_fails_with_its_reason() -> None:
    found = failures(out_of_memory_run())
    assert list(found) == ["8x3 batch 4", "16x2 batch 4"]
    assert "ran out of memory" in found["8x3 batch 4"]


def test_noise_is_told_and_is_no_failure() -> None:
    result = performance_run()
    (first, *others) = result.summary.cases  # type: ignore[union-attr]
    noisy = replace(first, verdict=Verdict.NOISY, reasons=("TPOT varies",))
    result = replace(result, summary=replace(result.summary, cases=(noisy, *others)), verdict=Verdict.NOISY)  # type: ignore[type-var]
    assert failures(result) == {}
    assert "TPOT varies" in (cases(result)["8x3 batch 2"].findtext("system-out") or "")
    assert "tpot_ms 10" in (cases(result)["8x3 batch 2"].findtext("system-out") or "")


def test_a_search_is_one_case() -> None:
    assert "max batch 2" in (cases(max_batch_run())["8x3 within 10 ms"].findtext("system-out") or "")
    assert failures(max_batch_run(feasible=False)) == {}, "NONE_FEASIBLE is an answer"


def test_outputs_prompts_and_tasks_of_a_harness_are_cases() -> None:
    spec = performance_run().spec
    output = PrecisionOutput(
        *(Case(8, 3), 2, 0, (1, 2), (3, 4), None, "hi", 2, 1, None), Verdict.INVALID, ("1 row differs",)
    )
    assert failures(run_result(spec, summary=PrecisionSummary((output,)))) == {
        "8x3 batch 2 prompt 0": "1 row differs"
    }
    texts = (GeneratedText(0, "p", "t", 1, 1, None), GeneratedText(1, "p", None, 1, 0, None, error="bad"))
    assert errors(run_result(spec, summary=GenerationSummary(2, texts))) == {"prompt 1": "bad"}
    metric = HarnessMetric("arc_easy", "none", "acc", 0.5, 0.1, True, 0, 10, "1")
    found = cases(run_result(spec, summary=HarnessSummary("lm-eval", "0.4", (metric,))))
    assert found["arc_easy"].findtext("system-out") == "acc (none): 0.5"


def test_names_with_dots_stay_one_part_of_the_class_name() -> None:
    result = accuracy_run()
    named = replace(result, model=replace(result.model, name="Qwen2.5-7B"))
    assert cases(named)["law"].attrib["classname"] == "full_CEval.Qwen2_5-7B.pa_fp16"


def test_what_xml_cannot_hold_is_written_out() -> None:
    result = accuracy_run(error='bell \x07, null \x00, surrogate \ud800, <b>&"]]></b>\uffff')
    text = errors(result)["logic"]
    assert text.endswith('bell \\x07, null \\x00, surrogate \\ud800, <b>&"]]></b>\\uffff')


@given(st.text(), st.text())
def test_any_text_gives_a_valid_document(error: str, subject: str) -> None:
    root_of(accuracy_run(error=error, subjects=("law", subject + "x")))


def test_totals_are_those_of_the_suites() -> None:
    text = junit_document([suite_of(accuracy_run(error="bad")), suite_of(out_of_memory_run())])
    SCHEMA.assertValid(etree.fromstring(text.encode()))
    root = ET.fromstring(text)
    counts = [root.attrib[name] for name in ("tests", "failures", "errors", "time")]
    assert counts == ["8", "2", "1", "12.500"]


def test_it_is_a_report_for_every_run(tmp_path: Path) -> None:
    report = JUnitXml()
    assert isinstance(report, Report)
    for result in _kinds():
        assert report.accepts(result)
        (path,) = report.write(result, tmp_path)
        assert path.name == "junit.xml"
        before = path.read_bytes()
        report.write(result, tmp_path)
        assert path.read_bytes() == before, "equal results give equal bytes"


def _kinds() -> Iterator[RunResult]:
    yield from (accuracy_run(), performance_run(), max_batch_run(), replace(accuracy_run(), summary=None))
