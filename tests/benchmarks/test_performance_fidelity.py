import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fidelity.markdown import document, table_apart, table_in_turn
from fidelity.optimum_side import measure as measure_optimum
from fidelity.summary import Round, Side, side, summarize_rounds, summarize_turns

ROOT = Path(__file__).resolve().parents[2]
NO_ROUNDS = summarize_rounds([])


def turn(tpot: float = 1.0, ttft: float = 1.0, timing: float = 1.0) -> dict[str, dict[str, float]]:
    """A turn of which each argument is a ratio: to the bare loop, and of timed to untimed batches."""
    return {
        "modeltest": {"tpot_ms": 2.0 * tpot, "ttft_ms": 30.0 * ttft, "e2e_ms": 100.0 * timing},
        "end_alone": {"e2e_ms": 100.0},
        "bare": {"tpot_ms": 2.0, "ttft_ms": 30.0, "e2e_ms": 101.0},
    }


def test_a_side_is_the_median_of_its_trials() -> None:
    found = side([{"tpot_ms": value, "ttft_ms": 10 * value} for value in (3.0, 1.0, 2.0)])
    assert found == Side({"tpot_ms": 2.0, "ttft_ms": 20.0}, 3)


def test_ratios_are_made_within_a_turn() -> None:
    found = summarize_turns([turn(ratio) for ratio in (1.0, 1.01, 1.005, 1.2, 0.99)])
    agreement = found.agreement["tpot_ms"]
    assert agreement.ratio == pytest.approx(1.005)
    assert agreement.low is not None
    assert agreement.low < agreement.ratio
    assert found.medians["modeltest"]["tpot_ms"] == pytest.approx(2.01)
    assert found.missed == ()


@pytest.mark.parametrize(
    ("found", "missed"),
    [
        (turn(1.03), "tpot_ms differs from the bare loop by +3.0%, 2% is allowed"),
        (turn(1.0, 0.95), "ttft_ms differs from the bare loop by -5.0%, 2% is allowed"),
        (turn(timing=1.02), "timing costs +2.0%, 1% is allowed"),
    ],
)
def test_a_goal_that_is_missed_is_named(found: dict[str, dict[str, float]], missed: str) -> None:
    summary = summarize_turns([found] * 5)
    assert summary.missed == (missed,)
    assert f"missed: {missed}" in table_in_turn([("15M", "128x64, batch 1", summary, NO_ROUNDS)])


def test_few_turns_miss_no_goal() -> None:
    assert summarize_turns([turn(2.0)] * 4).missed == ()
    table = table_in_turn([("15M", "128x64, batch 1", summarize_turns([turn(2.0)]), NO_ROUNDS)])
    assert "too few turns" in table


def test_whole_processes_are_shown_beside_but_held_to_no_goal() -> None:
    ours, bare, optimum = (
        Side({"tpot_ms": tpot, "ttft_ms": ttft}, 7) for tpot, ttft in ((3.0, 30.0), (2.0, 30.0), (4.0, 15.0))
    )
    apart = summarize_rounds([Round(ours, bare, optimum)] * 5)
    assert apart.agreement["ModelTest"]["tpot_ms"].ratio == 1.5
    (line,) = (
        line
        for line in table_apart([("15M", "s", summarize_turns([turn()]), apart)]).splitlines()
        if "optimum" in line
    )
    assert "| 4.000 | 2.000 (2.000 .. 2.000) | 15.000 | 0.500 (0.500 .. 0.500) | 5 |" in line


def test_without_rounds_there_is_one_table() -> None:
    text = document([("15M", "s", summarize_turns([turn()]), NO_ROUNDS)], machine={}, command="c")
    assert text.count("| model |") == 1
    assert "whole processes" not in text


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


@pytest.mark.long
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
    assert len(job["turns"]) == job["in_turn"]["turns"] == 3
    times = [value for turn in job["turns"] for side in turn.values() for value in side.values()]
    assert len(times) == 3 * (3 + 1 + 3)
    assert min(times) > 0
    assert "| 2M | 8x4, batch 1 | ModelTest |" in (tmp_path / "t.md").read_text(encoding="utf-8")
