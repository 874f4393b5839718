from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from timed_runs import performance_run, read_valid, run_result, schema

from modeltest.api import (
    AccuracySummary,
    Completion,
    DatasetInfo,
    EngineUsage,
    Report,
    RunResult,
    RunSpec,
    Sample,
    Score,
    TaskOptions,
    Verdict,
)
from modeltest.statistics import proportion
from reports.json.accuracy import AccuracyJson

_DATASET = DatasetInfo("ceval", "full", "/data/ceval", "a" * 64, official=True, records=8, subjects=2)


def _summary() -> AccuracySummary:
    return AccuracySummary(
        micro=proportion(5, 8),
        macro=0.6,
        subjects={"law": proportion(3, 3), "logic": proportion(1, 5)},
        categories={"Other": proportion(5, 8)},
        groups={"C-Eval Hard": proportion(0, 0)},
        failed=1,
        no_answer=2,
        truncated=3,
        dropped_shots=4,
        cut_prompts=6,
        near_ties=("law/1", "logic/0"),
        near_tie_margin=0.01,
        prompts_sha256="b" * 64,
    )


def _run(summary: AccuracySummary | None = None) -> RunResult:
    spec = RunSpec(
        engine="pa_fp16",
        mode="full_CEval",
        task="ceval",
        model="gpt2",
        weights="W",
        options=TaskOptions(shots=5),
    )
    result = run_result(spec, summary=summary or _summary())
    return replace(
        result,
        dataset=_DATASET,
        protocol_version="2",
        verdict=Verdict.INVALID,
        reasons=("1 of 8 questions failed",),
    )


def test_the_headline_and_its_uncertainty_stand_first(tmp_path: Path) -> None:
    (path,) = AccuracyJson().write(_run(), tmp_path)
    content = read_valid(path, "accuracy")
    assert path.name == "accuracy.json"
    assert list(content)[:4] == ["format_version", "accuracy", "standard_error", "interval_95"]
    assert content["accuracy"] == 0.625
    assert content["standard_error"] == pytest.approx((0.625 * 0.375 / 8) ** 0.5)
    assert content["interval_95"] == [content["micro"]["low"], content["micro"]["high"]]
    assert (content["correct"], content["total"], content["macro"]) == (5, 8, 0.6)


def test_quantised_weights_are_named_with_the_dtype_they_ran_in(tmp_path: Path) -> None:
    run = _run()
    run = replace(
        run, model=replace(run.model, quantize="w8a8"), engine=replace(run.engine, dtype="bfloat16")
    )
    (path,) = AccuracyJson().write(run, tmp_path)
    assert read_valid(path, "accuracy")["model"]["precision"] == "bf16_w8a8"
    (path,) = AccuracyJson().write(
        replace(run, engine=None, spec=replace(run.spec, dtype="float16")), tmp_path
    )
    assert read_valid(path, "accuracy")["model"]["precision"] == "fp16_w8a8"


def test_what_went_wrong_is_counted_by_kind(tmp_path: Path) -> None:
    content = read_valid(AccuracyJson().write(_run(), tmp_path)[0], "accuracy")
    kinds = ("failed", "no_answer", "truncated", "dropped_shots", "cut_prompts")
    assert [content[kind] for kind in kinds] == [1, 2, 3, 4, 6]
    assert content["near_ties"] == {"margin": 0.01, "count": 2, "ids": ["law/1", "logic/0"]}
    assert (content["verdict"], content["reasons"]) == ("INVALID", ["1 of 8 questions failed"])


def test_it_says_what_to_compare_and_reproduce_by(tmp_path: Path) -> None:
    content = read_valid(AccuracyJson().write(_run(), tmp_path)[0], "accuracy")
    assert content["protocol"] == {
        "name": "modeltest",
        "version": "2",
        "shots": 5,
        "chat": False,
        "prompts_sha256": "b" * 64,
    }
    assert content["dataset"]["sha256"] == "a" * 64
    assert content["dataset"]["official"] is True
    assert content["model"]["fingerprint"] == "f" * 64
    assert (content["engine"]["adapter"], content["engine"]["device"]) == ("hf", "cpu")
    assert content["run"]["engine_word"] == "pa_fp16"


def test_subjects_categories_and_groups_are_proportions(tmp_path: Path) -> None:
    content = read_valid(AccuracyJson().write(_run(), tmp_path)[0], "accuracy")
    assert content["subjects"]["logic"]["accuracy"] == 0.2
    assert content["categories"]["Other"]["correct"] == 5
    assert content["groups"]["C-Eval Hard"]["accuracy"] is None


def test_a_run_without_questions_has_unknowns_not_zeros(tmp_path: Path) -> None:
    empty = replace(_summary(), micro=proportion(0, 0), macro=None, subjects={}, near_ties=())
    result = replace(_run(empty), dataset=None, engine=None, usage=None)
    content = read_valid(AccuracyJson().write(result, tmp_path)[0], "accuracy")
    assert (content["accuracy"], content["interval_95"], content["macro"]) == (None, None, None)
    assert (content["engine"], content["dataset"]) == (None, None)


def test_it_is_a_report_that_takes_accuracy_runs_only(tmp_path: Path) -> None:
    report = AccuracyJson()
    assert isinstance(report, Report)
    assert report.accepts(_run())
    assert not report.accepts(performance_run())
    assert not report.accepts(replace(_run(), summary=None))
    assert report.write(performance_run(), tmp_path) == ()
    assert list(tmp_path.iterdir()) == []


def test_equal_results_give_equal_bytes(tmp_path: Path) -> None:
    (first,) = AccuracyJson().write(_run(), tmp_path)
    before = first.read_bytes()
    AccuracyJson().write(_run(), tmp_path)
    assert first.read_bytes() == before


def test_samples_are_not_read(tmp_path: Path) -> None:
    class Untouchable:
        def __iter__(self) -> None:
            raise AssertionError("the summary has everything")

    sample = Sample(Score("law/0", "law", "Other", "A"), Completion("law/0"), "c" * 64)
    with_samples = replace(_run(), samples=[sample])
    without = replace(_run(), samples=Untouchable())  # type: ignore[arg-type]
    assert AccuracyJson().write(with_samples, tmp_path) == AccuracyJson().write(without, tmp_path)


def test_the_schema_is_sound_strict_and_describes_every_field() -> None:
    jsonschema.Draft202012Validator.check_schema(schema("accuracy"))
    _assert_strict(schema("accuracy"))
    _assert_strict(schema("performance"))


def _assert_strict(node: object) -> None:
    if isinstance(node, list):
        for item in node:
            _assert_strict(item)
    if not isinstance(node, dict):
        return
    if "properties" in node:
        assert node["additionalProperties"] is False
        for name, field in node["properties"].items():
            assert field.get("description"), f"{name} is not described"
    for item in node.values():
        _assert_strict(item)


def test_the_share_of_the_time_inside_the_model_is_told(tmp_path: Path) -> None:
    usage = EngineUsage(forward_s=9.5, forward_calls=3, computed_tokens=70, reused_tokens=30)
    result = replace(_run(), usage=usage, timing_s={"load": 2.0, "run": 10.0})
    content = read_valid(AccuracyJson().write(result, tmp_path)[0], "accuracy")
    assert content["usage"]["forward_share"] == 0.95
    assert content["usage"]["load_s"] == 2.0
    assert content["usage"]["padding_tokens"] is None


def test_without_a_finished_engine_there_is_no_usage(tmp_path: Path) -> None:
    (path,) = AccuracyJson().write(replace(_run(), usage=None), tmp_path)
    assert read_valid(path, "accuracy")["usage"] is None
