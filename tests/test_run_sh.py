"""run.sh as a real bash process; the Pythons on PATH are stubs that write down what they are asked."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CHECKOUT = Path(__file__).resolve().parents[1]
BASH = shutil.which("bash") or "/bin/bash"

STUB = f"""#!{BASH}
case $1 in
-I) echo "$0" ;;
-m) if [[ $2 == modeltest.bootstrap ]]; then
        variables=("${{MODELTEST_VENV-}}" "${{PYTHONSAFEPATH-unset}}")
        printf '%s\\0' "$PWD" "${{variables[@]}}" "$0" "$@" > "$NOTES/bootstrap"
        echo "$0"
        exit "${{BOOTSTRAP_STATUS:-0}}"
    fi ;;&
*)  printf '%s\\0' "$PWD" "$@" > "$NOTES/command"
    if [[ -n ${{WAIT-}} ]]; then echo "$$"; exec "$SLEEP" 60; fi
    exit "${{COMMAND_STATUS:-0}}" ;;
esac
"""


class Machine:
    """A folder with run.sh in it, a PATH of its own and the notes its Pythons take."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "check out"
        self.bin = folder / "bin"
        self.notes = folder / "notes"
        self.home = folder / "home"
        for made in (self.root, self.bin, self.notes, self.home):
            made.mkdir()
        shutil.copy(CHECKOUT / "run.sh", self.root)

    def add_python(self, name: str, script: str = STUB) -> Path:
        python = self.bin / name
        python.parent.mkdir(exist_ok=True)
        python.write_text(script, encoding="utf-8")
        python.chmod(0o755)
        return python

    def environment(self, **variables: str) -> dict[str, str]:
        return {"PATH": str(self.bin), "NOTES": str(self.notes), "LC_ALL": "C.UTF-8", **variables}

    def run(
        self,
        words: Sequence[str] = (),
        *,
        script: str | None = None,
        cwd: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BASH, script or str(self.root / "run.sh"), *words],
            cwd=cwd or self.home,
            env=self.environment(**(variables or {})),
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def noted(self, what: str) -> list[str]:
        return (self.notes / what).read_bytes().decode("utf-8").split("\0")[:-1]

    def command_words(self) -> list[str]:
        """Return the words behind `start.py modeltest.cli`."""
        noted = self.noted("command")
        assert noted[1:3] == [str(self.root / "modeltest" / "start.py"), "modeltest.cli"]
        return noted[3:]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--help"],
        ["pa_fp16", "performance", "[[2048,2048]]", "1", "gemma", "/weights", "8"],
        ["pa_bf16", "full_BoolQ", "10", "llama", "/my weights/a b", "trust_remote_code", "100", "[-1,2]"],
        ["fa", "performance", "[[256,256],[512,512]]", "[1,20]", "-1"],
        ["", " ", "*", "?", "[0-9]", "~", "$HOME", "`id`", "$(id)", "a\nb", "a\\b", "'", '"', "!!", "{a,b}"],
        ["-e", "-n", "--"],
    ],
)
def test_words_arrive_unchanged(machine: Machine, words: list[str]) -> None:
    machine.add_python("python3")
    for name in ("1", "2", "-", ",", "a b"):  # what an unquoted [-1,2] or * would turn into
        (machine.home / name).touch()
    done = machine.run(words)
    assert (done.returncode, done.stderr) == (0, "")
    assert machine.command_words() == words


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), max_size=4))
def test_any_words_arrive_unchanged(machine: Machine, words: list[str]) -> None:
    machine.add_python("python3")
    machine.run(["run", *words])
    assert machine.command_words() == ["run", *words]


@pytest.mark.parametrize("status", [0, 1, 2, 5, 130])
def test_exit_status_is_the_commands(machine: Machine, status: int) -> None:
    machine.add_python("python3")
    assert machine.run(["quickstart"], variables={"COMMAND_STATUS": str(status)}).returncode == status


@pytest.mark.parametrize("status", [1, 3, 130])
def test_environment_that_cannot_be_made_ends_the_run(machine: Machine, status: int) -> None:
    machine.add_python("python3")
    assert machine.run(["quickstart"], variables={"BOOTSTRAP_STATUS": str(status)}).returncode == status
    assert not (machine.notes / "command").exists()


def test_signals_reach_the_command(machine: Machine) -> None:
    machine.add_python("python3")
    variables = {"WAIT": "1", "SLEEP": shutil.which("sleep") or "/bin/sleep"}
    with subprocess.Popen(
        [BASH, str(machine.root / "run.sh"), "quickstart"],
        env=machine.environment(**variables),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) == process.pid  # the command took run.sh's place
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == -signal.SIGTERM


def test_command_runs_where_the_user_stands_and_the_bootstrap_in_the_checkout(machine: Machine) -> None:
    machine.add_python("python3")
    machine.run(["quickstart"])
    assert machine.noted("command")[0] == str(machine.home)
    assert machine.noted("bootstrap")[0] == str(machine.root)
    assert machine.noted("bootstrap")[-3:] == ["-m", "modeltest.bootstrap", "quickstart"]


@pytest.mark.parametrize("script", ["run.sh", "./run.sh", "../check out/run.sh"])
def test_run_sh_is_found_by_a_relative_path(machine: Machine, script: str) -> None:
    machine.add_python("python3")
    machine.run(script=script, cwd=machine.root)
    assert machine.noted("bootstrap")[0] == str(machine.root)


