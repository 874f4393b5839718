"""Real worker processes, on the fake engine: what a supervisor makes of every way a run can go."""

import json
import signal
import subprocess
import sys
import threading
import time
from xml.etree import ElementTree as ET

import pytest
from run_processes import (
    BOOLQ,
    COMMAND,
    PERFORMANCE,
    children,
    is_alive,
    journal,
    option,
    read,
    run,
    run_directory,
    start_slowly,
)

from modeltest.run.supervisor.worker_process import GRACE_S

SLOW = ["fake", "performance", "[[16,64]]", "1", "llama", "none", "1"]


def contents(directory):
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def assert_told_to_ci(directory, error):
    """Assert that a run without a number left what CI systems read, and nothing else, with `error` in it."""
    partial = directory / "partial"
    assert {path.name for path in partial.iterdir()} == {"junit.xml", "summary.md"}
    (found,) = ET.parse(partial / "junit.xml").getroot().iter("error")
    assert found.attrib["message"].startswith(error)
    assert (partial / "summary.md").read_text(encoding="utf-8").startswith("## \N{CROSS MARK} ")


def test_a_run_leaves_its_files_and_prints_their_paths(tmp_path):
    done = run(*BOOLQ, output=tmp_path)
    directory = run_directory(tmp_path)
    names = {path.name for path in directory.iterdir()}
    assert names >= {
        "accuracy.json",
        "junit.xml",
        "log.txt",
        "metrics.json",
        "plots",
        "report.html",
        "run.json",
        "samples.jsonl",
        "summary.md",
    }
    assert all(str(directory / name) in done.stdout for name in names)
    assert "verdict: VALID" in done.stdout
    result = read(directory)
    assert result["status"] == "complete"
    assert result["engine"]["engine"] == "fake"
    assert result["dataset"]["records"] == len(journal(directory)) == 24
    assert result["protocol_version"]


def test_the_engine_really_used_is_said_before_anything_runs(tmp_path):
    lines = run(*BOOLQ, output=tmp_path).stderr.splitlines()
    assert lines[0].startswith("fake: engine fake, run directory ")
    assert lines.index("engine fake on none in none") < lines.index("running ...")


def test_a_chosen_subject_is_asked_alone_and_recorded(tmp_path):
    words = ["fake", "sample_MMLU", "5", "4", "llama", "none", "1"]
    run(*words, "--subject", "philosophy", "--subject", "astronomy", "--limit", "1", output=tmp_path)
    directory = run_directory(tmp_path)
    ids = [line["sample"]["score"]["request_id"] for line in journal(directory)]
    assert sorted(ids) == ["astronomy/0", "philosophy/0"]
    result = read(directory)
    assert result["spec"]["subjects"] == ["philosophy", "astronomy"]
    assert result["dataset"]["subjects"] == 2


def test_an_unknown_subject_is_one_line_with_a_suggestion(tmp_path):
    words = ["fake", "sample_MMLU", "5", "4", "llama", "none", "1"]
    done = run(*words, "--subject", "astronmy", output=tmp_path, expect=2)
    assert done.stderr.splitlines()[-1] == (
        "error: dataset 'mmlu' has no subject 'astronmy'; did you mean astronomy"
    )


def test_failed_questions_make_the_run_invalid_and_the_status_1(tmp_path):
    done = run(*BOOLQ, *option("fail_every=5"), output=tmp_path, expect=1)
    assert "4 of 24 questions failed" in done.stdout
    accuracy = json.loads((run_directory(tmp_path) / "accuracy.json").read_text())
    assert (accuracy["failed"], accuracy["total"]) == (4, 24)


def test_questions_the_engine_never_answers_are_failed(tmp_path):
    run(*BOOLQ, *option("lose_every=12"), output=tmp_path, expect=1)
    assert len(journal(run_directory(tmp_path))) == 24


def test_memory_that_runs_out_in_an_accuracy_run_is_an_engine_error(tmp_path):
    done = run(*BOOLQ, *option("out_of_memory_above=2"), output=tmp_path, expect=5)
    assert "out of memory with 4 rows" in done.stderr.splitlines()[-1]
    assert read(run_directory(tmp_path))["verdict"] is None
    assert_told_to_ci(run_directory(tmp_path), "failed: fake: out of memory with 4 rows")


def test_memory_that_runs_out_in_a_performance_run_is_a_result(tmp_path):
    words = ["fake", "performance", "[[16,4]]", "[2,4]", "llama", "none", "1"]
    done = run(*words, *option("out_of_memory_above=2"), output=tmp_path, expect=1)
    assert "INVALID" in done.stdout
    cases = json.loads((run_directory(tmp_path) / "performance.json").read_text())["cases"]
    assert [case["verdict"] for case in cases] == ["VALID", "INVALID"]


def test_the_largest_batch_within_the_limit_is_found(tmp_path):
    # A step takes 1 + 0.1 x batch ms: 50 rows take 6 ms.
    words = ["fake", "performance_maxbs", "[[16,4]]", "[[1,512]]", "6.05", "llama", "none", "1"]
    run(*words, output=tmp_path)
    (case,) = json.loads((run_directory(tmp_path) / "performance.json").read_text())["max_batch"]
    assert (case["max_batch"], case["status"]) == (50, "FOUND")


