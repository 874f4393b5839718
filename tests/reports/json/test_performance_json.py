from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from timed_runs import max_batch_run, out_of_memory_run, performance_run, read_valid, schema

from modeltest.api import METRIC_DEFINITIONS, Report, RunResult
from reports.json.performance import PerformanceJson


def _content(result: RunResult, directory: Path) -> dict[str, object]:
    (path,) = PerformanceJson().write(result, directory)
    assert path == directory / "performance.json"
    return read_valid(path, "performance")


def test_a_case_has_its_shape_verdict_and_distributions(tmp_path: Path) -> None:
    content = _content(performance_run(), tmp_path)
    first, second = content["cases"]  # type: ignore[misc]
    assert (first["input_tokens"], first["output_tokens"], first["batch_size"]) == (8, 3, 2)  # type: ignore[has-type]
    assert (first["trials"], first["warmup_trials"], first["verdict"]) == (3, 2, "VALID")  # type: ignore[has-type]
    assert first["peak_memory_bytes"] == 5000  # type: ignore[has-type]
    assert first["peak_host_memory_bytes"] == 7000  # type: ignore[has-type]
    assert first["overhead"]["bare_trials"] == 1  # type: ignore[has-type]
    assert first["overhead"]["fraction"] == pytest.approx(120 / 119.4 - 1)  # type: ignore[has-type]
    assert (first["overhead"]["low"], first["achieved"]) == (None, None)  # type: ignore[has-type]
    assert set(first["drift"]) == {"tpot_ms", "ttft_ms", "e2e_s"}  # type: ignore[has-type]
    metrics = first["metrics"]  # type: ignore[has-type]
    assert metrics["tpot_ms"]["median"] == 10.0
    assert metrics["tpot_ms"]["minimum"] == 9.9
    assert metrics["ttft_ms"]["mad"] == 1.0
    assert metrics["e2e_s"]["median"] == 0.12
    assert metrics["output_tokens_per_s"]["median"] == 50.0
    assert second["metrics"]["e2e_s"]["median"] == 0.2  # type: ignore[has-type]
    assert content["max_batch"] == []


def test_units_and_formulas_are_those_of_the_metrics(tmp_path: Path) -> None:
    expected = {each.name: {"unit": each.unit, "formula": each.formula} for each in METRIC_DEFINITIONS}
    assert _content(performance_run(), tmp_path)["metrics"] == expected


def test_metrics_of_a_plug_in_are_written_without_a_definition(tmp_path: Path) -> None:
    result = performance_run()
    (case, _) = result.summary.cases  # type: ignore[union-attr]
    own = replace(case, metrics={"joules": case.metrics["tpot_ms"]})  # type: ignore[type-var, union-attr, call-arg]
    content = _content(replace(result, summary=replace(result.summary, cases=(own,))), tmp_path)  # type: ignore[type-var, arg-type]
    assert content["metrics"] == {}
    assert list(content["cases"][0]["metrics"]) == ["joules"]  # type: ignore[index]


def test_a_batch_out_of_memory_stays_with_its_reason(tmp_path: Path) -> None:
    content = _content(out_of_memory_run(), tmp_path)
    cases = {(case["input_tokens"], case["batch_size"]): case for case in content["cases"]}  # type: ignore[attr-defined]
    assert cases[8, 4]["verdict"] == "INVALID"
    assert cases[8, 4]["reasons"] == ["warmup trial 0: batch 4 ran out of memory"]
    assert cases[8, 4]["metrics"]["tpot_ms"] == {
        "n": 0,
        **dict.fromkeys(
            (
                *("median", "mean", "sd", "cv", "mad", "minimum", "maximum"),
                *("low", "high", "p90", "p95", "p99"),
            )
        ),
    }
    assert content["verdict"] == "INVALID"


def test_a_search_has_answer_probes_and_measurements(tmp_path: Path) -> None:
    content = _content(max_batch_run(), tmp_path)
    (search,) = content["max_batch"]  # type: ignore[misc]
    assert content["cases"] == []
    assert (search["status"], search["max_batch"], search["bound"]) == ("FOUND", 2, 3)  # type: ignore[has-type]
    assert search["latency_ms"] == pytest.approx(8)  # type: ignore[has-type]
    assert 8 < search["high_ms"] < 10  # type: ignore[has-type]
    assert search["reason"] == "batch 3 exceeds the limit of 10 ms"  # type: ignore[has-type]
    assert (search["lowest"], search["highest"], search["limit_ms"]) == (1, 8, 10.0)  # type: ignore[has-type]
    decisions = {probe["batch_size"]: probe["decision"] for probe in search["probes"]}  # type: ignore[has-type]
    assert decisions == {1: "PASS", 4: "OUT_OF_MEMORY", 2: "PASS", 3: "FAIL"}
    answer = search["probes"][2]  # type: ignore[has-type]
    assert answer["is_certified"]
    assert set(answer["trials_ms"]) == {8.0}
    assert answer["low_ms"] < 8 < answer["high_ms"] == search["high_ms"]
    assert search["probes"][1]["latency_ms"] is None  # type: ignore[has-type]
    assert [case["batch_size"] for case in search["measured"]] == [1, 4, 2, 3]  # type: ignore[has-type]


def test_a_search_without_an_answer_has_null(tmp_path: Path) -> None:
    (search,) = _content(max_batch_run(feasible=False), tmp_path)["max_batch"]  # type: ignore[misc]
    assert (search["status"], search["max_batch"]) == ("NONE_FEASIBLE", None)  # type: ignore[has-type]


def test_the_engine_really_used_is_told_apart_from_the_word(tmp_path: Path) -> None:
    content = _content(performance_run(engine="pa_fp16"), tmp_path)
    assert content["run"]["engine_word"] == "pa_fp16"  # type: ignore[index]
    assert content["engine"]["name"] == "hf"  # type: ignore[index]
    assert content["engine"]["notes"] == ["one thread"]  # type: ignore[index]


def test_a_run_without_engine_and_verdict_is_still_of_the_schema(tmp_path: Path) -> None:
    content = _content(replace(performance_run(), engine=None, verdict=None, adapter=None), tmp_path)
    assert content["engine"] is None
    assert content["verdict"] is None


def test_it_is_a_report_that_takes_timed_runs_only(tmp_path: Path) -> None:
    report = PerformanceJson()
    assert isinstance(report, Report)
    assert report.accepts(performance_run())
    assert report.accepts(max_batch_run())
    assert not report.accepts(replace(performance_run(), summary=None))
    assert report.write(replace(performance_run(), summary=None), tmp_path) == ()


def test_the_schema_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(schema("performance"))
    content = _content(performance_run(), tmp_path)
    content["cases"][0]["surprise"] = 1  # type: ignore[index]
    with pytest.raises(jsonschema.ValidationError, match="surprise"):
        jsonschema.Draft202012Validator(schema("performance")).validate(content)
