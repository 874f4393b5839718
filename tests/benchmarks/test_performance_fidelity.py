import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fidelity.markdown import table
from fidelity.optimum_side import measure as measure_optimum
from fidelity.summary import Round, Side, side, summarize

ROOT = Path(__file__).resolve().parents[2]


def one_round(tpot_ratio: float, ttft_ratio: float = 1.0, overhead: float | None = 0.002) -> Round:
    return Round(
        modeltest=Side({"tpot_ms": 2.0 * tpot_ratio, "ttft_ms": 30.0 * ttft_ratio}, 7),
        bare=Side({"tpot_ms": 2.0, "ttft_ms": 30.0}, 7),
        optimum=None,
        overhead=overhead,
        verdict="VALID",
        reasons=(),
    )


def test_a_side_is_the_median_of_its_trials() -> None:
    found = side([{"tpot_ms": value, "ttft_ms": 10 * value} for value in (3.0, 1.0, 2.0)])
    assert found == Side({"tpot_ms": 2.0, "ttft_ms": 20.0}, 3)


def test_ratios_are_made_within_a_round() -> None:
    summary = summarize([one_round(ratio) for ratio in (1.0, 1.01, 1.005, 1.2, 0.99)])
    found = summary.agreement["ModelTest"]["tpot_ms"]
    assert found.ratio == pytest.approx(1.005)
    assert found.low is not None
    assert found.low < found.ratio
    assert summary.medians["ModelTest"]["tpot_ms"] == pytest.approx(2.01)
    assert summary.missed == ()


@pytest.mark.parametrize(
    ("rounds", "missed"),
    [
        ([one_round(1.03)] * 5, "tpot_ms differs from the bare loop by +3.0%, 2% is allowed"),
        ([one_round(1.0, 0.95)] * 5, "ttft_ms differs from the bare loop by -5.0%, 2% is allowed"),
        ([one_round(1.0, overhead=0.02)] * 5, "timing costs +2.0%, 1% is allowed"),
        ([one_round(1.0, overhead=None)] * 5, "ModelTest does not say what its timing costs"),
    ],
)
def test_a_goal_that_is_missed_is_named(rounds: list[Round], missed: str) -> None:
    assert summarize(rounds).missed == (missed,)
    assert f"missed: {missed}" in table([("15M", "128x64, batch 1", summarize(rounds))])


def test_few_rounds_miss_no_goal() -> None:
    assert summarize([one_round(2.0)] * 4).missed == ()
    assert "too few rounds" in table([("15M", "128x64, batch 1", summarize([one_round(2.0)]))])


def test_optimum_is_shown_beside_but_held_to_no_goal() -> None:
    rounds = [
        Round(each.modeltest, each.bare, Side({"tpot_ms": 4.0, "ttft_ms": 15.0}, 7), 0.0, "VALID", ())
        for each in [one_round(1.0)] * 5
    ]
    summary = summarize(rounds)
    assert summary.agreement["optimum-benchmark"]["tpot_ms"].ratio == 2.0
    assert summary.missed == ()
    (line,) = [line for line in table([("15M", "s", summary)]).splitlines() if "optimum" in line]
    assert "| 4.000 | 2.000 (2.000 .. 2.000) | 15.00 | 0.500 (0.500 .. 0.500) | - |" in line


def test_optimum_s_decode_is_divided_by_the_tokens_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    class Optimum:
        def __getattr__(self, name: str) -> object:
            return lambda *_, **values: values

        class Benchmark:
            @staticmethod
            def launch(config: object) -> "Optimum.Benchmark":
                return Optimum.Benchmark()

            def to_dict(self) -> dict[str, object]:
                return {
                    "prefill": {"latency": {"values": [0.030, 0.031]}},
                    "decode": {"latency": {"values": [0.006, 0.009]}},
                }

    monkeypatch.setitem(sys.modules, "optimum_benchmark", Optimum())
    order = {"model": "m", "input_tokens": 8, "output_tokens": 4, "batch_size": 1, "warmup": 1, "trials": 2}
    assert measure_optimum(order)["trials"] == [
        {"ttft_ms": pytest.approx(30.0), "tpot_ms": pytest.approx(2.0)},
        {"ttft_ms": pytest.approx(31.0), "tpot_ms": pytest.approx(3.0)},
    ]


@pytest.mark.slow
def test_a_look_runs_both_sides_and_writes_every_figure(tmp_path: Path) -> None:
    script = ROOT / "benchmarks" / "performance_fidelity.py"
    words = ["--quick", "--model", "2M", "--skip-optimum", "--input-tokens", "8", "--output-tokens", "4"]
    files = ["--work-dir", tmp_path / "work", "--json", tmp_path / "f.json", "--markdown", tmp_path / "t.md"]
    done = subprocess.run(
        [sys.executable, str(script), *words, *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "benchmarks")},
    )
    assert done.returncode == 0, done.stderr
    (job,) = json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))["jobs"]
    (found,) = job["rounds"]
    assert found["modeltest"]["trials"] == found["bare"]["trials"] == 3
    assert found["overhead"] is not None
    assert min(*found["modeltest"]["medians"].values(), *found["bare"]["medians"].values()) > 0
    assert "| 2M | 8x4, batch 1 | ModelTest |" in (tmp_path / "t.md").read_text(encoding="utf-8")