def test_a_malformed_dataset_row_is_one_line_with_file_and_row(tmp_path):
    data = tmp_path / "data" / "boolq"
    data.mkdir(parents=True)
    (data / "dev.jsonl").write_text('{"question": "q", "title": "t", "answer": true, "passage": "p"}\n{"oops')
    words = ["fake", "full_BoolQ", "4", "llama", "none", "1", "--data-dir", str(tmp_path / "data")]
    done = run(*words, output=tmp_path / "out", expect=4)
    assert "dev.jsonl" in done.stderr.splitlines()[-1]
    assert "2" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_absent_data_says_how_to_get_it(tmp_path):
    words = ["fake", "full_MMLU", "5", "4", "llama", "none", "1", "--data-dir", str(tmp_path / "none")]
    done = run(*words, output=tmp_path / "out", expect=4)
    assert "modeltest data fetch mmlu" in done.stderr
    assert "modeltest data add mmlu" in done.stderr


def test_several_batch_sizes_of_an_accuracy_task_are_several_runs(tmp_path):
    run("fake", "sample_BoolQ", "[1,24]", "llama", "none", "1", output=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_two_runs_at_once_do_not_touch_each_other(tmp_path):
    threads = [threading.Thread(target=run, args=BOOLQ, kwargs={"output": tmp_path}) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    directories = list(tmp_path.iterdir())
    assert len(directories) == 3
    assert all(len(journal(directory)) == 24 for directory in directories)
    assert all(read(directory)["status"] == "complete" for directory in directories)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_an_interrupted_run_ends_its_worker_and_is_marked_partial(tmp_path, number, status):
    process = start_slowly(SLOW, tmp_path)
    (worker,) = children(process.pid)
    process.send_signal(number)
    assert process.wait(timeout=60) == status
    assert process.stderr.read().splitlines()[-1] == "interrupted"
    process.stderr.close()
    assert not is_alive(worker)
    result = read(run_directory(tmp_path))
    assert (result["status"], result["error"]) == ("partial", "interrupted before its first batch")
    assert_told_to_ci(run_directory(tmp_path), "partial: interrupted before its first batch")
    assert result["summary"] is None


def test_a_background_job_without_sigint_ends_its_worker_at_once(tmp_path):
    # As a shell that is not interactive starts `command &`: with SIGINT ignored, which children inherit.
    process = start_slowly(SLOW, tmp_path, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    begin = time.monotonic()
    process.terminate()
    process.wait(timeout=60)
    process.stderr.close()
    assert time.monotonic() - begin < GRACE_S / 2


def test_a_run_under_nohup_does_not_end_with_the_terminal(tmp_path):
    process = start_slowly(SLOW, tmp_path, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    process.terminate()
    process.wait(timeout=60)
    process.stderr.close()


def test_a_report_of_a_run_that_was_cut_short_is_invalid(tmp_path):
    run(*BOOLQ, *option("crash_after=1"), output=tmp_path, expect=128 + signal.SIGKILL)
    done = subprocess.run(
        [*COMMAND, "report", str(run_directory(tmp_path))], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "verdict: INVALID" in done.stdout
    assert "12 of 24 questions were asked: the run was cut short" in done.stdout


def test_a_report_that_cannot_be_written_makes_the_run_failed(tmp_path):
    # Measurements fit, the larger page about them does not.
    words = ["fake", "performance", "[[16,400]]", "1", "llama", "none", "1", "--output", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK.replace("20000", "50000"), *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 3
    assert "report.html" in done.stderr.splitlines()[-1]
    result = read(run_directory(tmp_path))
    assert result["status"] == "failed"
    assert "report.html" in result["error"]


def test_a_mode_that_its_task_does_not_serve_yet_ends_before_anything_is_started(tmp_path):
    done = run("fake", "edge_BoolQ", "4", "llama", "none", "1", output=tmp_path, expect=3)
    assert done.stderr == (
        "error: mode 'edge_BoolQ' is not available yet; of boolq: full_BoolQ, sample_BoolQ\n"
    )
    assert not list(tmp_path.iterdir())


def test_verbose_shows_the_output_of_a_worker_that_failed(tmp_path):
    done = run(*BOOLQ, *option("out_of_memory_above=2"), "-v", output=tmp_path, expect=5)
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: fake: out of memory")


def test_a_supervisor_that_is_killed_takes_its_worker_along(tmp_path):
    process = start_slowly(PERFORMANCE, tmp_path, step_ms=100)
    workers = children(process.pid)
    process.kill()
    process.wait()
    process.stderr.close()
    deadline = time.monotonic() + 30
    while any(is_alive(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)


FILL_THE_DISK = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
sys.argv = ["modeltest", *sys.argv[1:]]
runpy.run_module("modeltest", run_name="__main__")
"""


def test_a_full_disk_is_one_line_and_no_half_written_file(tmp_path):
    words = ["fake", "sample_MMLU", "5", "1", "llama", "none", "1", "--output", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 3
    error = done.stderr.splitlines()[-1]
    assert error.startswith("error: cannot write ")
    assert "samples.jsonl" in error
    directory = run_directory(tmp_path)
    assert journal(directory)
    assert (directory / "samples.jsonl").read_bytes().endswith(b"\n")
    assert read(directory)["status"] == "failed"
    assert not [path for path in directory.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("kind", ["sample_BoolQ 4", "sample_CEval 5 8", "sample_MMLU 0 8"])
@pytest.mark.parametrize("protocol", ["modeltest", "lm-eval"])
def test_report_writes_the_same_files_again_without_a_model(tmp_path, kind, protocol):
    run("fake", *kind.split(), "llama", "none", "1", "--protocol", protocol, output=tmp_path)
    directory = run_directory(tmp_path)
    before = contents(directory)
    for path in directory.rglob("*"):
        if path.is_file() and path.name not in ("run.json", "samples.jsonl", "log.txt"):
            path.unlink()
    subprocess.run([*COMMAND, "report", str(directory)], check=True, capture_output=True)
    assert contents(directory) == before