def test_run_sh_in_a_folder_that_looks_like_an_option(machine: Machine) -> None:
    machine.add_python("python3")
    machine.root.rename(machine.root.with_name("-P"))
    machine.run(script="./-P/run.sh", cwd=machine.root.parent)
    assert machine.noted("bootstrap")[0] == str(machine.root.with_name("-P"))


def test_variables_of_the_users_shell_change_nothing(machine: Machine, tmp_path: Path) -> None:
    machine.add_python("python3")
    (tmp_path / "trap" / "check out").mkdir(parents=True)
    variables = {"IFS": "_/", "CDPATH": str(tmp_path / "trap"), "PYTHONSAFEPATH": "1"}
    words = ["full_BoolQ", "pa_fp16", "/a/b"]
    done = machine.run(words, script="check out/run.sh", cwd=tmp_path, variables=variables)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.command_words() == words
    assert machine.noted("bootstrap")[0] == str(machine.root)
    assert machine.noted("bootstrap")[2] == ""  # the checkout must be importable to the bootstrap


def test_no_python_is_exit_3_with_what_to_do(machine: Machine) -> None:
    done = machine.run(["quickstart"])
    assert done.returncode == 3
    assert done.stdout == ""
    assert "tried: python3 python python3.13 python3.12 python3.11 python3.10" in done.stderr
    assert "MODELTEST_PYTHON=" in done.stderr


def test_command_that_fails_and_old_python_are_passed_over(machine: Machine) -> None:
    machine.add_python("python3", f"#!{BASH}\necho 'python3: command not found' >&2\nexit 127\n")
    machine.add_python("python", f"#!{BASH}\nexit 0\n")  # too old: prints nothing
    python = machine.add_python("python3.12")
    done = machine.run(["quickstart"])
    assert (done.returncode, done.stderr) == (0, "")
    assert machine.command_words() == ["quickstart"]
    assert machine.noted("bootstrap")[3] == str(python)


def test_modeltest_python_is_the_only_one_tried(machine: Machine) -> None:
    machine.add_python("python3")
    done = machine.run(["quickstart"], variables={"MODELTEST_PYTHON": "/no/such python"})
    assert done.returncode == 3
    assert "tried: /no/such python\n" in done.stderr


def test_modeltest_python_may_have_blanks(machine: Machine) -> None:
    python = machine.add_python("my pythons/python3")
    done = machine.run(["quickstart"], variables={"MODELTEST_PYTHON": str(python)})
    assert (done.returncode, done.stderr) == (0, "")
    assert machine.command_words() == ["quickstart"]


@pytest.mark.parametrize(
    ("given_place", "expected"), [("", ""), ("/an env", "/an env"), ("my env", "{home}/my env")]
)
def test_environment_named_by_a_relative_path_lies_where_the_user_stands(
    machine: Machine, given_place: str, expected: str
) -> None:
    machine.add_python("python3")
    machine.run(["quickstart"], variables={"MODELTEST_VENV": given_place})
    assert machine.noted("bootstrap")[1] == expected.format(home=machine.home)


@pytest.mark.parametrize(
    ("words", "variable", "expected"),
    [
        (["hf", "--engine-python", "/an env/python"], None, "/an env/python"),
        (["hf", "--engine-python=/an env/python"], "/of variable", "/an env/python"),
        (["hf", "--engine-python", "/one", "--engine-python", "/two"], None, "/two"),
        (["hf"], "/of variable", "/of variable"),
        (["hf"], "env/python", "{home}/env/python"),
        (["hf", "--engine-python", "env/python"], None, "{home}/env/python"),
        (["hf", "--engine-python", "~/env/python"], None, "~/env/python"),
        (["hf", "--engine-python"], None, ""),
        (["hf"], None, "unset"),
    ],
)
def test_the_interpreter_of_an_engine_is_handed_on_by_whichever_name_it_has(
    machine: Machine, words: list[str], variable: str | None, expected: str
) -> None:
    noting = 'printf %s "${MODELTEST_ENGINE_PYTHON-unset}" > "$NOTES/engine"\n'
    machine.add_python("python3", STUB.replace("case $1 in\n", f"{noting}case $1 in\n"))
    machine.run(words, variables={} if variable is None else {"MODELTEST_ENGINE_PYTHON": variable})
    assert machine.command_words() == words, "the words are handed on unchanged"
    assert (machine.notes / "engine").read_text() == expected.format(home=machine.home)


def test_test_runs_the_checks_with_its_words(machine: Machine) -> None:
    machine.add_python("python3")
    done = machine.run(["test", "-k", "a or b"], variables={"COMMAND_STATUS": "1"})
    assert done.returncode == 1
    script = str(machine.root / "tests" / "run_checks.py")
    assert machine.noted("command") == [str(machine.home), script, "-k", "a or b"]
    assert machine.noted("bootstrap")[-1] == "test"


def test_test_is_the_checks_only_as_the_first_word(machine: Machine) -> None:
    machine.add_python("python3")
    machine.run(["report", "test"])
    assert machine.command_words() == ["report", "test"]


def test_run_sh_can_be_executed_itself() -> None:
    assert os.access(CHECKOUT / "run.sh", os.X_OK)
