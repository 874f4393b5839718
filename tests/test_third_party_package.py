"""A package of somebody else's, built as a wheel and installed outside the checkout, adds all it declares."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modeltest.plain.toml_file import read_toml

PACKAGE = Path(__file__).parent / "third_party_package"
DOCUMENT = Path(__file__).parents[1] / "docs" / "plug-ins.md"


def pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def install(source: Path, place: Path) -> Path:
    """Build `source` as a wheel, without a network, and return the folder in which it is installed."""
    copy, wheels, target = place / "source", place / "wheels", place / "installed"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))  # a build writes beside it
    pip("wheel", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(copy))
    (wheel,) = wheels.glob("*.whl")
    pip("install", "--no-index", "--no-deps", "--target", str(target), str(wheel))
    return target


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(PACKAGE, tmp_path_factory.mktemp("tides"))


@pytest.fixture(scope="module")
def contradicting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another package that has the same names, and a report that cannot be imported."""
    place = tmp_path_factory.mktemp("shoals")
    source = place / "shoals"
    shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "tides").rename(source / "shoals")
    (source / "shoals" / "report.py").write_text("raise SystemExit('no reports today')\n")
    for path in (source / "pyproject.toml", source / "shoals" / "task.py"):
        text = path.read_text().replace("modeltest-tides", "modeltest-shoals").replace('"tides.', '"shoals.')
        path.write_text(
            text.replace('["tides"', '["shoals"').replace('tides = "shoals.report', 'shoals = "shoals.report')
        )
    return install(source, place / "built")


def modeltest(place: Path, *words: str, packages: tuple[Path, ...]) -> subprocess.CompletedProcess[str]:
    paths = os.pathsep.join(map(str, packages))
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MODELTEST_")}
    return subprocess.run(
        [sys.executable, "-m", "modeltest", *words],
        cwd=place,
        env={**variables, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )


def test_its_dataset_task_engine_and_report_make_a_run(installed, tmp_path):
    done = modeltest(
        tmp_path, "pa_fp16", "sample_Tides", "0", "2", "auto", "none", "1", packages=(installed,)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (directory,) = (tmp_path / "outputs").iterdir()
    run = json.loads((directory / "run.json").read_text())
    assert (run["adapter"], run["engine"]["dtype"], run["dataset"]["name"]) == ("tides", "float16", "tides")
    assert run["dataset"]["path"].startswith(str(installed))
    assert run["summary"]["guess_rate"] == pytest.approx((1 / 2 + 1 / 3 + 1 / 4) / 3)
    assert (directory / "tides.txt").read_text() == "tides: 2 of 3\n"
    assert str(directory / "tides.txt") in done.stdout


def test_it_is_listed_with_what_it_adds(installed, tmp_path):
    listed = {
        what: modeltest(tmp_path, "list", what, packages=(installed,)).stdout
        for what in ("datasets", "tasks", "engines", "reports")
    }
    assert "sample only" in next(line for line in listed["datasets"].splitlines() if "Tides, test" in line)
    assert "full_Tides" in listed["tasks"]
    (word,) = (line for line in listed["engines"].splitlines() if "pa_fp16" in line)
    assert " tides " in word
    assert "of every run it suits" in next(line for line in listed["reports"].splitlines() if "tides" in line)


def test_another_package_with_its_names_is_told_with_both_owners(installed, contradicting, tmp_path):
    done = modeltest(
        tmp_path,
        *("accuracy", "--task", "tides", "--split", "sample", "--engine", "fake", "--model", "none"),
        packages=(installed, contradicting),
    )
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: task 'tides' is declared by modeltest-")
    assert "modeltest-tides 1.0 (tides.task:Tides)" in line
    assert "modeltest-shoals 1.0 (shoals.task:Tides)" in line


def test_a_report_that_cannot_be_imported_is_left_out_and_told(contradicting, tmp_path):
    done = modeltest(
        tmp_path, "pa_fp16", "sample_Tides", "0", "2", "auto", "none", "1", packages=(contradicting,)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (
        "left out: report 'shoals' of modeltest-shoals 1.0 cannot be imported: SystemExit: no reports today"
        in done.stderr
    )


def test_the_documented_counts_of_files_and_lines_are_those_of_the_tree():
    counted = dict(
        re.findall(r"^\| `([^`]+)` \| (\d+) \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    )
    files = (path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert {name: int(lines) for name, lines in counted.items()} == {
        str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines()) for path in files
    }


def test_the_task_takes_25_lines_at_most_and_each_plug_in_one_line_of_its_package():
    assert len((PACKAGE / "tides" / "task.py").read_text(encoding="utf-8").splitlines()) <= 25
    project = read_toml(PACKAGE / "pyproject.toml")["project"]
    assert {group: list(points) for group, points in project["entry-points"].items()} == {
        f"modeltest.{kind}": ["tides"] for kind in ("datasets", "tasks", "engines", "reports")
    }
