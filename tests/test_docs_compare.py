"""docs/compare.md says what the code does: limits, options, categories, and the numbers of its examples."""

import json
from math import sqrt
from statistics import NormalDist

from doc_blocks import ROOT, names_in, section, table_rows

from modeltest import registry, rounding
from modeltest.api import GateOutcome
from modeltest.cli.compare import compare
from modeltest.compare import divergence, resampling, tolerances
from modeltest.compare.calibration import FEWEST_SESSIONS, LEAST_TOLERANCE, RISK
from modeltest.compare.comparable import ALLOWABLE
from modeltest.compare.paired import POWER, mcnemar_p_value, paired_interval, questions_needed

DOC = ROOT / "docs" / "compare.md"
TEXT = " ".join(DOC.read_text(encoding="utf-8").split())


def test_every_outcome_and_every_category_is_documented():
    assert [row[0] for row in table_rows(DOC.read_text(encoding="utf-8"))[:3]] == [
        each.value for each in GateOutcome
    ]
    rows = table_rows(section(DOC, "What cannot be compared"))
    assert tuple(name for row in rows for name in names_in(row[0])) == ALLOWABLE


def test_every_option_in_the_table_of_gates_is_one_and_every_gate_is_in_the_help():
    options = {name for parameter in compare.params for name in parameter.opts}
    for row in table_rows(section(DOC, "Which gates there are")):
        assert f"\n  {names_in(row[0])[0]} " in compare.epilog
        for option in names_in(row[3]):
            assert option.split()[0] in options


def _limits(cells):
    near_tie, mean_kl, flips = cells
    return rounding.Resolution(float(near_tie), float(mean_kl), float(flips.removesuffix(" %")) / 100)


def test_limits_are_those_of_the_code():
    assert f"drops by more than {tolerances.MAX_DROP * 100:g} percentage points" in TEXT
    assert f"more than {tolerances.MAX_WIDE_FLIPS * 100:g} % of the questions" in TEXT
    rows = {row[0]: row[1:] for row in table_rows(section(DOC, "Answers and their margins"))}
    for dtype, found in rounding.RESOLUTIONS.items():
        assert _limits(rows[dtype]) == found
    assert _limits(rows["quantised, others"]) == rounding.COARSEST
    assert f"{divergence.CRITERION_MAX:g} for every token" in TEXT
    assert f"above {divergence.CRITERION_RARE:.4f} for at most {divergence.CRITERION_SHARE * 100:g} %" in TEXT
    ttft, tpot, e2e = (tolerances.FLOORS[name] for name in ("ttft_ms", "tpot_ms", "e2e_s"))
    assert f"{ttft:g} ms of TTFT, {tpot:g} ms of TPOT, {e2e * 1000:g} ms of E2E" in TEXT
    assert f"comes from {resampling.RESAMPLES} bootstrap samples" in TEXT
    assert f"The default of {tolerances.RELATIVE_TOLERANCE * 100:g} % is a guess" in TEXT
    assert f"more than it with a probability of {RISK * 100:g} %" in TEXT
    assert f"nor than {LEAST_TOLERANCE * 100:g} %" in TEXT
    assert f"probability of {POWER * 100:.0f} %" in TEXT
    assert FEWEST_SESSIONS <= 6


def test_the_numbers_of_the_examples_are_right():
    assert f"p = {mcnemar_p_value(20, 4):.4f} in pairs" in TEXT
    unpaired = 2 * NormalDist().cdf(-(16 / 500) / sqrt(2 * 0.7 * 0.3 / 500))
    assert f"at an accuracy of 70 %, p = {unpaired:.2f}" in TEXT
    assert f"on 500 questions ±{paired_interval(0, 0, 500, confidence=0.95).high * 100:.2f} %" in TEXT
    needed = questions_needed(0, 0, 500, max_drop=0.005, confidence=0.95)
    assert f"at least {needed} questions to exclude 0.5 %" in TEXT


def test_every_report_is_documented_and_the_schema_is_there():
    rows = table_rows(section(DOC, "Output"))
    documented = {name for row in rows for name in names_in(row[0])}
    assert documented == {report.file_name for report in registry.comparison_reports()}
    schema = json.loads((ROOT / "modeltest/schemas/comparison.schema.json").read_text(encoding="utf-8"))
    assert schema["title"] == "comparison.json of ModelTest"
