"""The Ascend guide says what the code does: variables, models, tests and commands."""

import ast
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from doc_blocks import ROOT, TRANSLATIONS, inline_code, names_in, section, table_rows

from engines.mindie.environment import environment, file_environment
from modeltest.api import MINDIE_KINDS, Case, ModelInfo, RunSpec, TaskOptions
from modeltest.doctor.variables import Fate, fates
from modeltest.models.matrix import BEGIN, END, language_of, matrix, with_matrix
from modeltest.models.profiles import model_keys, profile

ASCEND = ROOT / "docs" / "ascend.md"
CHINESE = TRANSLATIONS[ASCEND]
VARIABLES = {ASCEND: "Environment variables", CHINESE: "环境变量"}
PROVEN = {ASCEND: "What the stand-in proves", CHINESE: "桩能证明什么"}

FATES = {
    ASCEND: {
        "set": Fate.SET,
        "set unless you set it": Fate.DEFAULT,
        "set by the profile": Fate.PROFILE,
        "read": Fate.READ,
        "checked, passed on": Fate.CHECKED,
        "passed on": Fate.PASSED,
        "refused by MindIE": Fate.BREAKS,
        "without effect": Fate.IGNORED,
        "obsolete": Fate.OBSOLETE,
    },
    CHINESE: {
        "由 ModelTest 设置": Fate.SET,
        "未设置时由 ModelTest 设置": Fate.DEFAULT,
        "由模型配置设置": Fate.PROFILE,
        "ModelTest 读取": Fate.READ,
        "检查后透传": Fate.CHECKED,
        "透传": Fate.PASSED,
        "MindIE 拒绝": Fate.BREAKS,
        "不生效": Fate.IGNORED,
        "已废弃": Fate.OBSOLETE,
    },
}

OF_ASCEND = re.compile(
    r"(ATB|ASCEND|ASDOPS|HCCL|LCCL|NPU|MINDIE|INF_NAN|PROFILING|MASTER|RANK_TABLE|PYTORCH_NPU)_[A-Z0-9_]+"
    r"|MODELTEST_(DATASET_SPECIFIED|PD_SPLIT_ENABLE)|RANK|LOCAL_RANK|WORLD_SIZE|TASK_QUEUE_ENABLE|USE_ASCEND"
)
NO_VARIABLES = {"MINDIE_KINDS", "MINDIE_INPUT_TOKENS", "MINDIE_OUTPUT_TOKENS", "MASTER_IP", "RANK_START"}
"""Names in `__all__` and places of the grammar; MASTER_IP is a word of `run.sh` first."""

editions = pytest.mark.parametrize("path", [ASCEND, CHINESE], ids=["en", "zh"])


@cache
def names_in_code() -> frozenset[str]:
    """Return the variables of Ascend that are texts somewhere in the code, docstrings left out."""
    found = set()
    for folder in ("engines", "modeltest", "reports"):
        for path in (ROOT / folder).rglob("*.py"):
            found |= set(filter(OF_ASCEND.fullmatch, _constants(path)))
    return frozenset(found - NO_VARIABLES)


def _constants(path: Path) -> list[str]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def names_set(tmp_path) -> set[str]:
    """Return what a worker of MindIE is started with, whatever the model and the kind of run."""
    questions = RunSpec(
        *("pa_fp16", "full_BoolQ", "boolq", "auto", "w"),
        batch_sizes=((1,),),
        engine_options={"stand_in": "yes"},
    )
    timed = replace(questions, cases=(Case(8, 4),), options=TaskOptions(prefill_length=4))
    found = set()
    for key in model_keys():
        model = ModelInfo(key, key, "w", "", "float16", None, None, 128, 1, None)
        model = replace(model, environment=profile(key).environment)
        for spec in (questions, timed):
            found |= {*environment(spec, model), *file_environment(spec, tmp_path)}
    return found


@editions
def test_every_variable_is_documented_with_its_fate(path):
    text = section(path, VARIABLES[path])
    documented = {}
    for row in table_rows(text):
        for name in names_in(row[0]):
            assert name not in documented, name
            documented[name] = FATES[path][row[1]]
    assert documented == fates()


@editions
def test_every_fate_is_explained(path):
    explained = [row[0] for row in table_rows(section(path, VARIABLES[path])) if len(row) == 2]
    assert explained == list(FATES[path])


