import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from timed_runs import max_batch_run, out_of_memory_run, performance_run, run_result

from modeltest.api import (
    Completion,
    OnRequest,
    PrecisionSummary,
    Report,
    RunResult,
    RunSpec,
    Sample,
    Score,
    Verdict,
)
from modeltest.summary import summarize_accuracy
from modeltest.tasks.performance import Performance
from reports.legacy.report import Legacy

_HEADER = (
    "batch_size,input_seq_len(Encoding),output_seq_len(Decoding),ResponseTime(s),"
    "forward_first_token_time(ms),forward_next_token_time(ms),pre_next_token_time(ms),"
    "post_next_token_time_post(ms)"
)
_SUBJECTS = {
    "physics": {"category": "STEM", "hard": "true"},
    "law": {"category": "Humanities"},
}


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _sample(request_id: str, expected: str, predicted: str | None) -> Sample:
    subject = request_id.partition("/")[0]
    score = Score(
        request_id,
        subject,
        _SUBJECTS[subject]["category"],
        expected,
        predicted,
        correct=predicted == expected,
        no_answer=predicted is None,
    )
    return Sample(score, Completion(request_id), "d" * 64)


def _accuracy_run(samples: Sequence[Sample]) -> RunResult:
    spec = RunSpec("hf_fp32", "full_CEval", "ceval", "gpt2", "W")
    summary = summarize_accuracy(samples, _SUBJECTS, groups={"C-Eval Hard": "hard"})
    return replace(run_result(spec, summary=summary), samples=samples)


SAMPLES = (
    _sample("law/0", "B", "B"),
    _sample("physics/10", "A", "A"),
    _sample("physics/9", "C", None),
    _sample("physics/0", "D", "A"),
)


def test_a_timed_run_gives_one_table_per_batch_size_with_the_eight_columns(tmp_path: Path) -> None:
    (path,) = Legacy().write(performance_run(), tmp_path)
    assert path.name == "performance_test_npu_gpt2_bs2.csv"
    # medians of 8x3: E2E 0.12 s, prefill 100 ms, 10 ms a token; of 16x2: 0.2 s, 196 ms, 4 ms
    assert _lines(path) == [_HEADER, "2,8,3,0.12,100.0,10.0,,", "2,16,2,0.2,196.0,4.0,,"]


def test_the_times_of_a_row_make_up_the_whole(tmp_path: Path) -> None:
    (path,) = Legacy().write(performance_run(), tmp_path)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            steps = int(row["output_seq_len(Decoding)"]) - 1
            parts_ms = float(row["forward_first_token_time(ms)"])
            parts_ms += steps * float(row["forward_next_token_time(ms)"])
            assert parts_ms / 1000 == pytest.approx(float(row["ResponseTime(s)"]))


def test_what_no_run_can_tell_is_empty_and_not_zero(tmp_path: Path) -> None:
    (path,) = Legacy().write(performance_run(), tmp_path)
    assert all(line.endswith(",,") for line in _lines(path)[1:])


def test_a_case_that_is_invalid_has_a_row_without_times(tmp_path: Path) -> None:
    paths = Legacy().write(out_of_memory_run(), tmp_path)
    assert [path.name for path in paths] == [f"performance_test_npu_gpt2_bs{size}.csv" for size in (2, 4)]
    assert _lines(paths[1])[1:] == ["4,8,3,,,,,", "4,16,2,,,,,"]


def test_the_batch_sizes_measured_by_a_search_have_tables(tmp_path: Path) -> None:
    paths = Legacy().write(max_batch_run(), tmp_path)
    rows = {path.name: _lines(path)[1] for path in paths}
    assert rows["performance_test_npu_gpt2_bs2.csv"] == "2,8,3,0.056,40.0,8.0,,"


def test_a_model_is_named_as_a_file_can_be(tmp_path: Path) -> None:
    run = performance_run()
    (path,) = Legacy().write(replace(run, model=replace(run.model, name="my model/v2")), tmp_path)
    assert path.name == "performance_test_npu_my-model-v2_bs2.csv"


def test_a_run_whose_times_may_not_be_used_is_refused_with_the_reason() -> None:
    spec = performance_run().spec
    nothing = run_result(spec, summary=Performance().summarize_measurements([], spec))
    nothing = replace(nothing, verdict=Verdict.INVALID, reasons=("8x3 batch 2: no trial",))
    assert Legacy().refusal(nothing) == "no case has times that may be used; 8x3 batch 2: no trial"
    assert not Legacy().accepts(nothing)


def test_an_accuracy_run_gives_the_folder_of_answers_and_accuracies(tmp_path: Path) -> None:
    paths = Legacy().write(_accuracy_run(SAMPLES), tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        "test_result/cache0.csv",
        "test_result/result_0_classes_acc.json",
        "test_result/result_0_subject_acc.json",
    ]


def test_answers_stand_in_the_order_of_the_questions_without_a_header(tmp_path: Path) -> None:
    answers = Legacy().write(_accuracy_run(SAMPLES), tmp_path)[0]
    # column C is the right answer, column D the one given, -1 where none could be read
    assert _lines(answers) == ["physics,0,D,A", "physics,9,C,-1", "physics,10,A,A", "law,0,B,B"]


def test_accuracies_are_by_class_and_by_subject(tmp_path: Path) -> None:
    _, classes, subjects = Legacy().write(_accuracy_run(SAMPLES), tmp_path)
    assert json.loads(classes.read_text(encoding="utf-8")) == {
        "STEM": pytest.approx(1 / 3),
        "Humanities": 1.0,
        "Avg": 0.5,
        "Avg(Hard)": pytest.approx(1 / 3),
    }
    assert json.loads(subjects.read_text(encoding="utf-8")) == {"physics": pytest.approx(1 / 3), "law": 1.0}


def test_the_accuracies_are_those_of_the_answers(tmp_path: Path) -> None:
    answers, _, subjects = Legacy().write(_accuracy_run(SAMPLES), tmp_path)
    right: dict[str, list[bool]] = {}
    with answers.open(encoding="utf-8", newline="") as file:
        for subject, _, expected, given in csv.reader(file):
            right.setdefault(subject, []).append(expected == given)
    assert json.loads(subjects.read_text(encoding="utf-8")) == {
        subject: sum(each) / len(each) for subject, each in right.items()
    }


def test_an_invalid_accuracy_run_is_refused_since_the_files_could_not_say_so() -> None:
    run = replace(
        _accuracy_run(SAMPLES), verdict=Verdict.INVALID, reasons=("1 of 4 questions failed", "cut short")
    )
    assert Legacy().refusal(run) == (
        "the run is INVALID, which these files cannot say: 1 of 4 questions failed; cut short"
    )


def test_a_run_of_another_kind_is_refused_with_the_reason() -> None:
    spec = replace(performance_run().spec, task="precision_single")
    run = run_result(spec, summary=PrecisionSummary(()))
    assert Legacy().refusal(run) == "a run of precision_single has neither scored answers nor times of tokens"


def test_it_is_written_on_request_only() -> None:
    assert isinstance(Legacy(), Report)
    assert isinstance(Legacy(), OnRequest)
