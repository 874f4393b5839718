"""Whatever the shell hands over: numbers, paths, streams, limits, locales. The end is a documented status."""

import os
import shlex
import subprocess
import sys

import pytest
from click.testing import CliRunner

from modeltest.cli.root import COMMANDS, root
from modeltest.options.limits import TIMEOUTS
from modeltest.run.worker import machine_errors
from modeltest.run.worker.machine_errors import of_this_machine

MODELTEST = shlex.join([sys.executable, "-m", "modeltest"])
FAKE = "fake sample_BoolQ 4 llama none 1"
WRONG_NUMBERS = ("nan", "inf", "-inf", "-1", "1e400", "9" * 20, "9" * 5000, "", "0x10", "1,5", "²")

NUMERIC = [
    (name, parameter.opts[0])
    for name in sorted(COMMANDS)
    for parameter in root.get_command(None, name).params
    if parameter.opts[0].startswith("-") and getattr(parameter.type, "min", None) is not None
]


def bash(line: str, cwd, **variables: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, **variables}
    return subprocess.run(
        ["bash", "-c", line], check=False, capture_output=True, cwd=cwd, env=environment, timeout=120
    )


def last_line(done: subprocess.CompletedProcess) -> str:
    return done.stderr.decode(errors="surrogateescape").splitlines()[-1]


@pytest.mark.parametrize(("command", "option"), NUMERIC)
def test_b6_no_numeric_option_takes_what_is_no_number_or_beyond_any_count(command, option):
    for text in WRONG_NUMBERS:
        if option in {"--seed", "--random-seed"} and text == "-1":
            continue
        result = CliRunner().invoke(root, [command, f"{option}={text}"])
        assert result.exit_code == 2, (text, result.output)
        assert option in result.output.splitlines()[-1], (text, result.output)


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "0", "1e30", "soon", "9" * 5000])
@pytest.mark.parametrize("name", [f"MODELTEST_{what.upper()}_TIMEOUT" for what in TIMEOUTS])
def test_b6_a_time_limit_in_a_variable_is_a_finite_number(name, text):
    command = ["accuracy", "--task", "boolq", "--split", "sample", "--model", "none", "--engine", "fake"]
    result = CliRunner().invoke(root, [*command, "--dry-run"], env={name: text})
    assert result.exit_code == 2
    assert name in result.output.splitlines()[-1]


@pytest.mark.parametrize(
    "pair", ["²,1", "1", "1,2,3", "0,1", "-1,1", f"{'9' * 30},1", "1,1000000001", "", "a,b"]
)
def test_b6_a_case_is_two_numbers_within_bounds(pair):
    words = ["performance", "--engine", "fake", "--model", "none", "--case", pair, "--dry-run"]
    result = CliRunner().invoke(root, words)
    assert result.exit_code == 2
    assert "is not two positive numbers such as 256,64" in result.output


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_b6_a_run_needs_no_open_stream(tmp_path, redirection):
    done = bash(f"{MODELTEST} {FAKE} {redirection}", tmp_path)
    assert done.returncode == 0, done.stderr
    (directory,) = (tmp_path / "outputs").iterdir()
    assert b"Traceback" not in (directory / "log.txt").read_bytes()
    assert (directory / "run_page.html").exists() or list(directory.glob("*.html"))


def test_b6_nothing_that_is_said_gets_into_a_file_when_the_streams_are_closed(tmp_path):
    bash(f"{MODELTEST} {FAKE} <&- >&- 2>&-", tmp_path)
    (directory,) = (tmp_path / "outputs").iterdir()
    lines = (directory / "samples.jsonl").read_text().splitlines()
    assert all(line.startswith("{") for line in lines)
    assert len(lines) >= 24


def test_b6_a_full_disk_behind_the_table_of_a_run_is_one_line(tmp_path):
    done = bash(f"{MODELTEST} {FAKE} >/dev/full", tmp_path)
    assert done.returncode == 3
    assert last_line(done) == "error: cannot write the output: No space left on device"


