from dataclasses import replace
from pathlib import Path

from timed_runs import MODEL, performance_run, performance_spec, read_valid, run_result

from modeltest.api import (
    Case,
    DatasetInfo,
    FirstDifference,
    PrecisionOutput,
    PrecisionSummary,
    PromptSource,
    Report,
    RunResult,
    TaskOptions,
    Verdict,
)
from reports.csv.token_latency import TokenLatencyCsv
from reports.json.performance import PerformanceJson
from reports.json.precision import PrecisionJson

SOUND = PrecisionOutput(
    Case(8, 3), 2, 0, (5, 6), (7, 8, 9), (-0.5, -1.0, -2.0), "abc", 2, 0, None, Verdict.VALID, ()
)
BROKEN = replace(
    SOUND,
    batch_size=4,
    rows_that_differ=1,
    first_difference=FirstDifference(3, 2, 9, None),
    verdict=Verdict.INVALID,
    reasons=("rows differ",),
)


def precision_run(*outputs: PrecisionOutput) -> RunResult:
    spec = replace(
        performance_spec(2, 4),
        mode="precision_single",
        task="precision_single",
        options=TaskOptions(prompt_input="[5,6]"),
    )
    return run_result(spec, summary=PrecisionSummary(outputs))


def test_it_is_a_report_of_precision_runs_only() -> None:
    assert isinstance(PrecisionJson(), Report)
    assert PrecisionJson().accepts(precision_run(SOUND))
    assert not PrecisionJson().accepts(performance_run())
    assert PrecisionJson().write(performance_run(), Path("nowhere")) == ()


def test_an_output_has_its_tokens_text_and_first_difference(tmp_path: Path) -> None:
    (path,) = PrecisionJson().write(precision_run(SOUND, BROKEN), tmp_path)
    content = read_valid(path, "precision")
    sound, broken = content["outputs"]
    assert sound == {
        "input_tokens": 8,
        "output_tokens": 3,
        "batch_size": 2,
        "prompt": 0,
        "verdict": "VALID",
        "reasons": [],
        "reason_codes": [],
        "rows": 2,
        "rows_that_differ": 0,
        "first_difference": None,
        "prompt_token_ids": [5, 6],
        "output_token_ids": [7, 8, 9],
        "output_logprobs": [-0.5, -1.0, -2.0],
        "text": "abc",
    }
    assert broken["first_difference"] == {"row": 3, "token_index": 2, "expected": 9, "found": None}
    assert content["prompts"] == {
        "source": "given",
        "dataset": None,
        "padding": None,
        "batch_group": None,
        "chat": False,
    }
    assert content["model"]["fingerprint"] == MODEL.fingerprint


def test_an_output_that_was_not_measured_is_valid_json(tmp_path: Path) -> None:
    absent = replace(
        BROKEN, prompt_tokens=(), output_tokens=(), logprobs=None, text=None, rows=0, first_difference=None
    )
    (path,) = PrecisionJson().write(replace(precision_run(absent), engine=None), tmp_path)
    assert read_valid(path, "precision")["outputs"][0]["text"] is None


def test_outputs_are_no_latencies() -> None:
    result = replace(performance_run(), summary=PrecisionSummary((SOUND,)))
    assert not TokenLatencyCsv().accepts(result)


def test_the_dataset_of_a_timed_run_is_in_performance_json(tmp_path: Path) -> None:
    result = performance_run()
    options = TaskOptions(prompt_source=PromptSource("gsm8k", True, None))
    dataset = DatasetInfo("gsm8k", "full", "/data/gsm8k", "0" * 64, False, 9, 1)
    run = replace(result, spec=replace(result.spec, options=options), dataset=dataset)
    (path,) = PerformanceJson().write(run, tmp_path)
    content = read_valid(path, "performance")
    assert content["prompts"] == {
        "source": "dataset",
        "dataset": {
            "name": "gsm8k",
            "split": "full",
            "sha256": "0" * 64,
            "official": False,
            "records": 9,
            "subjects": 1,
        },
        "padding": True,
        "batch_group": None,
        "chat": False,
    }
    assert [case["prompts"] for case in content["cases"]] == [None, None]
