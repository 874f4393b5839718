"""The environments that Ascend containers pin: an old transformers, and Python 3.10 without any of it.

Needs a package index, which the other tests do not:
`bash run.sh test tests/test_old_environments.py -n 0 -m network`
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from engines.hf.model.transformers_versions import OLDEST

pytestmark = pytest.mark.network

ROOT = Path(__file__).resolve().parents[1]
OLDEST_PINS = ("transformers==4.46.3", "tokenizers==0.20.3", "huggingface-hub==0.36.0")
"""What stands in front of this environment; everything else, torch among it, is this environment's."""

SUITES = (
    "common/test_code_choice.py",
    "test_engine_contract.py",
    "hf/test_hf.py",
    "hf/model/test_end_of_turn.py",
    "hf/model/test_sampling.py",
    "common/test_tokenizing.py",
)
TOLERANCE = 1e-4


def _pip(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1]
        pytest.skip(f"no package index, or it lacks {' '.join(words[-3:])}: {last}")


@pytest.fixture(scope="module")
def oldest(tmp_path_factory) -> dict[str, str]:
    """Return the variables of this environment with the oldest transformers in front."""
    place = tmp_path_factory.mktemp("oldest")
    _pip("--target", str(place), "--no-deps", *OLDEST_PINS)
    return {**os.environ, "PYTHONPATH": str(place)}


def _run(environment: dict[str, str], *command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], env=environment, cwd=cwd, capture_output=True, text=True, check=False
    )


def test_the_oldest_that_is_pinned_here_is_the_oldest_that_the_engine_knows(oldest):
    found = _run(oldest, "-c", "import transformers; print(transformers.__version__)").stdout.split(".")
    assert tuple(map(int, found[:2])) == OLDEST


def test_the_tests_of_the_engine_pass_with_the_oldest(oldest):
    suites = [f"tests/engines/{name}" for name in SUITES]
    done = _run(oldest, "-m", "pytest", "-p", "no:xdist", "-p", "no:cacheprovider", "-rs", *suites)
    assert done.returncode == 0, done.stdout[-8000:]
    assert " passed" in done.stdout


def _answers(environment: dict[str, str], weights: Path, folder: Path) -> dict[str, dict]:
    folder.mkdir()
    words = ("hf_fp32", "sample_BoolQ", "8", "auto", str(weights), "1", "--output", str(folder))
    done = _run(environment, "-m", "modeltest", *words, cwd=folder)
    (directory,) = folder.iterdir()
    assert done.returncode in (0, 1), done.stderr
    samples = (directory / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    found = [line["sample"]["completion"] for line in map(json.loads, samples) if "sample" in line]
    return {completion["request_id"]: completion["choice_logprobs"] for completion in found}


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "gemma", "llama", "qwen2"])
def test_both_ends_of_the_range_give_the_same_answers(oldest, demo_model, tmp_path, family):
    weights = demo_model(family)
    newest = _answers(dict(os.environ), weights, tmp_path / "newest")
    assert newest
    for name, logprobs in _answers(oldest, weights, tmp_path / "oldest").items():
        assert logprobs == pytest.approx(newest.pop(name), abs=TOLERANCE), name
    assert not newest


def test_paged_words_are_served_by_hf_there(oldest, demo_model, tmp_path):
    words = ("pa_fp16", "sample_BoolQ", "8", "auto", str(demo_model("llama", "float16")), "1", "--limit", "4")
    done = _run(oldest, "-m", "modeltest", *words, cwd=tmp_path)
    assert "not with hf_paged: it needs transformers 5.19 or" in done.stderr
    assert "pa_fp16: engine hf," in done.stderr


@pytest.fixture(scope="module")
def python310(tmp_path_factory) -> Path:
    """Return a Python 3.10 with the base install of ModelTest and nothing else."""
    found = os.environ.get("MODELTEST_PYTHON310") or shutil.which("python3.10")
    if found is None or subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip("no python3.10 on PATH that starts; name one in MODELTEST_PYTHON310")
    place = tmp_path_factory.mktemp("base") / "venv"
    subprocess.run([found, "-m", "venv", str(place)], check=True)
    python = place / "bin" / "python"
    done = subprocess.run(
        [str(python), "-m", "pip", "install", "-q", "-c", "constraints.txt", str(ROOT)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no package index: {done.stderr.strip().splitlines()[-1]}")
    return python


def test_the_base_install_runs_on_python_3_10(python310, tmp_path):
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(python310), "-m", "modeltest", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert run("--help").returncode == 0
    done = run("fake", "sample_BoolQ", "4", "auto", "none", "1", "--limit", "8", "--output", "out")
    assert done.returncode in (0, 1), done.stderr
    (directory,) = (tmp_path / "out").iterdir()
    result = json.loads((directory / "run.json").read_text(encoding="utf-8"))
    assert result["status"] == "complete"
    assert result["machine"]["python"].startswith("3.10.")
    assert run("report", str(directory)).returncode in (0, 1)


def test_every_module_of_the_project_compiles_on_python_3_10(python310):
    code = "import compileall, sys; sys.exit(not compileall.compile_dir(sys.argv[1], quiet=1, force=True))"
    for folder in ("modeltest", "engines", "reports"):
        place = f"import {folder}, os; print(os.path.dirname({folder}.__file__))"
        installed = subprocess.run(
            [str(python310), "-c", place], capture_output=True, text=True, check=True, cwd="/"
        )
        assert (
            subprocess.run([str(python310), "-c", code, installed.stdout.strip()], check=False).returncode
            == 0
        )
