"""Real workers that are lost: what takes their place, what is given up, what is said of it."""

import os
import signal
import time

import pytest
from run_processes import (
    BOOLQ,
    PERFORMANCE,
    await_end,
    await_journal,
    children,
    journal,
    option,
    read,
    resume,
    run,
    run_directory,
    start_slowly,
)

QUESTION = "boolq/9"
TRIAL = "0/2/1"
IN_TRIAL = "16x4/b2/t1/r0"
MAXBS = ["fake", "performance_maxbs", "[[16,4]]", "[[1,8]]", "1.65", "llama", "none", "1"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return the directory of an accuracy run that nothing happened to."""
    output = tmp_path_factory.mktemp("undisturbed")
    run(*BOOLQ, output=output)
    return run_directory(output)


def samples(directory):
    return {line["sample"]["score"]["request_id"]: line["sample"] for line in journal(directory)}


def test_ids_of_these_tests_are_those_of_the_sample(undisturbed):
    assert QUESTION in samples(undisturbed)


@pytest.mark.parametrize("kind", ["crash_at", "device_error_at"])
def test_a_worker_that_is_lost_once_is_replaced_and_nothing_is_missing(tmp_path, kind, undisturbed):
    once = option(f"once={tmp_path / 'happened'}")
    output = tmp_path / "out"
    done = run(*BOOLQ, *option(f"{kind}={QUESTION}"), *once, output=output)
    directory = run_directory(output)
    assert len(journal(directory)) == 24
    assert samples(directory) == samples(undisturbed)
    result = read(directory)
    assert (result["status"], result["verdict"]) == ("complete", "VALID")
    (lost,) = result["interruptions"]
    assert (lost["done"], lost["in_flight"], lost["given_up"]) == (8, 4, False)
    assert lost["reason"] in done.stderr
    assert f"{lost['reason']}; reload 1 of 2" in done.stderr
    assert f"went on after: {lost['reason']}" in done.stdout
    assert done.stderr.count("running ...") == 2


def test_a_batch_that_ends_two_workers_is_failed_and_the_others_are_answered(tmp_path, undisturbed):
    done = run(*BOOLQ, *option(f"crash_at={QUESTION}"), output=tmp_path, expect=1)
    directory = run_directory(tmp_path)
    result = read(directory)
    first, second = result["interruptions"]
    assert (first["given_up"], second["given_up"]) == (False, True)
    assert QUESTION in second["suspects"]
    assert len(second["suspects"]) == 4
    found, expected = samples(directory), samples(undisturbed)
    assert len(journal(directory)) == len(found) == 24
    for name, sample in found.items():
        if name in second["suspects"]:
            assert sample["score"]["error"] == second["reason"]
        else:
            assert sample == expected[name]
    assert "4 of 24 questions failed" in done.stdout
    assert (
        f"given up, questions {', '.join(second['suspects'][:3])} and 1 more: the worker was" in done.stdout
    )
    assert "reload 2 of 2, without what was being run" in done.stderr


def test_a_third_loss_ends_the_run_which_can_be_gone_on_with(tmp_path):
    done = run(*BOOLQ, *option("crash_after=1"), output=tmp_path, expect=128 + signal.SIGKILL)
    directory = run_directory(tmp_path)
    error = done.stderr.splitlines()[-1]
    assert error.startswith("error: the worker was killed by SIGKILL after 12 of 24 questions")
    assert f"`modeltest run --resume {directory}` goes on" in error
    result = read(directory)
    assert result["status"] == "failed"
    assert [lost["done"] for lost in result["interruptions"]] == [4, 8, 12]
    assert not any(lost["given_up"] for lost in result["interruptions"])
    assert len(journal(directory)) == 12
    assert {path.name for path in directory.iterdir()} == {
        *("log.txt", "partial", "run.json", "samples.jsonl")
    }


def test_an_error_that_would_come_again_is_not_tried_again(tmp_path):
    done = run(*BOOLQ, *option("out_of_memory_above=2"), output=tmp_path, expect=5)
    assert "reload" not in done.stderr
    assert read(run_directory(tmp_path))["interruptions"] == []


def test_a_worker_in_which_no_batch_ends_is_killed_and_replaced(tmp_path):
    once = option(f"once={tmp_path / 'happened'}")
    words = [*BOOLQ, *option(f"hang_at={QUESTION}"), *once, "--batch-timeout", "0.5"]
    done = run(*words, output=tmp_path / "out")
    (lost,) = read(run_directory(tmp_path / "out"))["interruptions"]
    assert lost["reason"].startswith("the worker hung: no batch ended within ")
    assert lost["reason"].endswith(" s after 8 of 24 questions")
    assert lost["reason"] in done.stderr
    assert len(journal(run_directory(tmp_path / "out"))) == 24


def test_a_worker_that_stops_beating_is_killed_and_replaced(tmp_path):
    process = start_slowly([*PERFORMANCE, "--heartbeat-timeout", "1.5"], tmp_path, step_ms=30)
    (worker,) = children(process.pid)
    os.kill(worker, signal.SIGSTOP)
    assert process.wait(timeout=60) in (0, 1)
    said = process.stderr.read()
    process.stderr.close()
    assert "the worker hung: no heartbeat for 1.5 s" in said
    (lost,) = read(run_directory(tmp_path))["interruptions"]
    assert not lost["given_up"]
    await_end([worker])


def test_a_worker_that_does_not_load_in_time_is_killed(tmp_path):
    words = [*BOOLQ, *option("load_ms=60000"), "--load-timeout", "1"]
    done = run(*words, output=tmp_path, expect=5)
    assert done.stderr.splitlines()[-1].startswith(
        "error: the worker hung: not loaded within 1 s before its first batch"
    )
    assert len(read(run_directory(tmp_path))["interruptions"]) == 3


def test_a_trial_that_kills_two_workers_does_not_fit_and_has_no_latency(tmp_path):
    done = run(*PERFORMANCE, *option(f"crash_at={IN_TRIAL}"), output=tmp_path, expect=1)
    directory = run_directory(tmp_path)
    first, second = read(directory)["interruptions"]
    assert first["suspects"] == second["suspects"] == [TRIAL]
    assert (first["given_up"], second["given_up"], second["out_of_memory"]) == (False, True, True)
    lines = [line["measurement"] for line in journal(directory)]
    names = [f"{one['case_index']}/{one['batch_size']}/{one['trial']}" for one in lines]
    assert len(set(names)) == len(names)
    assert names[-1] == TRIAL
    assert lines[-1]["out_of_memory"]
    assert lines[-1]["completions"] == []
    assert lines[-1]["error"] == second["reason"]
    assert f"given up, trial {TRIAL}: the worker was killed by SIGKILL" in done.stdout
    cases = read(directory, "performance.json")["cases"]
    assert [case["verdict"] for case in cases] == ["VALID", "INVALID"]


def test_a_search_goes_on_below_a_batch_that_kills_its_worker(tmp_path):
    # A step takes 1 + 0.1 x batch ms: 6 rows are within 1.65 ms.
    run(*MAXBS, *option("crash_at=16x4/b4/t1/r0"), output=tmp_path)
    (case,) = read(run_directory(tmp_path), "performance.json")["max_batch"]
    assert (case["max_batch"], case["status"]) == (3, "MEMORY_LIMITED")
    decisions = {probe["batch_size"]: probe["decision"] for probe in case["probes"]}
    assert decisions[4] == "OUT_OF_MEMORY"


def test_a_trial_that_hangs_twice_failed_but_is_not_out_of_memory(tmp_path):
    words = [*PERFORMANCE, *option(f"hang_at={IN_TRIAL}"), "--batch-timeout", "0.5"]
    run(*words, output=tmp_path, expect=1)
    last = journal(run_directory(tmp_path))[-1]["measurement"]
    assert not last["out_of_memory"]
    assert "hung: no batch ended within" in last["error"]


def test_an_engine_that_is_changed_by_an_out_of_memory_is_reloaded(tmp_path):
    words = ["fake", "performance", "[[16,4],[8,4]]", "[1,2]", "llama", "none", "1"]
    changed = [*option("out_of_memory_above=1"), *option("changed_after_oom=yes")]
    done = run(*words, *changed, output=tmp_path, expect=1)
    directory = run_directory(tmp_path)
    (lost,) = read(directory)["interruptions"]
    assert "batch 1, which fitted before, gives other tokens" in lost["reason"]
    assert "reload 1 of 2" in done.stderr
    cases = read(directory, "performance.json")["cases"]
    assert [(case["batch_size"], case["trials"]) for case in cases] == [(1, 5), (2, 0), (1, 5), (2, 0)]


def test_a_run_of_another_harness_is_not_begun_again(tmp_path):
    pytest.importorskip("lm_eval")
    words = ["lm-eval", "--tasks", "arc_easy", "--engine", "fake", "--model", "none", "--profile", "llama"]
    done = run(*words, "--load-timeout", "0.05", output=tmp_path, expect=5)
    assert done.stderr.splitlines()[-1].startswith("error: the worker hung: not loaded within 0.05 s")
    assert "reload" not in done.stderr
    assert "--resume" not in done.stderr
    refused = resume(run_directory(tmp_path), expect=2)
    assert "another harness, which keeps no journal and cannot be gone on with" in refused.stderr


def test_a_killed_supervisor_leaves_nothing_behind_but_its_run_directory(tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    process = start_slowly(PERFORMANCE, tmp_path / "out", step_ms=100)
    await_journal(tmp_path / "out", 1)
    workers = children(process.pid)
    process.kill()
    process.wait()
    process.stderr.close()
    await_end(workers)
    deadline = time.monotonic() + 10
    while (run_directory(tmp_path / "out") / ".events").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not list(scratch.iterdir())
