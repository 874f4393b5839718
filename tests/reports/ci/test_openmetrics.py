from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from accuracy_runs import accuracy_run
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.parser import text_string_to_metric_families as older_families
from timed_runs import max_batch_run, out_of_memory_run, performance_run

from modeltest.api import Report, RunResult
from reports.ci.openmetrics import OpenMetrics, openmetrics_text


def samples(result: RunResult) -> dict[tuple[str, str], float]:
    """Return the values by name and case, as a reader of OpenMetrics finds them."""
    return {
        (sample.name, sample.labels.get("case", "")): sample.value
        for family in text_string_to_metric_families(openmetrics_text(result))
        for sample in family.samples
    }


def labels(result: RunResult, name: str) -> list[dict[str, str]]:
    families: Any = text_string_to_metric_families(openmetrics_text(result))
    return [sample.labels for family in families for sample in family.samples if sample.name == name]


def test_accuracy_is_a_ratio_with_its_interval_beside_it() -> None:
    found = samples(accuracy_run())
    assert found["modeltest_accuracy_ratio", ""] == 0.5
    assert found["modeltest_accuracy_ratio", "subject.logic"] == 0.2
    assert found["modeltest_accuracy_low_ratio", ""] < 0.5 < found["modeltest_accuracy_high_ratio", ""]
    assert found["modeltest_load_seconds", ""] == 2


def test_times_are_in_seconds() -> None:
    found = samples(performance_run())
    assert found["modeltest_tpot_seconds", "8x3.batch2"] == pytest.approx(0.010)
    assert found["modeltest_e2e_seconds", "8x3.batch2"] == pytest.approx(0.120)
    assert found["modeltest_output_tokens_per_second", "8x3.batch2"] == pytest.approx(6 / 0.120, rel=0.01)


def test_every_sample_says_which_run_it_is_of() -> None:
    (found,) = [each for each in labels(accuracy_run(), "modeltest_accuracy_ratio") if not each["case"]]
    assert found == {"model": "gpt2", "engine": "pa_fp16", "task": "full_CEval", "case": ""}
    (info,) = labels(accuracy_run(), "modeltest_run_info")
    assert (info["adapter"], info["device"], info["fingerprint"]) == ("hf", "cpu", "f" * 64)


def test_what_is_unknown_is_left_out() -> None:
    found = samples(out_of_memory_run())
    assert ("modeltest_tpot_seconds", "8x3.batch2") in found
    assert ("modeltest_tpot_seconds", "8x3.batch4") not in found


def test_one_verdict_is_true() -> None:
    families: Any = text_string_to_metric_families(openmetrics_text(accuracy_run(error="bad")))
    found = {
        sample.labels["verdict"]: sample.value
        for family in families
        for sample in family.samples
        if sample.name == "modeltest_run_verdict"
    }
    assert found == {"VALID": 0, "NOISY": 0, "SUSPECT": 0, "INVALID": 1}


def test_units_are_declared() -> None:
    families: Any = text_string_to_metric_families(openmetrics_text(performance_run()))
    units = {family.name: family.unit for family in families}
    assert units["modeltest_tpot_seconds"] == "seconds"
    assert units["modeltest_output_tokens_per_second"] == "tokens_per_second"


def test_readers_of_the_older_text_format_find_the_same() -> None:
    text = openmetrics_text(max_batch_run())
    older = {
        (sample.name, sample.labels.get("case", "")): sample.value
        for family in older_families(text)
        for sample in family.samples
    }
    assert older == samples(max_batch_run())
    assert older["modeltest_max_batch", "8x3.within_10_ms"] == 2
    assert text.endswith("# EOF\n")


def test_names_of_models_and_subjects_may_hold_anything() -> None:
    result = accuracy_run(subjects=('a"b\\c\nd', "中文"))
    named = replace(result, model=replace(result.model, name='quote " and \\'))
    found = samples(named)
    assert found["modeltest_accuracy_ratio", 'subject.a"b\\c\nd'] == 1
    assert found["modeltest_accuracy_ratio", "subject.中文"] == 0.2


def test_it_is_a_report_of_runs_that_found_anything(tmp_path: Path) -> None:
    report = OpenMetrics()
    assert isinstance(report, Report)
    assert not report.accepts(replace(accuracy_run(), summary=None))
    (path,) = report.write(accuracy_run(), tmp_path)
    assert path.name == "openmetrics.txt"
    assert path.read_text(encoding="utf-8") == openmetrics_text(accuracy_run())
