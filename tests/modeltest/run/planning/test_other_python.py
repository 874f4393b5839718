"""Another interpreter is asked which engines can run in it, and refused where a run could not be right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from other_interpreters import (
    BORROWED,
    ROOT,
    TELLING,
    copy_modeltest,
    make_interpreter,
    make_script,
    site_of,
)
from run_processes import option, run, run_command

from modeltest.api import ModelTestError, PrerequisiteError, RunSpec, SpecError
from modeltest.run.planning import other_python
from modeltest.run.planning.other_python import OtherPython
from modeltest.run.planning.plan import plan
from modeltest.start import python_command

SPEC = RunSpec(
    engine="fake", mode="sample_BoolQ", task="boolq", model="llama", weights="none", batch_sizes=((1,),)
)
WORDS = ["fake", "sample_BoolQ", "4", "llama", "none", "1"]
NAME_ONE = "name the interpreter of an environment, such as /opt/vllm/bin/python"


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with this very ModelTest, which prints at its start and notes its workers."""
    return make_interpreter(tmp_path_factory.mktemp("an other") / "env", start=TELLING)


@pytest.fixture(scope="module")
def with_old_transformers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    python = make_interpreter(tmp_path_factory.mktemp("old") / "env")
    info = site_of(python.parents[1]) / "transformers-4.40.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: transformers\nVersion: 4.40.0\n")
    return python


def spec_in(python: Path, **changes: object) -> RunSpec:
    return replace(SPEC, engine_python=str(python), **changes)  # type: ignore[arg-type]