def test_every_variable_the_code_reads_or_sets_for_ascend_has_a_fate(tmp_path):
    own = {name for name in names_set(tmp_path) if name.startswith("MODELTEST_") and name not in fates()}
    assert own == {"MODELTEST_REPLACED"}, "between our own processes"
    unknown = (names_set(tmp_path) | names_in_code()) - own - fates().keys()
    assert not unknown, "say in modeltest/doctor/variables.toml and both Ascend guides what becomes of it"


def test_fates_are_what_the_code_does(tmp_path):
    by_fate = {fate: {name for name, found in fates().items() if found is fate} for fate in Fate}
    set_here = names_set(tmp_path)
    by_ranks = {"MASTER_ADDR", "OMP_NUM_THREADS"}  # of several ranks only, by torchrun and its launcher
    by_ranks |= {
        "RANK_TABLE_FILE",
        "GLOO_SOCKET_IFNAME",
        "HCCL_SOCKET_IFNAME",
        "MASTER_IP",
        "ATB_LLM_HCCL_ENABLE",
    }  # nodes, pipelines
    assert by_fate[Fate.SET] | by_fate[Fate.DEFAULT] <= set_here | by_ranks
    of_profiles = {name for key in model_keys() for name in profile(key).environment}
    assert by_fate[Fate.PROFILE] == of_profiles
    untouched = by_fate[Fate.PASSED] | by_fate[Fate.CHECKED] | by_fate[Fate.BREAKS]
    untouched |= by_fate[Fate.IGNORED] | by_fate[Fate.OBSOLETE]
    assert not untouched & set_here
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "modeltest").rglob("*.py"))
    source += (ROOT / "engines" / "mindie" / "environment.py").read_text(encoding="utf-8")
    for name in by_fate[Fate.READ] | by_fate[Fate.CHECKED]:
        assert f'"{name}"' in source, name


def test_what_is_set_unless_the_shell_has_it_is_left_to_the_shell(tmp_path, monkeypatch):
    spec = RunSpec(
        *("pa_fp16", "full_BoolQ", "boolq", "auto", "w"),
        batch_sizes=((1,),),
        engine_options={"stand_in": "yes"},
    )
    model = ModelInfo("llama", "llama", "w", "", "float16", None, None, 128, 1, None)
    for name, fate in fates().items():
        monkeypatch.setenv(name, "77")
        value = environment(spec, model).get(name)
        value = file_environment(spec, tmp_path).get(name, value)
        if fate is Fate.DEFAULT:
            assert value in ("77", None), name
        if fate is Fate.SET and value is not None and name != "PYTHONPATH":
            assert value != "77", name
        monkeypatch.delenv(name)


@editions
def test_the_table_of_models_is_that_of_the_profiles(path):
    text = path.read_text(encoding="utf-8")
    written = text.partition(BEGIN)[2].partition(END)[0]
    command = "python -m modeltest.models.matrix docs/ascend.md docs/ascend.zh.md"
    assert written.strip() == matrix(language_of(path)), f"run {command}"
    assert with_matrix(text, language_of(path)) == text


def test_documented_checkpoints_make_sense():
    for key in model_keys():
        for found in profile(key).checkpoints:
            assert found.names, key
            for chips in (found.a2, found.duo):
                assert chips is None or list(chips) == sorted({*chips}), found
                assert not set(chips or ()) - {1, 2, 4, 8, 16, 32}, found
            assert set(found.dtypes or ()) <= {"fp16", "bf16"}, found
            assert set(found.attention or ()) <= {"fa", "pa"}, found
            assert set(found.quantised or ()) <= {*MINDIE_KINDS, "kv8", "fa3"}, found
            assert found.duo or "w8a8sc" not in (found.quantised or ()), "sparse kinds need a 300I DUO"
            assert found.duo != () or found.a2 != (), found
            assert profile(key).in_mindie_head or found.older, f"{key}: MindIE no longer has it"


@editions
def test_every_statement_proven_names_a_test_that_exists(path):
    rows = table_rows(section(path, PROVEN[path]))
    assert len(rows) > 15
    for row in rows:
        (name,) = names_in(row[1])
        file, _, test = name.partition("::")
        source = (ROOT / file).read_text(encoding="utf-8")
        assert not test or re.search(rf"^def {test}\(", source, re.MULTILINE), name


def test_tests_named_in_the_guide_exist():
    for code in inline_code(ASCEND):
        for file in re.findall(r"tests/\S+\.py", code):
            assert (ROOT / file).is_file(), code
        if re.fullmatch(r"test_\w+", code):
            sources = [
                path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "ascend").glob("test_*.py")
            ]
            assert any(f"def {code}(" in source for source in sources), code
