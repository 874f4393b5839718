"""The path of `ATB_LLM_BENCHMARK_FILEPATH`: one run's at a time, and never an older run's rows."""

import signal
from pathlib import Path

import pytest
from run_processes import (
    PERFORMANCE,
    await_journal,
    end,
    option,
    read,
    resume,
    run,
    run_directory,
    start_slowly,
)

from modeltest.api import PrerequisiteError
from modeltest.run.supervisor.benchmark_file import held

HEADER = (
    "batch_size,input_seq_len,output_seq_len,e2e_time(ms),prefill_time(ms),decoder_token_time(ms),"
    "prefill_count,prefill_token_times,decode_token_times,prefill_average_time(ms)"
)
QUICK = ["fake", "performance", "[[16,4]]", "[1,2]", "llama", "none", "1", "--quick"]


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Return the path that runs of this test are asked to write."""
    found = tmp_path / "times" / "benchmark.csv"
    monkeypatch.setenv("ATB_LLM_BENCHMARK_ENABLE", "1")
    monkeypatch.setenv("ATB_LLM_BENCHMARK_FILEPATH", str(found))
    return found


def _rows(path):
    header, *lines = path.read_text().splitlines()
    assert header == HEADER
    return lines


def _old_table(path):
    path.parent.mkdir()
    path.write_text(f"{HEADER}\n1,1,1,1,1,0,1,0.001,,1\n")


def test_a_path_is_held_by_one_run_and_free_after_it(tmp_path):
    path = tmp_path / "new" / "benchmark.csv"
    with held(path):
        with pytest.raises(PrerequisiteError, match=f"another run is going to write {path}; give this run"):
            held(path).__enter__()
        with held(tmp_path / "new" / "other.csv"):
            pass
    with held(path):
        pass
    assert list(path.parent.iterdir()) == []
    assert path.parent.stat().st_mode & 0o777 == 0o750


def test_the_table_of_an_older_run_is_gone_when_a_run_begins(path):
    _old_table(path)
    with held(path):
        assert not path.exists()


def test_a_lock_left_by_a_killed_run_holds_nobody_up(tmp_path):
    (tmp_path / ".benchmark.csv.lock").touch()
    with held(tmp_path / "benchmark.csv"):
        pass


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("folder", "it is no file"),
        ("link", "it is a link"),
        ("device", "it is no file"),
        ("below a file", "its folder is a file"),
        ("something else", "it holds something else"),
    ],
)
def test_a_path_that_may_not_be_written_is_refused_and_left_alone(tmp_path, kind, what):
    path = tmp_path / "benchmark.csv"
    if kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "device":
        path = Path("/dev/null")
    elif kind == "below a file":
        path.touch()
        path = path / "benchmark.csv"
    else:
        path.write_bytes(b"\xff\x00weights")
    with pytest.raises(PrerequisiteError, match=f"cannot write {path}: {what}.*ATB_LLM_BENCHMARK_FILEPATH"):
        held(path).__enter__()
    assert kind == "below a file" or path.exists() or path.is_symlink()


def test_a_timed_run_writes_its_measured_trials(path, tmp_path):
    done = run(*QUICK, output=tmp_path / "out")
    assert f"times of the measured trials: {path}" in done.stderr
    # prefill 0.01 ms a token and row; a step takes 1 ms and 0.1 ms for each row
    one = '1,16,4,3.460000,0.160000,1.100000,1,0.000160000,"0.001100000,0.001100000,0.001100000",0.160000'
    two = '2,16,4,3.920000,0.320000,1.200000,1,0.000320000,"0.001200000,0.001200000,0.001200000",0.160000'
    assert _rows(path) == [one] * 3 + [two] * 3
    assert path.stat().st_mode & 0o777 == 0o640
    assert (run_directory(tmp_path / "out") / "benchmark.csv").read_bytes() == path.read_bytes()
    assert [file.name for file in path.parent.iterdir()] == ["benchmark.csv"]


def test_a_path_that_cannot_be_written_ends_the_run_before_it_begins(tmp_path, path):
    path.parent.touch()
    done = run(*QUICK, output=tmp_path / "out", expect=3)
    assert done.stderr == (
        f"error: cannot write {path}: its folder is a file; give this run a path of its own with "
        "ATB_LLM_BENCHMARK_FILEPATH\n"
    )
    assert not (tmp_path / "out").exists()


def test_a_run_that_went_on_repeats_no_row(tmp_path, path):
    process = start_slowly(QUICK, tmp_path / "out", step_ms=60)
    await_journal(tmp_path / "out", 4)
    end(process, signal.SIGKILL)
    assert not path.exists()
    directory = run_directory(tmp_path / "out")
    resume(directory)
    trials = sum(case["trials"] for case in read(directory)["summary"]["cases"])
    assert len(_rows(path)) == trials


def test_a_run_that_is_interrupted_leaves_no_table(tmp_path, path):
    process = start_slowly(PERFORMANCE, tmp_path / "out", step_ms=40)
    await_journal(tmp_path / "out", 4)
    assert end(process, signal.SIGINT) == 130
    assert list(path.parent.iterdir()) == []


def test_a_second_run_on_the_same_path_is_refused_and_the_first_goes_on(tmp_path, path):
    process = start_slowly(QUICK, tmp_path / "out", step_ms=60)
    done = run(*QUICK, output=tmp_path / "second", expect=3)
    assert f"error: another run is going to write {path}; give this run a path of its own" in done.stderr
    assert process.wait(timeout=60) == 0
    process.stderr.close()
    assert len(_rows(path)) == 6


def test_a_run_without_a_valid_case_leaves_no_table_and_says_why(tmp_path, path):
    _old_table(path)
    words = ["fake", "performance", "[[16,4]]", "2", "llama", "none", "1", "--quick"]
    done = run(*words, *option("out_of_memory_above=1"), output=tmp_path / "out", expect=1)
    assert f"no {path}: no trial of a case that may be used was measured" in done.stderr
    assert not path.exists()