def test_b6_a_reader_of_a_run_that_goes_away_is_sigpipe(tmp_path):
    done = bash(f"set -o pipefail; {MODELTEST} {FAKE} 2>/dev/null | true", tmp_path)
    assert done.returncode == 141


def test_b6_a_path_of_undecodable_bytes_is_refused_by_name(tmp_path):
    done = bash(rf"{MODELTEST} {FAKE} --output $'ou\xfft'", tmp_path)
    assert done.returncode == 2
    assert last_line(done).startswith(r"error: the word 'ou\udcfft' holds bytes that are no text in utf-8;")
    assert not list(tmp_path.iterdir())


def test_b6_so_are_those_of_a_variable_and_of_the_current_directory(tmp_path):
    done = bash(rf"MODELTEST_OUTPUT_DIR=$'ou\xfft' {MODELTEST} {FAKE}", tmp_path)
    assert (done.returncode, "MODELTEST_OUTPUT_DIR" in last_line(done)) == (2, True)
    done = bash(rf"mkdir $'ou\xfft' && cd $'ou\xfft' && {MODELTEST} {FAKE}", tmp_path)
    assert (done.returncode, "the current directory" in last_line(done)) == (2, True)


def test_b6_a_current_directory_that_is_gone_is_one_line(tmp_path):
    done = bash(f"mkdir gone && cd gone && rmdir ../gone && {MODELTEST} {FAKE}", tmp_path)
    assert done.returncode == 3
    assert last_line(done).startswith("error: the current directory cannot be used:")


def test_b6_paths_need_no_ascii_where_a_locale_is_forced(tmp_path):
    forced = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = bash(f"{MODELTEST} {FAKE} --output '模型 目录'", tmp_path, **forced)
    assert done.returncode == 0, done.stderr
    (directory,) = (tmp_path / "模型 目录").iterdir()
    assert "模型 目录" in (directory / "run.json").read_text(encoding="utf-8")


@pytest.mark.long  # where memory ends depends on the machine, and what Python says then on where it ends
def test_b6_memory_that_does_not_reach_is_no_defect(tmp_path):
    # Enough to start, and not for what reports need.
    done = bash(f"ulimit -v 150000; {MODELTEST} {FAKE}", tmp_path)
    assert done.returncode in {0, 3}, done.stderr


def test_b6_a_library_without_memory_is_no_defect():
    mapped = ImportError("libtorch_cpu.so: failed to map segment from shared object", name="torch._C")
    assert of_this_machine(mapped).exit_code == 3
    assert of_this_machine(MemoryError()).exit_code == 3
    assert of_this_machine(PermissionError(13, "Permission denied", "a/b")).exit_code == 3
    unread = SyntaxError("can't load unicodedata module", ("/usr/lib/python3/rich/cells.py", 48, 0, ""))
    assert of_this_machine(unread).exit_code == 3
    assert of_this_machine(SyntaxError("bad", (machine_errors.__file__, 1, 0, ""))) is None
    assert of_this_machine(ImportError("no", name="modeltest.nothing")) is None
    assert of_this_machine(ZeroDivisionError()) is None


@pytest.mark.slow
def test_b6_a_worker_without_memory_for_its_engine_ends_with_3_or_5(tmp_path, demo_model):
    words = f"hf_fp32 sample_BoolQ 4 auto {demo_model('llama')} 1 --limit 2"
    done = bash(f"ulimit -v 400000; {MODELTEST} {words}", tmp_path)
    assert done.returncode in {3, 5}, done.stderr
    assert last_line(done).startswith("error: ")


def test_a_panic_in_rust_is_an_error_of_the_engine_and_any_other_error_a_defect():
    class PanicException(BaseException):
        """As pyo3 makes them: no `Exception`."""

    problem = machine_errors.known_error(PanicException("index out of bounds:\n the len is 3"))
    assert problem.exit_code == 5
    assert "(index out of bounds: the len is 3)" in str(problem)
    assert machine_errors.known_error(ValueError("x")) is None
    assert machine_errors.known_error(problem) is problem
