"""`modeltest accept` in real processes, with the engine `fake` as reference and as candidate."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from fake_packs import write_fake_packs

from modeltest.api import AcceptanceSummary, Decision, Verdict
from modeltest.cli import main
from modeltest.cli.root import root
from modeltest.dashboard.entry import read_entry
from modeltest.run.record.directory import read_result
from modeltest.sequential import draw_order

TEXTS = [f"text/{number}" for number in range(100)]


@pytest.fixture(scope="module")
def packs(tmp_path_factory):
    """Return the folder of a pack that `fake` answered, and of one whose reference says something else."""
    return write_fake_packs(tmp_path_factory.mktemp("packs"))


def accepted(folder, name, *more):
    words = ["accept", str(folder / name), "--engine", "fake", "--model", "none", "--batch-size", "16"]
    status = main([*words, *more, "--output", str(folder / "runs")])
    return status, newest(folder / "runs")


def newest(folder) -> Path:
    return max(folder.iterdir(), key=lambda each: each.stat().st_mtime)


def test_the_same_model_is_accepted_with_status_0(packs, capfd):
    status, directory = accepted(packs, "same.ref")
    assert status == 0
    result = read_result(directory)
    assert isinstance(result.summary, AcceptanceSummary)
    assert result.summary.decision is Decision.ACCEPT
    assert "ACCEPT" in capfd.readouterr().out
    assert (directory / "summary.md").read_text().startswith("## ✅ ACCEPT")
    assert '<testcase name="decision"' in (directory / "junit.xml").read_text()
    metrics = json.loads((directory / "metrics.json").read_text())
    assert "accepted" in json.dumps(metrics)


def test_another_model_is_rejected_with_status_1_wherever_it_is_read(packs, capfd):
    status, directory = accepted(packs, "other.ref")
    assert status == 1
    assert read_result(directory).summary.decision is Decision.REJECT
    assert "<failure" in (directory / "junit.xml").read_text()
    assert (directory / "summary.md").read_text().startswith("## ❌ REJECT")
    assert "decision: REJECT" in capfd.readouterr().out
    entry = read_entry(directory)
    assert (entry.verdict, entry.decision, entry.decision_tone) == (Verdict.VALID, "REJECT", Verdict.INVALID)
    assert set(read_result(directory).summary.reasons) <= set(entry.reasons)
    page = (directory / "report.html").read_text()
    assert 'class="verdict tone-INVALID"' in page
    assert "differs from the reference as no correct one does" in page


def test_what_is_undecided_has_status_1_unless_told_otherwise(packs):
    assert accepted(packs, "same.ref", "--limit", "5")[0] == 1
    status, directory = accepted(packs, "same.ref", "--limit", "5", "--undecided", "pass")
    assert status == 0
    assert read_result(directory).summary.decision is Decision.UNDECIDED


def test_a_run_that_lost_its_worker_decides_the_same(packs, tmp_path):
    undisturbed = read_result(accepted(packs, "same.ref")[1]).summary
    crash = (
        "--engine-option",
        f"crash_at={draw_order(TEXTS, 0)[20]}",
        "--engine-option",
        f"once={tmp_path / 'once'}",
    )
    status, directory = accepted(packs, "same.ref", *crash)
    assert status == 0
    found = read_result(directory)
    assert found.interruptions
    assert found.summary == undisturbed


def test_the_words_of_run_sh_ask_for_the_same(packs, capfd):
    words = ["fake", "accept", str(packs / "same.ref"), "auto", "none", "1", "--output", str(packs / "runs")]
    assert main(words) == 0
    assert read_result(newest(packs / "runs")).summary.decision is Decision.ACCEPT


def test_a_report_made_again_says_the_same(packs):
    _, directory = accepted(packs, "same.ref")
    before = read_result(directory).summary
    assert CliRunner().invoke(root, ["report", str(directory)]).exit_code == 0
    assert read_result(directory).summary == before


def test_a_file_that_is_no_pack_is_refused_in_one_line(tmp_path, capfd):
    (tmp_path / "x.ref").write_text("no pack")
    assert main(["accept", str(tmp_path / "x.ref"), "--engine", "fake", "--model", "none"]) == 2
    assert capfd.readouterr().err.count("\n") == 1


def test_a_suite_ends_with_1_when_a_port_of_it_is_rejected(packs, tmp_path, capfd):
    pytest.importorskip("yaml")
    tasks = [{"accept": {"pack": str(packs / name), "batch-size": 16}} for name in ("same.ref", "other.ref")]
    (tmp_path / "s.yaml").write_text(
        json.dumps({"models": ["none"], "engines": ["fake"], "tasks": tasks})  # JSON is YAML
    )
    assert main(["suite", str(tmp_path / "s.yaml"), "--output", str(tmp_path / "out")]) == 1
    told = capfd.readouterr()
    assert "REJECT after" in told.out + told.err
    (summary,) = (tmp_path / "out").rglob("suite.json")
    statuses = [run["exit_status"] for run in json.loads(summary.read_text())["runs"]]
    assert statuses == [0, 1]
    assert "REJECT after" in (summary.parent / "summary.md").read_text()
