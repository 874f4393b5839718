"""Whoever goes on with a run that brings code along is asked for trust anew, and told which code it is."""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from other_interpreters import make_interpreter
from run_processes import resume, run, run_command

from modeltest.api import LmEvalOptions, RunSpec, TaskOptions
from modeltest.models.code_files import CodeFile, code_files, named_code
from modeltest.run.planning.trust import code_of, resume_command

CODE = "raise SystemExit('this was run')\n"
DIGEST = hashlib.sha256(CODE.encode()).hexdigest()
SPEC = RunSpec(engine="fake", mode="full_BoolQ", task="boolq", model="llama", weights="w")


@pytest.fixture
def weights(tmp_path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "modeling_theirs.py").write_text(CODE)
    return folder


def _stopped(directory: Path) -> Path:
    """Make a complete run look like one that was stopped when all was answered."""
    file = directory / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "status": "failed", "error": "no room left"}))
    return directory


@pytest.fixture
def words(weights) -> list[str]:
    return ["fake", "sample_BoolQ", "4", "llama", str(weights), "trust_remote_code", "1"]


@pytest.fixture
def stopped(words, tmp_path) -> Path:
    run(*words, output=tmp_path / "out")
    (directory,) = (tmp_path / "out").iterdir()
    return _stopped(directory)


