"""Packages of others whose plug-ins raise: real processes beside real distributions."""

import json
import os
import subprocess
import sys

import pytest

RUN = ["fake", "sample_BoolQ", "4", "llama", "none", "1"]

BROKEN_REPORTS = """
class _Report:
    name = "x"
    def accepts(self, result): return True
    def write(self, result, directory): return ()

class Made(_Report):
    def __init__(self): raise KeyError("made")

class Accepts(_Report):
    name = "accepts"
    def accepts(self, result): raise ZeroDivisionError("accepts")

class Writes(_Report):
    name = "writes"
    def write(self, result, directory): raise RuntimeError("writes [red]")

class Leaves(_Report):
    name = "leaves"
    def write(self, result, directory): raise SystemExit(9)
"""


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


def add(site, name, groups, **modules):
    """Install a distribution: entry points by group, and modules by name."""
    info = site / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [
        line
        for group, points in groups.items()
        for line in (f"[modeltest.{group}]", *(f"{point} = {value}" for point, value in points.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    for module, text in modules.items():
        (site / f"{module}.py").write_text(text)


def run(site, *words):
    return subprocess.run(
        [sys.executable, "-m", "modeltest", *words],
        cwd=site.parent,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_c4_a_broken_report_is_named_and_left_out_of_a_run_that_stays_complete(site):
    points = {name: f"theirs:{name.capitalize()}" for name in ("made", "accepts", "writes", "leaves")}
    add(site, "theirs", {"reports": {**points, "gone": "leaves_at_import:Any"}}, theirs=BROKEN_REPORTS)
    (site / "leaves_at_import.py").write_text("raise SystemExit(7)\n")
    done = run(site, *RUN, "--output", "out")
    assert done.returncode == 0, done.stderr
    (directory,) = (site.parent / "out").iterdir()
    result = json.loads((directory / "run.json").read_text())
    assert (result["status"], result["verdict"]) == ("complete", "VALID")
    told = [
        "report 'accepts' is left out: ZeroDivisionError: accepts",
        "left out: report 'gone' of theirs 1.0 cannot be imported: SystemExit: 7",
        "report 'leaves' is left out: SystemExit: 9",
        "left out: report 'made' of theirs 1.0 cannot be made: KeyError: 'made'",
        "report 'writes' is left out: RuntimeError: writes [red]",
    ]
    assert result["warnings"] == told
    for line in told:
        assert line in done.stderr
        assert f"warning: {line}" in done.stdout
    assert (directory / "accuracy.json").exists()  # and the others are there
    asked = run(site, "report", str(directory), "--format", "writes")
    assert asked.returncode == 3
    assert "error: report 'writes' cannot be written of" in asked.stderr
    assert run(site, "list", "reports").returncode == 0


@pytest.mark.parametrize("problem", ["ValueError('no')", "SystemExit(0)", "RuntimeError"])
def test_c4_a_broken_engine_or_task_is_refused_to_those_who_ask_for_it_alone(site, problem):
    groups = {"engines": {"boom": "boom:Engine"}, "tasks": {"bang": "boom:Task"}}
    add(site, "theirs", groups, boom=f"raise {problem}\n")
    kind = problem.partition("(")[0]
    done = run(site, "boom", *RUN[1:], "--output", "out")
    assert done.returncode == 3
    assert f"error: engine 'boom' of theirs 1.0 cannot be imported: {kind}" in done.stderr
    done = run(site, "accuracy", "--task", "bang", "--engine", "fake", "--model", "none", "--output", "out")
    assert done.returncode == 3
    assert f"error: task 'bang' of theirs 1.0 cannot be imported: {kind}" in done.stderr
    for what in ("engines", "tasks"):
        assert run(site, "list", what).returncode == 0
    assert run(site, *RUN, "--output", "out").returncode == 0


def test_c4_two_packages_with_one_name_are_refused_by_name(site):
    add(site, "first", {"engines": {"twin": "first:Engine"}}, first="")
    add(site, "second", {"engines": {"twin": "second:Engine"}, "reports": {"junit": "second:Report"}})
    done = run(site, "twin", *RUN[1:], "--output", "out")
    assert done.returncode == 3
    assert "error: engine 'twin' is declared by " in done.stderr
    for owner in ("first 1.0 (first:Engine)", "second 1.0 (second:Engine)"):
        assert owner in done.stderr
    done = run(site, *RUN, "--output", "out")
    assert done.returncode == 0
    assert "left out: report 'junit' is declared by " in done.stderr
    assert "second 1.0 (second:Report)" in done.stderr


def test_one_declaration_that_is_found_twice_is_one(site):
    add(site, "again", {"engines": {"fake": "engines.fake:FakeEngine"}})
    assert run(site, *RUN, "--output", "out").returncode == 0


def test_c4_a_comparison_survives_a_broken_report(site):
    add(site, "theirs", {"comparison_reports": {"odd": "odd:Report"}}, odd="class Report:\n    pass\n")
    for output in ("one", "two"):
        assert run(site, *RUN, "--output", output).returncode == 0
    runs = [str(next((site.parent / output).iterdir())) for output in ("one", "two")]
    done = run(site, "compare", *runs, "--output", "compared")
    assert done.returncode == 0, done.stderr
    assert "left out: comparison report 'odd' of theirs 1.0 does not have the methods of" in done.stderr
