"""The simulations of docs/acceptance.md: their script runs, and the document shows what it tells."""

import json

import numpy as np
import pytest
import sequential_errors
from doc_blocks import ROOT, section, table_rows
from sequential_twin.rows import decided, share
from sequential_twin.sides import MeanSide, Sides, decide

from modeltest.sequential import MeanNull, Side, signed_betting
from modeltest.sequential.evidence import any_of
from modeltest.sequential.mean_test import MeanTest

DOC = ROOT / "docs" / "acceptance.md"
SEEDS = 20_000
NOISE = 0.003
"""Four standard deviations of a share of 1 % of 20,000."""


def documented():
    return [row[:3] for row in table_rows(section(DOC, "Simulated errors"))]


def test_the_script_tells_rows_that_the_document_has(capsys, tmp_path):
    file = tmp_path / "figures.json"
    sequential_errors.main(["--seeds", "4", "--only", "rate", "--json", str(file)])
    rows = json.loads(file.read_text(encoding="utf-8"))
    assert {row["seeds"] for row in rows} == {4}
    assert "| rate of 0.2 % or 1.5 % | 40 % |" in capsys.readouterr().out
    for row in rows:
        assert [row["test"], row["candidate"], f"{row['population']:,}"] in documented()


def test_no_error_in_the_document_is_larger_than_its_claim():
    rows = table_rows(section(DOC, "Simulated errors"))
    claims = [(float(row[7].rstrip(" %")), float(row[8].rstrip(" %"))) for row in rows if row[8]]
    assert len(claims) > 15
    assert all(wrong <= allowed + 100 * NOISE for wrong, allowed in claims)


def test_paths_that_never_decide_count_as_the_slowest():
    assert decided(np.array([5, 7, 0, 3])) == (7.0, None)
    assert share(np.array([5, 7, 0, 3])) == 0.75


@pytest.mark.parametrize("to_the_end", [True, False])
def test_sides_speak_when_the_tests_of_the_product_do(to_the_end):
    paths, most, risk = 4, 60, 0.05
    random = np.random.default_rng(3)
    values = random.choice([-0.5, 0.0, 0.25, 1.0], size=(paths, most))
    nulls = [MeanNull(-0.2, 80, -1.0, 1.0), MeanNull(0.4, 80, -1.0, 1.0, Side.LESS)]
    outside = [MeanNull(0.1, 80, -1.0, 1.0), MeanNull(-0.1, 80, -1.0, 1.0, Side.LESS)]
    bets = [signed_betting(each, 1.0) for each in (0.1, 0.1, 0.3, -0.3)]
    sides = Sides(
        [MeanSide(null, bet, paths) for null, bet in zip(nulls, bets[:2], strict=True)],
        [MeanSide(null, bet, paths) for null, bet in zip(outside, bets[2:], strict=True)],
        paths,
    )

    class Given:
        step = -1

        def draw(self, rows):
            self.step += 1
            return values[rows, self.step]

    found = decide(sides, Given(), most, risk=risk, to_the_end=to_the_end)
    for path in range(paths):
        tests = [MeanTest(null, bet, risk=risk) for null, bet in zip([*nulls, *outside], bets, strict=True)]
        passed = failed = 0
        for step in range(most):
            for test in tests:
                test.take(values[path, step])
            if not passed and all(test.path.decided_at is not None for test in tests[:2]):
                passed = step + 1
            together = any_of([test.path.log_evidence for test in tests[2:]])
            if not failed and together >= -np.log(risk):
                failed = step + 1
            if not to_the_end and (passed or failed):
                break
        assert (found.passed[path], found.failed[path]) == (passed, failed)