def test_c2_going_on_with_a_run_that_trusts_code_asks_the_one_who_goes_on(stopped, weights):
    before = {path.name: path.read_bytes() for path in stopped.iterdir() if path.is_file()}
    done = resume(stopped, expect=2)
    assert done.stderr.splitlines()[-1] == (
        f"error: going on in {stopped} would run the code that comes with the weights in {weights} "
        f"(modeling_theirs.py sha256 {DIGEST[:12]}): the directory says so, you have not; add "
        "--trust-remote-code if you trust it"
    )
    assert {path.name: path.read_bytes() for path in stopped.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("by_words", [False, True], ids=["by the option", "by the words of the run"])
def test_c2_who_says_it_again_goes_on_and_is_told_what_is_trusted(stopped, words, weights, by_words):
    done = resume(stopped, *(words if by_words else ["--trust-remote-code"]))
    assert f"trusted: the code that comes with the weights in {weights} (modeling_theirs.py" in done.stderr
    assert json.loads((stopped / "run.json").read_text())["status"] == "complete"


def test_c2_words_that_trust_nothing_are_other_words(stopped, words):
    done = resume(stopped, *(word for word in words if word != "trust_remote_code"), expect=2)
    assert "trust_remote_code was True, now it is False" in done.stderr


def test_a_run_that_brings_no_code_is_gone_on_with_as_ever(weights, tmp_path):
    run("fake", "sample_BoolQ", "4", "llama", str(weights), "1", output=tmp_path / "out")
    (directory,) = (tmp_path / "out").iterdir()
    assert "trusted" not in resume(_stopped(directory)).stderr


def test_a_dry_run_of_it_runs_nothing_and_asks_nothing(stopped):
    assert json.loads(resume(stopped, "--dry-run").stdout)["trust_remote_code"] is True


def test_the_option_is_the_word_in_a_new_run(weights):
    words = ["fake", "sample_BoolQ", "4", "llama", str(weights), "1", "--dry-run"]
    assert json.loads(run_command(*words, "--trust-remote-code").stdout)["trust_remote_code"] is True
    assert json.loads(run_command(*words).stdout)["trust_remote_code"] is False


def test_c2_a_suite_asks_for_all_its_runs_that_are_left(weights, tmp_path):
    pytest.importorskip("yaml")
    file = tmp_path / "two.yaml"
    file.write_text(
        f"models: [{weights}]\nengines: [fake]\n"
        "tasks:\n  - accuracy: {task: boolq, split: sample, trust-remote-code: true}\n"
    )
    run_command("suite", str(file), "--output", str(tmp_path / "out"))
    (directory,) = (tmp_path / "out").iterdir()
    suite = json.loads((directory / "suite.json").read_text())
    _stopped(directory / suite["runs"][0]["name"])
    suite["runs"][0]["status"] = "failed"
    (directory / "suite.json").write_text(json.dumps(suite))
    done = run_command("suite", "--resume", str(directory), expect=2)
    assert f"modeling_theirs.py sha256 {DIGEST[:12]}" in done.stderr
    done = run_command("suite", "--resume", str(directory), "--trust-remote-code")
    assert "trusted: the code that comes with the weights" in done.stderr


def test_c2_programs_that_the_model_writes_are_asked_for_too():
    options = LmEvalOptions(tasks=("t",), confirm_run_unsafe_code=True)
    (written,) = code_of(replace(SPEC, options=TaskOptions(lm_eval=options)))
    assert written == "programs that the model writes (--confirm-run-unsafe-code)"


def test_what_is_advised_to_go_on_with_a_run_works_as_printed(tmp_path):
    assert resume_command(tmp_path, SPEC) == f"modeltest run --resume {tmp_path}"
    trusting = replace(SPEC, trust_remote_code=True)
    assert resume_command(tmp_path, trusting) == f"modeltest run --resume {tmp_path} --trust-remote-code"


def test_code_is_named_with_its_digest_and_a_folder_without_code_as_such(weights, tmp_path):
    below = weights / "ops"
    below.mkdir()
    (below / "fast.py").write_text("")
    assert code_files(weights) == (
        CodeFile("modeling_theirs.py", DIGEST),
        CodeFile("ops/fast.py", hashlib.sha256(b"").hexdigest()),
    )
    for number in range(9):
        (weights / f"more_{number}.py").write_text("")
    assert named_code(weights).endswith(", and 6 more)")
    assert named_code(tmp_path / "nowhere") == f"{tmp_path / 'nowhere'} (no Python file is in it)"


def test_an_interpreter_that_a_directory_names_is_run_when_the_user_has_named_it_too(tmp_path):
    python = make_interpreter(tmp_path / "an other")
    done = run("fake", "sample_BoolQ", "4", "llama", "none", "1", *_in(python), output=tmp_path / "runs")
    directory = _stopped(next((tmp_path / "runs").iterdir()))
    refused = resume(directory, expect=2)
    assert f"would run the interpreter {python}: the directory says so, you have not" in refused.stderr
    other = resume(directory, *_in(make_interpreter(tmp_path / "another")), expect=2)
    assert "engine_python was " in other.stderr
    with_variable = {**os.environ, "MODELTEST_ENGINE_PYTHON": str(python)}
    done = run_command("--resume", str(directory), env=with_variable)
    assert "going on" in done.stderr
    assert "going on" in resume(_stopped(directory), *_in(python)).stderr
    assert "going on" in resume(_stopped(directory), "--trust-remote-code").stderr


def test_the_advice_to_go_on_names_the_interpreter_of_the_run(tmp_path):
    spec = replace(SPEC, engine_python="/an env/bin/python")
    assert resume_command(tmp_path, spec) == (
        f"modeltest run --resume {tmp_path} --engine-python '/an env/bin/python'"
    )


def test_a_suite_goes_on_in_an_interpreter_that_the_user_has_named_too(tmp_path):
    python = make_interpreter(tmp_path / "env")
    file = tmp_path / "suite.yaml"
    accuracy = f"{{task: boolq, split: sample, limit: 2, engine-python: {python}}}"
    file.write_text(f"models: [none]\nengines: [fake]\ntasks:\n  - accuracy: {accuracy}\n")
    run_command("suite", str(file), "--output", str(tmp_path / "runs"))
    (directory,) = (tmp_path / "runs").iterdir()
    suite = json.loads((directory / "suite.json").read_text())
    assert suite["runs"][0]["spec"]["engine_python"] == str(python)
    _stopped(directory / suite["runs"][0]["name"])
    suite["runs"][0]["status"] = "failed"
    (directory / "suite.json").write_text(json.dumps(suite))
    refused = run_command("suite", "--resume", str(directory), expect=2)
    assert f"would run the interpreter {python}" in refused.stderr
    with_variable = {**os.environ, "MODELTEST_ENGINE_PYTHON": str(python)}
    run_command("suite", "--resume", str(directory), env=with_variable)


def _in(python: Path) -> tuple[str, str]:
    return "--engine-python", str(python)
