from dataclasses import replace

import pytest
from shown_results import ACCURACY, CASE, RESULT, SEARCH

from modeltest.api import MaxBatchSummary, PerformanceSummary
from modeltest.tables import headline, title_of


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        (ACCURACY, "accuracy 75.00% (6/8)"),
        (PerformanceSummary((CASE,)), "64x32 batch 4: TTFT - ms, TPOT 2.5 ms"),
        (
            MaxBatchSummary((SEARCH,)),
            "64x32: max batch 3 (FOUND) within 20 ms, batch 4 exceeds the limit of 20 ms",
        ),
        (None, "complete"),
    ],
)
def test_the_headline_is_one_line(summary, expected):
    assert headline(replace(RESULT, summary=summary)) == expected


def test_the_title_names_quantised_weights():
    assert title_of(RESULT) == "full_CEval, 5 shots: llama2_7b with hf on cpu in float32"
    quantised = replace(RESULT, model=replace(RESULT.model, quantize="w8a8"))
    assert title_of(quantised) == "full_CEval, 5 shots: llama2_7b, w8a8 weights, with hf on cpu in float32"
