"""What lies in the current directory is not imported: real processes in a folder full of traps."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modeltest.start import python_command, start_words, without_current_directory

ROOT = Path(__file__).resolve().parents[2]
FAKE = ["fake", "sample_BoolQ", "4", "llama", "none", "1", "--output"]
LIBRARIES = ("click", "rich", "jsonlines", "torch", "transformers", "matplotlib", "jinja2")
STANDARD = ("json", "statistics", "dataclasses", "pathlib", "subprocess", "signal")
FOLDERS = ("engines", "reports", "datasets")
STARTS = {
    "module": [sys.executable, "-m", "modeltest"],
    "file": python_command("modeltest.cli"),
}


@pytest.fixture
def traps(tmp_path):
    """Return a folder in which every import of ModelTest would find something else."""
    folder = tmp_path / "traps"
    trap = "raise SystemExit('trapped: ' + __name__)\n"
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(trap)
    for name in (*LIBRARIES, *STANDARD):
        (folder / f"{name}.py").write_text(trap)
    info = folder / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[modeltest.reports]\nother = engines:Other\n")
    return folder


def variables(**own: str) -> dict[str, str]:
    """Return those of a shell in which Python puts the current directory first, as 3.10 always does."""
    return {name: text for name, text in os.environ.items() if name != "PYTHONSAFEPATH"} | own


def run(command, folder, **own):
    return subprocess.run(
        command, cwd=folder, env=variables(**own), capture_output=True, text=True, check=False, timeout=240
    )


@pytest.mark.parametrize(("start", "paths"), [("module", ""), ("module", f"{ROOT}:"), ("file", f".:{ROOT}")])
def test_c3_nothing_of_the_current_directory_is_imported(traps, tmp_path, start, paths):
    done = run([*STARTS[start], *FAKE, str(tmp_path / "out")], traps, PYTHONPATH=paths)
    assert "trapped" not in done.stdout + done.stderr
    assert done.returncode == 0, done.stderr
    assert not list(traps.rglob("*.pyc"))


def test_c3_run_sh_imports_nothing_of_the_current_directory(traps, tmp_path):
    # The bootstrap is not asked: it would look whether this environment is complete.
    python = tmp_path / "python3"
    python.write_text(
        f'#!{shutil.which("bash")}\n[[ $1 == -I || $2 == modeltest.bootstrap ]] && echo "$0" && exit\n'
        f'exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    (traps / "sitecustomize.py").write_text("raise SystemExit('trapped')\n")  # Python imports it by itself
    words = ["bash", str(ROOT / "run.sh"), *FAKE, str(tmp_path / "out")]
    done = run(words, traps, MODELTEST_PYTHON=str(python), PYTHONPATH=f"::{ROOT}:")
    assert "trapped" not in done.stdout + done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_c3_workers_and_ranks_import_nothing_of_the_current_directory(traps, demo_model, tmp_path):
    # Two replicas: torchrun, its ranks, and torch and transformers in each.
    words = ["llama", str(demo_model("llama")), "2", "[2,-1,-1,-1,-1,-1,-1,-1]"]
    done = run(_on_cpu(words, tmp_path), traps, PYTHONPATH=":")
    assert "trapped" not in done.stdout + done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_c3_code_of_the_weights_is_still_imported_where_it_is_trusted(traps, demo_model, tmp_path):
    words = ["auto", str(demo_model("internlm2")), "trust_remote_code", "1"]
    done = run(_on_cpu(words, tmp_path), traps)
    assert "trapped" not in done.stdout + done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
def test_c3_every_python_starts_a_module_without_the_current_directory(traps, tmp_path, version):
    python = _python(version)
    for name in ("runpy", "types", "importlib", "pkgutil", "enum"):
        (traps / f"{name}.py").write_text("raise SystemExit('trapped')\n")
    place = tmp_path / "place"
    place.mkdir()
    (place / "told.py").write_text(
        "def main(words):\n    import json, sys\n    print(json.dumps([words, sys.path[0]]))\n"
    )
    done = run([python, *start_words("told", "a", "b c")], traps, PYTHONPATH=str(place))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f'[["a", "b c"], "{place}"]\n'


def test_a_directory_that_is_spelled_out_is_imported_wherever_the_user_stands(tmp_path):
    (tmp_path / "told.py").write_text("def main(words):\n    print(words)\n")
    done = run([sys.executable, *start_words("told")], tmp_path, PYTHONPATH=f"{tmp_path}:")
    assert done.stdout == "[]\n"


def test_the_own_checkout_stays_on_the_path(tmp_path):
    for command in STARTS.values():
        assert run([*command, "--version"], ROOT, PYTHONPATH=":").returncode == 0


def test_a_current_directory_that_is_gone_is_told_in_one_line(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    command = ["bash", "-c", 'cd "$0" && rmdir "$0" && exec "$@"', str(gone), *STARTS["file"], "--version"]
    done = run(command, tmp_path)
    assert done.returncode == 3
    assert done.stderr.startswith("error: the current directory cannot be used")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("given", "kept"), [("", ""), (":/a", "/a"), ("/a::/b:", "/a:/b"), (".:/a:./", "/a"), ("a:/b", "a:/b")]
)
def test_children_are_told_no_path_that_means_the_current_directory(given, kept):
    assert without_current_directory({"PYTHONPATH": given, "X": "1"}) == {"PYTHONPATH": kept, "X": "1"}
    assert without_current_directory({"X": "1"}) == {"X": "1"}


def _on_cpu(words, tmp_path):
    more = ["--limit", "4", "--device", "cpu", "--output", str(tmp_path / "out")]
    return [*STARTS["module"], "hf_fp32", "sample_BoolQ", "4", *words, *more]


def _python(version: str) -> str:
    """Return a Python of this version, or skip: a version manager's command may only print an error."""
    for found in (
        shutil.which(f"python{version}"),
        *map(str, Path.home().glob(f".pyenv/versions/{version}.*/bin/python")),
    ):
        if found and not subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode:
            return found
    pytest.skip(f"no python{version} on this machine")
