"""Suites in processes of their own: shared loads, failures, what stops them and how they go on."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import jsonschema
import pytest
from run_processes import COMMAND, await_end, await_journal, children, journal, read, run_command
from signalled_process import SignalledProcess, alone

from modeltest.schema import schemas

pytest.importorskip("yaml")

SUITE = """
models: [none]
engines: [fake]
tasks:
  - accuracy: {task: boolq, split: sample, batch-size: 4}
  - performance: {case: [16, 4], batch-size: [1, 2], quick: true}
  - accuracy: {task: boolq, split: sample, batch-size: 2, limit: 8}
"""
NAMES = ["001_sample_BoolQ_auto_fake", "002_performance_auto_fake", "003_sample_BoolQ_auto_fake"]
SLOW = "defaults: {engine-option: [sleep=yes, step_ms=150]}\n"


def write(folder: Path, text: str) -> str:
    path = folder / "suite.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def run_suite(folder: Path, text: str, *words: str, expect: int = 0) -> tuple[Path, dict]:
    """Return the directory of a suite of `text` and its `suite.json`, held against the schema."""
    output = folder / "out"
    done = run_command("suite", write(folder, text), "--output", str(output), *words, expect=expect)
    (directory,) = output.iterdir()
    found = read(directory, "suite.json")
    jsonschema.Draft202012Validator(schemas()["suite.schema.json"]).validate(found)
    assert f"{len(found['runs'])} run" in done.stdout
    return directory, found


def answers(directory: Path) -> dict:
    return {line["sample"]["score"]["request_id"]: line["sample"] for line in journal(directory)}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Path, dict]:
    return run_suite(tmp_path_factory.mktemp("undisturbed"), SUITE)


def test_the_runs_share_one_load_and_one_worker(undisturbed):
    directory, found = undisturbed
    assert [run["name"] for run in found["runs"]] == NAMES
    assert (found["status"], found["loads"], found["exit_status"]) == ("complete", 1, 0)
    assert [run["loads"] for run in found["runs"]] == [1, 0, 0]
    assert {run["shares"] for run in found["runs"]} == {1}
    assert sorted(path.name for path in directory.iterdir() if path.is_dir()) == NAMES
    assert "load" in read(directory / NAMES[0])["timing_s"]
    for name in NAMES[1:]:
        assert "load" not in read(directory / name)["timing_s"], "the time of loading is the first run's"
        assert read(directory / name)["engine"]["notes"][-1].startswith(
            "the model was loaded by an earlier run"
        )


def test_a_run_of_a_suite_is_what_it_is_alone(undisturbed, tmp_path):
    directory, found = undisturbed
    words = found["runs"][2]["command"][1:]
    run_command(*words, "--output", str(tmp_path))
    (alone,) = tmp_path.iterdir()
    together = directory / NAMES[2]
    assert answers(together) == answers(alone)
    names = {path.name for path in alone.iterdir()}
    assert {path.name for path in together.iterdir()} == names
    then, now = read(alone, "accuracy.json"), read(together, "accuracy.json")
    for part in ("accuracy", "subjects", "protocol", "dataset"):
        assert then[part] == now[part]
    assert read(together)["command"].split()[1:] == words


def test_every_run_writes_its_own_log(tmp_path):
    text = SUITE.replace("split: sample, batch-size: 2", "split: full, data-dir: /nowhere")
    directory, _ = run_suite(tmp_path, text, expect=4)
    assert "DatasetError" in (directory / "003_full_BoolQ_auto_fake" / "log.txt").read_text()
    assert (directory / NAMES[0] / "log.txt").read_text() == ""


def test_a_run_without_its_data_fails_and_the_loaded_model_serves_the_next(tmp_path):
    missing = "task: [boolq, mmlu], split: full, data-dir: /nowhere"
    text = SUITE.replace("task: boolq, split: sample, batch-size: 4", missing)
    _, found = run_suite(tmp_path, text, expect=4)
    statuses = [(run["status"], run["exit_status"]) for run in found["runs"]]
    assert statuses == [("failed", 4), ("failed", 4), ("complete", 0), ("complete", 0)]
    assert (found["status"], found["exit_status"], found["loads"]) == ("complete", 4, 1)
    assert "is not in /nowhere" in found["runs"][0]["error"]


def test_a_run_whose_engine_fails_costs_the_next_one_a_load(tmp_path):
    text = "defaults: {engine-option: [out_of_memory_above=2]}\n" + SUITE
    _, found = run_suite(tmp_path, text, expect=5)
    assert [run["exit_status"] for run in found["runs"]] == [5, 0, 0]
    assert [run["loads"] for run in found["runs"]] == [1, 1, 0]


def test_a_lost_worker_is_replaced_and_kept_for_the_next_run(tmp_path):
    once = f"defaults: {{engine-option: ['crash_at=boolq/9', 'once={tmp_path / 'happened'}']}}\n"
    directory, found = run_suite(tmp_path, once + SUITE)
    assert [run["loads"] for run in found["runs"]] == [2, 0, 0]
    assert len(read(directory / NAMES[0])["interruptions"]) == 1


def test_an_engine_that_changed_during_a_run_is_loaded_anew(tmp_path):
    text = (
        "defaults: {engine-option: [changed_after_oom=yes, out_of_memory_above=6]}\n"
        "models: [none]\nengines: [fake]\ntasks:\n"
        "  - performance: {case: [16, 4], batch-size: [2, 8], quick: true}\n"
        "  - accuracy: {task: boolq, split: sample, batch-size: 4}\n"
    )
    directory, found = run_suite(tmp_path, text, expect=1)
    accuracy = read(directory / "002_sample_BoolQ_auto_fake")
    assert accuracy["verdict"] == "VALID"
    assert found["runs"][1]["loads"] == 1
    (lost,) = accuracy["interruptions"]
    assert "the same prompt gives other tokens than after loading" in lost["reason"]


def test_what_cannot_be_planned_is_refused_and_the_rest_is_run(tmp_path):
    text = SUITE.replace("engines: [fake]", "engines: [fake, hf]")
    _, found = run_suite(tmp_path, text, expect=2)
    assert [run["status"] for run in found["runs"]] == ["complete"] * 3 + ["refused"] * 3
    assert "none" in next(run["error"] for run in found["runs"] if run["status"] == "refused")


def start(folder: Path, text: str) -> tuple[subprocess.Popen, Path]:
    """Start a suite and return once its second run has measured something."""
    output = folder / "out"
    command = [*COMMAND, "suite", write(folder, text), "--output", str(output)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 100
    while not list(output.glob("*/002_*/samples.jsonl")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    (directory,) = output.iterdir()
    return process, directory


def test_a_suite_that_was_killed_goes_on_to_the_same_results(undisturbed, tmp_path):
    process, directory = start(tmp_path, SLOW + SUITE)
    workers = children(process.pid)
    process.kill()
    process.wait()
    await_end(workers)
    before = (directory / NAMES[0] / "samples.jsonl").stat().st_mtime_ns
    done = run_command("suite", "--resume", str(directory))
    found = read(directory, "suite.json")
    assert [run["status"] for run in found["runs"]] == ["complete"] * 3
    assert [run["loads"] for run in found["runs"]] == [1, 1, 0]
    assert found["loads"] == 2
    assert (directory / NAMES[0] / "samples.jsonl").stat().st_mtime_ns == before
    assert f"[1/3] {NAMES[0]}" not in done.stderr, "what is complete is not run again"
    for name in (NAMES[0], NAMES[2]):
        assert answers(directory / name) == answers(undisturbed[0] / name)
    measured = [line["measurement"]["inputs_sha256"] for line in journal(directory / NAMES[1])]
    expected = [line["measurement"]["inputs_sha256"] for line in journal(undisturbed[0] / NAMES[1])]
    assert measured == expected
    assert not [path for path in directory.iterdir() if path.is_fifo()]


def test_a_terminal_that_is_closed_ends_a_suite_as_a_signal_does(tmp_path):
    output = tmp_path / "out"
    words = ["suite", write(tmp_path, SLOW + SUITE), "--output", str(output)]
    screen = tmp_path / "screen"
    started = SignalledProcess(words, cwd=tmp_path, mark=str(tmp_path), on_terminal=True, errors=screen)
    with alone(started) as process:
        assert process.wait_for(lambda: any(output.glob("*/001_*/samples.jsonl")), 100)
        (directory,) = output.iterdir()
        await_journal(directory, 2)
        assert process.send(signal.SIGHUP, "terminal")
        assert process.end() == 128 + signal.SIGHUP
        assert process.await_nothing_left(60) is not None
    assert "Traceback" not in process.text
    assert read(directory, "suite.json")["status"] == "partial"
    run_command("suite", "--resume", str(directory))
    assert read(directory, "suite.json")["status"] == "complete"


def test_ctrl_c_leaves_a_suite_that_can_be_gone_on_with(tmp_path):
    process, directory = start(tmp_path, SLOW + SUITE)
    workers = children(process.pid)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    await_end(workers)
    found = read(directory, "suite.json")
    assert (found["status"], found["exit_status"]) == ("partial", 130)
    assert [run["status"] for run in found["runs"]] == ["complete", "partial", "planned"]
    run_command("suite", "--resume", str(directory))
    assert read(directory, "suite.json")["exit_status"] == 0


def test_two_processes_cannot_work_on_one_suite(tmp_path):
    process, directory = start(tmp_path, SLOW.replace("150", "1500") + SUITE)
    try:
        done = run_command("suite", "--resume", str(directory), expect=3)
        assert "another process is at work" in done.stderr
        done = run_command("run", "--resume", str(directory / NAMES[1]), expect=3)
        assert "another process is at work" in done.stderr
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def test_a_complete_suite_only_shows_its_table(undisturbed):
    done = run_command("suite", "--resume", str(undisturbed[0]))
    assert "complete: 3 runs, 1 model load, exit status 0" in done.stdout


def test_a_dry_run_shows_the_runs_and_the_loads_and_starts_nothing(tmp_path):
    text = SUITE.replace("engines: [fake]", "engines: [fake, {engine: fake, engine-option: [step_ms=2]}]")
    done = run_command("suite", write(tmp_path, text), "--dry-run", "--output", str(tmp_path / "out"))
    assert "6 runs; 2 model loads" in done.stdout
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            SUITE.replace("task: boolq, split: sample, batch-size: 2", "task: bolq"),
            "line 7: accuracy: unknown task",
        ),
        (
            SUITE.replace("batch-size: 4", "batch-size: four"),
            "line 5: accuracy: Invalid value for",
        ),
        (SUITE.replace("engines: [fake]", "engines: [fkae]"), "line 3: accuracy: unknown engine 'fkae'"),
        ("defaults:\n  limit: 0\n" + SUITE, "line 2: accuracy: Invalid value for '--limit'"),
        ("exclude: [{engine: fake}]\n" + SUITE, "asks for no run: it has no task, or every"),
    ],
)
def test_what_the_commands_refuse_names_its_line(tmp_path, text, expected):
    done = run_command("suite", write(tmp_path, text), "--output", str(tmp_path / "out"), expect=2)
    assert expected in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_file_or_a_directory_is_needed(tmp_path):
    assert "give a suite file, or --resume DIR" in run_command("suite", expect=2).stderr
    done = run_command("suite", "--resume", str(tmp_path), expect=2)
    assert "is not a suite: it has no suite.json" in done.stderr


@pytest.mark.long
def test_the_nightly_example_runs_on_demo_models_with_a_load_per_model_and_engine(tmp_path, demo_model):
    example = Path(__file__).resolve().parents[3] / "docs" / "examples" / "nightly.yaml"
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "llama").symlink_to(demo_model("llama"))
    done = subprocess.run(
        [*COMMAND, "suite", str(example), "--output", str(tmp_path / "out")],
        env={**os.environ, "WEIGHTS": str(weights), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=290,
    )
    assert done.returncode == 0, done.stderr
    (directory,) = (tmp_path / "out").iterdir()
    found = json.loads((directory / "suite.json").read_text())
    assert len(found["runs"]) == 2 * 2 + 1 + 1
    assert found["loads"] == 2
    assert "6 runs, 2 model loads" in done.stdout
    assert {run["status"] for run in found["runs"]} == {"complete"}
    for name in ("suite.html", "junit.xml", "summary.md"):
        assert (directory / name).stat().st_size
