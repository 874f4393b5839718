import json
import math

import pytest

from modeltest.api import Finding, FindingCode, HarnessMetric, ModelTestError, Verdict
from modeltest.lm_eval.results import RESULTS_FILE, read_summary, summarize
from modeltest.run.ending.finish import judge

RESULTS = {
    "results": {
        "arc": {
            "alias": "arc",
            "name": "arc",
            "sample_len": 8,
            "acc,none": 0.25,
            "acc_stderr,none": 0.125,
            "exact_match,strict": 1,
            "exact_match_stderr,strict": "N/A",
        },
        "wiki": {"alias": "wiki", "word_perplexity,none": math.inf, "word_perplexity_stderr,none": math.nan},
    },
    "versions": {"arc": 1.0},
    "n-shot": {"arc": 5},
    "higher_is_better": {"arc": {"acc": True}, "wiki": {"word_perplexity": False}},
    "lm_eval_version": "0.4.13",
}


def test_every_metric_of_every_filter_is_taken():
    summary = summarize(RESULTS)
    assert (summary.harness, summary.version) == ("lm-eval", "0.4.13")
    assert summary.metrics == (
        HarnessMetric("arc", "none", "acc", 0.25, 0.125, True, 5, 8, "1.0"),
        HarnessMetric("arc", "strict", "exact_match", 1.0, None, None, 5, 8, "1.0"),
        HarnessMetric("wiki", "none", "word_perplexity", None, None, False, None, None, None),
    )


def test_no_metric_at_all_is_invalid():
    assert judge(summarize(RESULTS)) == (Verdict.VALID, ())
    verdict, (reason,) = judge(summarize({"results": {}}))
    assert verdict is Verdict.INVALID
    assert reason == Finding(FindingCode.NO_METRIC)


def test_the_file_is_read_as_its_package_writes_it(tmp_path):
    (tmp_path / RESULTS_FILE).write_text(json.dumps(RESULTS))  # with NaN and Infinity, as Python has them
    assert read_summary(tmp_path) == summarize(RESULTS)


def test_a_run_without_results_did_not_end(tmp_path):
    with pytest.raises(ModelTestError, match="did not come to its end"):
        read_summary(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"results": 1}', "{}"])
def test_another_file_under_that_name_is_said_to_be_one(tmp_path, content):
    (tmp_path / RESULTS_FILE).write_text(content)
    with pytest.raises(ModelTestError, match="does not hold results of lm-eval"):
        read_summary(tmp_path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"lm_eval_version": "\ud800"},
        {"n-shot": {"arc": math.nan}},
        {"n-shot": {"arc": True}},
        {"higher_is_better": {"arc": {"acc": 1}}},
    ],
)
def test_a_value_that_is_none_of_its_kind_is_refused(tmp_path, wrong):
    (tmp_path / RESULTS_FILE).write_text(json.dumps({**RESULTS, **wrong}))
    with pytest.raises(ModelTestError, match="does not hold results of lm-eval"):
        read_summary(tmp_path)


def test_true_and_numbers_beyond_all_floats_are_no_numbers(tmp_path):
    text = json.dumps({**RESULTS, "results": {"arc": {"acc,none": True, "f1,none": 0}}}).replace(
        ": 0}", ": 1e999}"
    )
    (tmp_path / RESULTS_FILE).write_text(text)
    assert [each.value for each in read_summary(tmp_path).metrics] == [None, None]