def test_the_worker_runs_there_and_the_run_says_so(other: Path, tmp_path: Path) -> None:
    there = os.path.relpath(other, tmp_path)
    done = run(*WORDS, "--engine-python", there, output=tmp_path / "runs", cwd=tmp_path)
    assert (other.parents[1] / "workers").read_text() == "modeltest.run.worker.worker\n"
    (file,) = tmp_path.glob("runs/*/run.json")
    result = json.loads(file.read_text())
    assert Path(result["spec"]["engine_python"]).samefile(other.parent / "python")
    assert Path(result["spec"]["engine_python"]).is_absolute()
    assert result["machine"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert f"the worker runs in {result['spec']['engine_python']}, Python " in done.stderr
    assert (result["status"], result["verdict"]) == ("complete", "VALID")


def test_the_variable_names_it_too(other: Path, tmp_path: Path) -> None:
    variables = {**os.environ, "MODELTEST_ENGINE_PYTHON": str(other)}
    asked = json.loads(run_command("run", *WORDS, "--dry-run", env=variables).stdout)
    assert asked["engine_python"] == str(other), "not the file behind the link"


def test_without_one_nothing_is_asked_elsewhere() -> None:
    assert plan(SPEC).interpreter is None
    assert plan(SPEC).spec.engine_python is None


def test_a_plan_knows_what_it_was_judged_in(other: Path) -> None:
    interpreter = plan(spec_in(other)).interpreter
    assert interpreter is not None
    assert interpreter.path == str(other)
    assert interpreter.version == ".".join(map(str, sys.version_info[:3]))
    assert interpreter.package.samefile(ROOT / "modeltest")


def test_engines_are_passed_over_for_what_is_installed_there(
    with_old_transformers: Path, demo_model: object
) -> None:
    weights = str(demo_model("llama"))  # type: ignore[operator]
    asked = replace(SPEC, engine="pa_bf16", model="auto", weights=weights, dtype="bfloat16")
    here = plan(replace(asked, allow_dtype_cast=True))
    assert here.engine.name == "hf_paged"
    with pytest.raises(PrerequisiteError, match=r"transformers 4\.46 to .*, and 4\.40\.0 is installed"):
        plan(replace(asked, allow_dtype_cast=True, engine_python=str(with_old_transformers)))


def test_the_reasons_found_there_are_kept_with_the_plan(other: Path, demo_model: object) -> None:
    weights = str(demo_model("llama"))  # type: ignore[operator]
    asked = replace(
        SPEC, engine="pa_bf16", model="auto", weights=weights, dtype="bfloat16", allow_dtype_cast=True
    )
    there = plan(replace(asked, engine_python=str(other)))
    assert there.engine.name == plan(asked).engine.name
    assert there.passed_over == plan(asked).passed_over
    assert "mindie_pa" in there.passed_over


def test_variables_of_the_worker_are_what_the_engine_there_says(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    says = "import engines.fake\nengines.fake.FakeEngine.environment = lambda *_: {'SAID_BY': 'the other'}\n"
    python = make_interpreter(tmp_path_factory.mktemp("says") / "env", start=says)
    assert plan(spec_in(python)).variables == {"SAID_BY": "the other"}
    assert plan(SPEC).variables is None, "the engine here is asked whenever a worker starts"


def test_what_the_user_asked_wrongly_is_the_same_error_there(other: Path, demo_model: object) -> None:
    weights = str(demo_model("llama"))  # type: ignore[operator]
    asked = replace(SPEC, engine="hf_fp32", model="auto", weights=weights, dtype="float32")
    asked = replace(asked, engine_options={"nonsense": "1"})
    errors = []
    for spec in (asked, replace(asked, engine_python=str(other))):
        with pytest.raises(SpecError) as raised:
            plan(spec)
        errors.append((type(raised.value), str(raised.value)))
    assert errors[0] == errors[1]
    assert "engine hf has no options; given: nonsense" in errors[0][1]


def test_an_engine_that_only_this_python_has_is_passed_over_there(tmp_path: Path) -> None:
    python = make_interpreter(tmp_path / "env", path=[ROOT])  # nothing declares engines there
    with OtherPython(str(python)) as there:
        assert "engine 'fake' is not available" in str(there.obstacle(plan(SPEC).engine, SPEC))


def test_its_process_ends_with_the_plan(other: Path) -> None:
    with OtherPython(str(other)) as there:
        process = there._process
        assert process.poll() is None
    assert process.returncode is not None


@pytest.mark.parametrize(
    ("made", "error", "told"),
    [
        ("nothing", SpecError, "nothing does not exist; " + NAME_ONE),
        ("folder", SpecError, "folder is a folder; " + NAME_ONE),
        ("plain", SpecError, "plain is not executable; " + NAME_ONE),
        ("text", SpecError, "text cannot be started: Exec format error; " + NAME_ONE),
        ("ends", SpecError, "ends ended with status 7 and no answer; " + NAME_ONE),
        ("talks", SpecError, "talks ended with status 0 and no answer; it said 'hello a word'; " + NAME_ONE),
        ("killed", SpecError, "killed was ended by signal 9 and no answer; " + NAME_ONE),
        ("hangs", PrerequisiteError, "hangs did not answer within 0.5 s"),
        ("old", PrerequisiteError, "old is Python 3.9.1; engines need 3.10 or newer"),
    ],
)
def test_what_is_no_python_of_use_is_said_to_be_none(
    made: str,
    error: type[ModelTestError],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain").write_text("no program")
    (tmp_path / "text").write_text("no program")
    (tmp_path / "text").chmod(0o755)
    make_script(tmp_path / "ends", "exit 7")
    make_script(tmp_path / "talks", "echo hello; echo a word >&2")
    make_script(tmp_path / "killed", "kill -KILL $$")
    make_script(tmp_path / "hangs", "echo wait; sleep 300")
    make_script(tmp_path / "old", """printf '%s{"version": "3.9.1", "packages": {}}\\n' "$3"; sleep 300""")
    if made == "hangs":
        monkeypatch.setattr(other_python, "ANSWER_S", 0.5)
    with pytest.raises(error) as raised:
        plan(spec_in(tmp_path / made))
    assert str(raised.value).removesuffix("; it said 'wait'") == f"{tmp_path}/{told}"


def test_a_python_without_modeltest_is_refused_with_what_to_do(tmp_path: Path) -> None:
    python = make_interpreter(tmp_path / "env", path=[])
    with pytest.raises(PrerequisiteError) as raised:
        plan(spec_in(python))
    assert str(raised.value) == (
        f"{python} has no ModelTest: let run.sh add it (MODELTEST_ENGINE_PYTHON={python}), "
        f"or {python} -m pip install -e {ROOT}"
    )


def test_an_equal_copy_is_as_good_and_any_other_is_refused(tmp_path: Path) -> None:
    copy = copy_modeltest(tmp_path / "copy")
    python = make_interpreter(tmp_path / "env", path=[copy, *BORROWED])
    interpreter = plan(spec_in(python)).interpreter
    assert interpreter is not None
    assert interpreter.package == copy / "modeltest"

    with (copy / "engines" / "fake.py").open("a") as file:
        file.write("# another\n")
    with pytest.raises(PrerequisiteError) as raised:
        plan(spec_in(python))
    told = str(raised.value)
    assert told.startswith(f"the ModelTest of {python}, in {copy}, is not this one, in {ROOT}, and ")
    assert f"{python} -m pip install -e {ROOT}" in told


def test_a_python_that_lacks_what_modeltest_needs_is_refused_with_the_reason(tmp_path: Path) -> None:
    lacking = "import sys\nsys.modules['sqlite3'] = sys.modules['fcntl'] = None\n"
    python = make_interpreter(tmp_path / "env", start=lacking)
    with pytest.raises(PrerequisiteError, match=r"ModelTest does not start in .*python \(.*fcntl.*\): mend"):
        plan(spec_in(python))


@pytest.mark.parametrize("path", [None, "", ":", "."])
def test_what_lies_where_the_user_stands_is_not_imported(
    path: str | None, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("json", "modeltest", "engines"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong one')\n")
    if path is not None:
        monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.chdir(tmp_path)
    command = python_command("modeltest.cli", *WORDS, "--engine-python", str(other), "--output", "runs")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_options_of_the_engine_reach_it_there(other: Path, tmp_path: Path) -> None:
    wrong = [*option("step_ms=none"), "--engine-python", str(other)]
    there = run(*WORDS, *wrong, output=tmp_path, expect=2)
    here = run(*WORDS, *wrong[:2], output=tmp_path, expect=2)
    assert there.stderr.splitlines()[-1] == here.stderr.splitlines()[-1]
