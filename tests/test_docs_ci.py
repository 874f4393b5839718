"""The examples of docs/ci.md: their YAML is YAML, and their commands do what they are there for."""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from doc_blocks import ROOT, blocks, names_in, section, table_rows

from modeltest.api import FAMILIES

yaml = pytest.importorskip("yaml")
CI = ROOT / "docs" / "ci.md"
ENTRY = '#!/usr/bin/env bash\nexec "{python}" -m modeltest "$@"\n'


def block(title: str, language: str) -> str:
    (found,) = blocks(CI, language, section(CI, title))
    return found.text


@pytest.fixture
def checkout(tmp_path: Path, demo_model: Callable[..., Path]) -> tuple[Path, Mapping[str, str]]:
    """Return a folder with a `run.sh` that calls this Python, and the variables of a job in it."""
    entry = tmp_path / "run.sh"
    entry.write_text(ENTRY.format(python=sys.executable))
    entry.chmod(entry.stat().st_mode | stat.S_IXUSR)
    variables = {
        **os.environ,
        "WEIGHTS": str(demo_model("llama")),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "step_summary.md"),
        "HOME": str(tmp_path),
    }
    return tmp_path, variables


def shell(script: str, place: tuple[Path, Mapping[str, str]]) -> None:
    directory, variables = place
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=directory,
        env=dict(variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.long
@pytest.mark.slow
def test_the_steps_of_the_github_job_leave_a_summary_and_tests(checkout):
    job = yaml.safe_load(block("GitHub Actions", "yaml"))["jobs"]["model"]
    steps = {step["name"]: step["run"] for step in job["steps"] if "run" in step}
    assert list(steps) == ["Accuracy", "Latency", "Job summary"]
    for script in steps.values():
        shell(script, checkout)
    summary = (checkout[0] / "step_summary.md").read_text()
    assert summary.count("## ") == 2
    assert "accuracy" in summary
    (report,) = [
        step["with"]["report_paths"] for step in job["steps"] if "report_paths" in step.get("with", {})
    ]
    assert len(list(checkout[0].glob(report))) == 2


@pytest.mark.slow
def test_the_scripts_of_the_gitlab_job_leave_what_its_reports_name(checkout):
    job = yaml.safe_load(block("GitLab CI", "yaml"))["model"]
    for script in (*job["script"], *job["after_script"]):
        shell(script, checkout)
    for path in job["artifacts"]["reports"].values():
        assert list(checkout[0].glob(path)), path
    assert "modeltest_accuracy_ratio" in (checkout[0] / "metrics.txt").read_text()


@pytest.mark.long
def test_the_steps_of_the_jenkins_pipeline_leave_what_it_collects(checkout):
    text = block("Jenkins", "groovy")
    assert text.count("{") == text.count("}")
    scripts = re.findall(r"sh '''(.*?)'''", text, re.DOTALL)
    assert scripts
    for script in scripts:
        shell(script, checkout)
    for pattern in re.findall(r"(?:junit|artifacts:) '([^']+)'", text):
        assert list(checkout[0].glob(pattern)), pattern


def test_the_script_reads_the_numbers_of_a_run(tmp_path, monkeypatch):
    command = [
        sys.executable,
        "-m",
        "modeltest",
        "fake",
        "performance",
        "[[8,4]]",
        "[1,2]",
        "auto",
        "none",
        "1",
    ]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (run,) = (tmp_path / "outputs").iterdir()
    run.rename(tmp_path / "outputs" / "RUN")
    monkeypatch.chdir(tmp_path)
    namespace: dict = {}
    exec(block("One number in a script", "python"), namespace)
    # 1 ms a step and 0.1 ms for each row.
    assert namespace["worst_ms"] == pytest.approx(1.2)
    content = json.loads((tmp_path / "outputs" / "RUN" / "metrics.json").read_text())
    content["metrics"]["tpot_ms.8x4.batch2"]["value"] = 51
    (tmp_path / "outputs" / "RUN" / "metrics.json").write_text(json.dumps(content))
    with pytest.raises(AssertionError, match="51 ms per token"):
        exec(block("One number in a script", "python"), {})


def test_every_name_of_a_number_is_documented_with_unit_and_direction():
    rows = table_rows(section(ROOT / "docs" / "metrics.md", "Names"))
    documented = {names_in(name)[0]: (unit, better) for name, unit, better, _ in rows}
    documented["harness"] = ("", "")
    assert documented == {name: (family.unit, family.better or "") for name, family in FAMILIES.items()}


def test_every_exit_status_is_in_the_table_of_the_jobs():
    known = {row[0] for row in table_rows(section(ROOT / "docs" / "output.md", "Exit statuses"))} - {
        "128 + N"
    }
    told = {status for row in table_rows(section(CI, "Exit statuses")) for status in row[0].split(", ")}
    assert known <= told
