"""What works with the base install alone: no torch, no transformers, nothing of an extra.

Real processes in which any other package cannot be imported, as in an Ascend container before its environment
is sourced, or on the machine of a CI that only reads results.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engines.mindie.environment import STAND_IN_HOME
from modeltest.bootstrap.installed import read_project
from modeltest.bootstrap.requirements import parse
from modeltest.installation import install_command

ROOT = Path(__file__).resolve().parents[1]

BASE = (
    *("click", "jsonlines", "prometheus_client", "rich", "tomli"),
    *("attr", "attrs", "markdown_it", "mdurl", "pygments"),
)
"""What pyproject.toml asks for without an extra, and what that brings along."""

_ONLY_BASE = f"""\
import importlib.metadata
import sys

OURS = ("modeltest", "engines", "reports", "sitecustomize", "usercustomize")
KNOWN = {{*sys.stdlib_module_names, *{BASE!r}, *OURS}}


class OnlyBase:
    def __init__(self, finder):
        self._finder = finder

    def find_spec(self, name, path=None, target=None):
        known = name.partition(".")[0] in KNOWN
        return self._finder.find_spec(name, path, target) if known else None

    def __getattr__(self, name):
        return getattr(self._finder, name)


sys.meta_path[:] = map(OnlyBase, sys.meta_path)
_from_name = importlib.metadata.Distribution.from_name


def from_name(name):
    if name.replace("-", "_") not in KNOWN:
        raise importlib.metadata.PackageNotFoundError(name)
    return _from_name(name)


importlib.metadata.Distribution.from_name = from_name
"""


@pytest.fixture
def run(tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(_ONLY_BASE)
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def run(*words: str, code: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "modeltest", *words]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env={**environment, **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_other_packages_cannot_be_imported_here(run):
    assert "No module named 'torch'" in run(code="import torch").stderr


_DRY = ("hf_fp32", "full_BoolQ", "8", "llama", "weights", "1", "--dry-run")


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("run", "--help"),
        ("performance", "--help"),
        *(("list", what) for what in ("tasks", "engines", "models", "datasets", "reports")),
        _DRY,
    ],
    ids=" ".join,
)
def test_help_lists_and_the_grammar_need_nothing_else(run, words):
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert not done.stderr


def test_a_run_with_supervisor_worker_journal_and_reports_needs_nothing_else(run, tmp_path):
    done = run("fake", "sample_BoolQ", "4", "auto", "none", "1", "--limit", "8", "--output", "out")
    assert done.returncode in (0, 1), done.stderr
    (directory,) = (tmp_path / "out").iterdir()
    assert json.loads((directory / "run.json").read_text())["status"] == "complete"


_PLAN = """\
import sys
from modeltest import registry
from modeltest.grammar.modes import all_modes
from modeltest.grammar.parse import parse
from modeltest.models.profiles import model_keys
from modeltest.run.planning.plan import plan

planned = plan(parse({words!r}, modes=all_modes(registry.declared_modes()), model_keys=model_keys()))
variables = planned.engine.environment(planned.spec, planned.model)
assert variables["ENABLE_GREEDY_SEARCH_OPT"] == "0"
print(planned.engine.name, planned.spec.world_size)
assert not {{"torch", "transformers", "engines.hf.engine", "engines.hf.model.forward"}} & set(sys.modules)
"""


@pytest.mark.parametrize("word", ["pa_fp16", "fa"])
def test_words_for_mindie_are_planned_by_the_supervisor(run, demo_model, word):
    weights = str(demo_model("llama", "float16"))
    code = _PLAN.format(words=[word, "sample_MMLU", "5", "8", "llama", weights, "1"])
    done = run(code=code, ATB_SPEED_HOME_PATH=str(STAND_IN_HOME))
    assert done.stdout.split()[:1] == [f"mindie_{word.partition('_')[0]}"], done.stderr


def test_several_ranks_of_mindie_say_that_torch_is_missing(run, demo_model):
    words = ("pa_fp16", "sample_BoolQ", "8", "llama", str(demo_model("llama", "float16")), "2")
    done = run(*words, ATB_SPEED_HOME_PATH=str(STAND_IN_HOME))
    assert done.returncode == 3, done.stderr
    assert "error: 2 ranks are started by torchrun, which does not import" in done.stderr
    assert "No module named 'torch'" in done.stderr


def test_words_for_hugging_face_say_what_is_missing(run, demo_model):
    done = run("hf_fp32", "sample_BoolQ", "4", "auto", str(demo_model("llama")), "1")
    assert done.returncode == 3
    assert install_command("hf") in done.stderr


@pytest.mark.parametrize(
    ("words", "package"),
    [
        ("suite nightly.yaml", "PyYAML"),
        ("data fetch boolq", "Hugging Face package"),
        ("lm-eval --tasks piqa --engine hf_fp32 --model {model}", "lm-evaluation-harness"),
        ("demo-model llama new", "torch"),
        ("quickstart", "torch"),
        ("convert --model {torch}", "torch"),
        ("generate --engine hf_fp32 --model {model} --input-text hi", "torch"),
        ("performance --engine hf_fp32 --case 8,8 --model {model}", "torch"),
        ("hf_fp32 sample_BoolQ 4 auto {model} 2", "torch"),
        ("dashboard .", "jinja2"),
    ],
)
def test_b5_a_feature_without_its_package_ends_with_3_and_says_how_to_get_it(
    run, demo_model, tmp_path, words, package
):
    (tmp_path / "nightly.yaml").write_text("runs: []\n")
    torch_weights = tmp_path / "torch"
    torch_weights.mkdir()
    (torch_weights / "pytorch_model.bin").write_bytes(b"weights")
    (torch_weights / "config.json").write_text('{"model_type": "llama"}')
    done = run(*words.format(model=demo_model("llama"), torch=torch_weights).split())
    assert done.returncode == 3, done.stderr
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert package in said
    assert f"{sys.executable} -m pip install " in said


def test_the_doctor_says_what_is_missing(run):
    done = run("doctor")
    assert install_command("hf") in done.stdout + done.stderr


def test_the_list_of_engines_names_none_that_cannot_run_here(run):
    said = run("list", "engines").stdout
    engines = {row[0]: row[1:] for row in map(str.split, said.splitlines()) if row}
    assert engines["fake"][3] == "fake"
    assert all(engines[word][1:3] == ["not", "installed"] for word in ("pa_fp16", "hf_fp32"))
    assert "not hf: it needs torch and transformers, and torch is not installed" in " ".join(said.split())


def test_every_name_of_the_base_install_is_one_that_pyproject_asks_for():
    asked = [parse(line).name for line in read_project(ROOT).dependencies]
    assert {name.replace("-", "_") for name in asked} <= set(BASE)
