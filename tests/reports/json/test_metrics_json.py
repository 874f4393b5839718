from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from accuracy_runs import accuracy_run
from timed_runs import max_batch_run, out_of_memory_run, performance_run, read_valid, run_result, schema

from modeltest.api import EngineUsage, HarnessMetric, HarnessSummary, Report, RunResult
from reports.json.metrics import MetricsJson


def metrics(result: RunResult, directory: Path) -> dict[str, Any]:
    (path,) = MetricsJson().write(result, directory)
    assert path.name == "metrics.json"
    found: dict[str, Any] = read_valid(path, "metrics")["metrics"]
    return found


def test_accuracy_has_its_interval_and_every_subject_a_name(tmp_path: Path) -> None:
    found = metrics(accuracy_run(), tmp_path)
    assert found["accuracy"]["value"] == 0.5
    assert found["accuracy"]["unit"] == "ratio"
    assert found["accuracy"]["better"] == "higher"
    # Wilson for 4 of 8: 0.5 -+ 1.96 * sqrt(0.25/8 + 1.96^2/256) / (1 + 1.96^2/8)
    assert found["accuracy"]["low"] == pytest.approx(0.2152, abs=1e-4)
    assert found["accuracy"]["high"] == pytest.approx(0.7848, abs=1e-4)
    assert found["accuracy.subject.logic"]["value"] == 0.2
    assert found["accuracy.category.Other"]["value"] == 0.5
    assert (found["questions"]["value"], found["no_answer"]["value"]) == (8, 2)
    assert found["failed_questions"]["better"] == "lower"
    assert found["load_s"] == {"value": 2.0, "unit": "s", "better": "lower", "low": None, "high": None}


def test_numbers_of_an_invalid_run_are_unknown_and_its_failures_counted(tmp_path: Path) -> None:
    found = metrics(accuracy_run(error="bad"), tmp_path)
    assert found["accuracy"]["value"] is None
    assert found["accuracy"]["low"] is None
    assert found["accuracy.subject.law"]["value"] is None
    assert found["failed_questions"]["value"] == 1


def test_every_latency_metric_of_every_case_is_there(tmp_path: Path) -> None:
    found = metrics(performance_run(), tmp_path)
    tpot = found["tpot_ms.8x3.batch2"]
    assert (tpot["value"], tpot["unit"], tpot["better"]) == (10, "ms", "lower")
    assert tpot["low"] <= 10 <= tpot["high"]
    assert found["output_tokens_per_s.8x3.batch2"]["better"] == "higher"
    assert found["ttft_ms.16x2.batch2"]["value"] == 196
    assert found["peak_memory_bytes.8x3.batch2"]["value"] == 5000


def test_an_invalid_case_keeps_its_names_without_numbers(tmp_path: Path) -> None:
    found = metrics(out_of_memory_run(), tmp_path)
    assert found["tpot_ms.8x3.batch4"]["value"] is None
    assert found["tpot_ms.8x3.batch2"]["value"] == 10


def test_a_search_is_named_by_its_limit(tmp_path: Path) -> None:
    found = metrics(max_batch_run(), tmp_path)
    assert found["max_batch.8x3.within_10_ms"]["value"] == 2
    assert found["max_batch_latency_ms.8x3.within_10_ms"]["value"] == pytest.approx(8)


def test_metrics_of_a_harness_keep_its_direction(tmp_path: Path) -> None:
    given = (
        HarnessMetric("wikitext", "none", "perplexity", 12.5, None, False, 0, 10, "1"),
        HarnessMetric("odd", "none", "count", 3.0, None, None, 0, 10, "1"),
    )
    summary = HarnessSummary("lm-eval", "0.4", given)
    found = metrics(run_result(performance_run().spec, summary=summary), tmp_path)
    assert found["harness.wikitext.perplexity.none"]["better"] == "lower"
    assert found["harness.odd.count.none"]["better"] is None


def test_names_are_the_same_whatever_the_numbers_are(tmp_path: Path) -> None:
    usage = EngineUsage(peak_memory_bytes=7)
    sound, failed = accuracy_run(), replace(accuracy_run(error="bad"), usage=usage)
    assert list(metrics(sound, tmp_path)) == list(metrics(failed, tmp_path))


def test_it_is_a_report_of_runs_that_found_anything(tmp_path: Path) -> None:
    report = MetricsJson()
    assert isinstance(report, Report)
    assert report.accepts(accuracy_run())
    assert not report.accepts(replace(accuracy_run(), summary=None))
    jsonschema.Draft202012Validator.check_schema(schema("metrics"))
