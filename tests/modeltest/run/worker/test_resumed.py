"""`--resume DIR` with real processes: stopped at any moment, a run goes on to what it would have been."""

import json
import os
import random
import re
import shutil
import signal
import struct
import time
from contextlib import suppress

import pytest
from run_processes import (
    BOOLQ,
    PERFORMANCE,
    await_end,
    await_journal,
    children,
    end,
    journal,
    option,
    read,
    resume,
    run,
    run_command,
    run_directory,
    start,
    start_slowly,
)

KINDS = {
    "accuracy": (["fake", "sample_BoolQ", "2", "llama", "none", "1"], 20),
    "performance": (["fake", "performance", "[[16,4]]", "[1,2]", "llama", "none", "1"], 10),
    "max_batch": (["fake", "performance_maxbs", "[[16,4]]", "[[1,8]]", "12", "llama", "none", "1"], 10),
}
"""Words, and the time of a step in ms that makes the run take about half a second."""

REPORTS = {"accuracy": "accuracy.json", "performance": "performance.json", "max_batch": "performance.json"}


def words_of(kind: str) -> list[str]:
    words, step_ms = KINDS[kind]
    return [*words, *option(f"step_ms={step_ms}"), *option("row_ms=1"), *option("prefill_ms_per_token=0.03")]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return a function from a kind of run to the directory of one that nothing happened to."""
    made = {}

    def get(kind):
        if kind not in made:
            output = tmp_path_factory.mktemp(kind)
            run(*words_of(kind), output=output)
            made[kind] = run_directory(output)
        return made[kind]

    return get


OF_THE_MOMENT = {"started", "usage", "conditions", "warnings", "peak_host_memory_bytes", "load_s", "digest"}
"""What is about the time of day, the machine then, or what the last worker did."""


def lasting(value):
    """Return `value` without what is `OF_THE_MOMENT`, at any depth."""
    if isinstance(value, dict):
        return {name: lasting(inner) for name, inner in value.items() if name not in OF_THE_MOMENT}
    return [lasting(inner) for inner in value] if isinstance(value, list) else value


def entries(directory, kind):
    """Return the journal: questions by their id, for their order is free; trials in theirs."""
    lines = lasting(journal(directory))
    if kind == "accuracy":
        lines.sort(key=lambda line: line["sample"]["score"]["request_id"])
    return lines


def assert_same(directory, other, kind):
    assert entries(directory, kind) == entries(other, kind)
    assert lasting(read(directory, REPORTS[kind])) == lasting(read(other, REPORTS[kind]))
    assert lasting(read(directory)["summary"]) == lasting(read(other)["summary"])
    assert {path.name for path in directory.iterdir()} == {path.name for path in other.iterdir()}
    for path in other.glob("*.csv"):
        assert (directory / path.name).read_bytes() == path.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    "seed", [*range(8), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(8, 20))]
)
def test_killed_at_any_moment_a_run_goes_on_to_the_same_result(tmp_path, seed, undisturbed):
    draw = random.Random(seed)
    kind = ("accuracy", "performance", "max_batch")[seed % 3]
    whole = len(journal(undisturbed(kind)))
    process = start([*words_of(kind), *option("sleep=yes")], tmp_path)
    if draw.random() < 0.8:  # else: while it starts
        await_journal(tmp_path, 1 + draw.randrange(whole - 1))
    time.sleep(draw.random() * 0.3)
    workers = children(process.pid)
    if seed % 2 and workers:
        with suppress(ProcessLookupError):  # it has just ended
            os.kill(workers[0], signal.SIGKILL)
        status = process.wait(timeout=60)
        process.stderr.close()
        assert status == 0
    else:
        process.kill()
        process.wait()
        process.stderr.close()
        if not list(tmp_path.glob("*/run.json")):
            return  # there is no run yet
        await_end(workers)
        resume(run_directory(tmp_path))
    assert_same(run_directory(tmp_path), undisturbed(kind), kind)


def test_a_run_can_be_stopped_and_gone_on_with_many_times(tmp_path, undisturbed):
    kind = "accuracy"
    end(start_after(tmp_path, words_of(kind), 2), signal.SIGKILL)
    directory = run_directory(tmp_path)
    run_command("--resume", str(directory), expect=0)
    assert_same(directory, undisturbed(kind), kind)


def start_after(output, words, entries):
    process = start_slowly(words, output, step_ms=40)
    await_journal(output, entries)
    return process


@pytest.mark.parametrize("kind", ["accuracy", "performance", "max_batch"])
def test_an_interrupted_run_shows_its_partial_result_and_goes_on(tmp_path, kind, undisturbed):
    slow = [*words_of(kind), *option("sleep=yes")]
    process = start(slow, tmp_path)
    await_journal(tmp_path, 3)
    assert end(process, signal.SIGINT) == 130
    directory = run_directory(tmp_path)
    result = read(directory)
    assert (result["status"], result["verdict"]) == ("partial", "INVALID")
    assert result["reasons"][0].startswith("the run is partial: interrupted after ")
    assert result["summary"] is not None
    partial = read(directory / "partial", REPORTS[kind])
    assert (partial["run"]["status"], partial["verdict"]) == ("partial", "INVALID")
    assert not (directory / REPORTS[kind]).exists()
    assert not list(directory.glob("*.csv"))
    resume(directory)
    assert not (directory / "partial").exists()
    assert [one["reason"] for one in read(directory)["interruptions"]] == ["interrupted"]
    assert_same(directory, undisturbed(kind), kind)


def test_the_table_of_a_partial_result_says_so(tmp_path):
    process = start_after(tmp_path, BOOLQ, 4)
    end(process, signal.SIGINT)
    done = run_command("report", str(run_directory(tmp_path)), expect=1)
    assert "PARTIAL: sample_BoolQ" in done.stdout
    assert "the run is partial: interrupted after" in done.stdout
    assert str(run_directory(tmp_path) / "partial" / "accuracy.json") in done.stdout


@pytest.fixture
def stopped(tmp_path):
    """Return the directory of an accuracy run that was lost in the middle, and cannot be lost again."""
    end(start_after(tmp_path, BOOLQ, 4), signal.SIGKILL)
    return run_directory(tmp_path)


def edit(directory, change):
    path = directory / "run.json"
    result = json.loads(path.read_text())
    change(result)
    path.write_text(json.dumps(result))


def test_the_words_may_be_given_again(stopped):
    spec = read(stopped)["spec"]
    options = [word for name, value in spec["engine_options"].items() for word in option(f"{name}={value}")]
    done = resume(stopped, *BOOLQ, *options)
    assert "going on after " in done.stderr
    assert len(journal(stopped)) == 24


def test_other_words_are_refused_and_named(stopped):
    before = (stopped / "samples.jsonl").read_bytes()
    done = resume(stopped, "fake", "sample_BoolQ", "8", "llama", "none", "1", expect=2)
    assert "batch_sizes was [[4]], now it is [[8]]" in done.stderr
    assert "engine_options was" in done.stderr
    assert (stopped / "samples.jsonl").read_bytes() == before


def test_an_option_alone_must_be_that_of_the_run(stopped):
    done = resume(stopped, "--limit", "3", expect=2)
    assert "limit was None, now it is 3" in done.stderr
    resume(stopped, "--seed", "0")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda result: result.update(modeltest_version="0.0"), "ModelTest was 0.0, now it is "),
        (lambda result: result.update(protocol_version="0"), "protocol version was 0, now it is "),
        (lambda result: result["dataset"].update(sha256="00"), "sha256 was 00, now it is "),
        (lambda result: result["engine"].update(device="npu"), "device was npu, now it is none"),
        (
            lambda result: result["model"].update(fingerprint="00"),
            "weights (fingerprint) was 00, now it is None",
        ),
    ],
)
def test_what_is_no_longer_the_same_is_refused_and_named(stopped, change, problem):
    edit(stopped, change)
    before = len(journal(stopped))
    done = resume(stopped, expect=2)
    assert problem in done.stderr
    assert len(journal(stopped)) == before


def test_other_prompts_are_refused_before_anything_is_asked(stopped):
    path = stopped / "samples.jsonl"
    # Of a version that wrote no digests: with them, an edited line is refused as such.
    lines = [re.sub(r',"digest":"\w+"', "", line) for line in path.read_text().splitlines(keepends=True)]
    path.write_text("".join(lines).replace('"prompt_sha256":"', '"prompt_sha256":"00', 1))
    done = resume(stopped, expect=2)
    assert "was asked with another prompt" in done.stderr


def test_a_measurement_is_not_continued_on_another_machine(tmp_path):
    end(start_after(tmp_path, PERFORMANCE, 2), signal.SIGINT)
    directory = run_directory(tmp_path)
    edit(directory, lambda result: result["machine"].update(processor="Another CPU"))
    done = resume(directory, expect=2)
    assert "processor was Another CPU, now it is " in done.stderr


def test_a_torn_last_line_is_cut_off(stopped):
    with (stopped / "samples.jsonl").open("a") as file:
        file.write('{"sample": {"score": {"requ')
    resume(stopped)
    assert len(journal(stopped)) == 24


def test_a_finished_run_says_so_and_shows_its_table(tmp_path):
    run(*BOOLQ, output=tmp_path)
    directory = run_directory(tmp_path)
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    done = resume(directory)
    assert "is a finished run" in done.stderr
    assert "verdict: VALID" in done.stdout
    assert {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()} == before


def test_the_engine_is_named_though_all_answers_came_before_its_supervisor_heard_of_it(tmp_path):
    run(*words_of("accuracy"), output=tmp_path)
    directory = run_directory(tmp_path)
    engine = read(directory)["engine"]
    edit(directory, lambda result: result.update(status="running", engine=None))
    resume(directory)
    assert read(directory)["status"] == "complete"
    assert {**read(directory)["engine"], "load_s": 0} == {**engine, "load_s": 0}


def test_two_processes_do_not_work_on_one_directory(tmp_path):
    process = start_slowly(PERFORMANCE, tmp_path, step_ms=200)
    done = resume(run_directory(tmp_path), expect=3)
    assert "another process is at work on" in done.stderr
    assert process.poll() is None
    end(process, signal.SIGTERM)


def test_a_directory_that_is_no_run_is_refused_and_left_alone(tmp_path):
    done = resume(tmp_path, expect=2)
    assert "is not a run" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_dry_run_prints_the_spec_of_the_run(stopped):
    done = run_command("--resume", str(stopped), "--dry-run")
    assert json.loads(done.stdout) == read(stopped)["spec"]


@pytest.mark.slow
def test_a_run_of_a_real_model_goes_on(tmp_path, demo_model):
    command = ["hf_fp32", "sample_BoolQ", "4", "llama", str(demo_model("llama")), "1"]
    run(*command, output=tmp_path / "whole")
    process = start(command, tmp_path / "out")
    await_journal(tmp_path / "out", 3)
    end(process, signal.SIGKILL)
    directory, whole = run_directory(tmp_path / "out"), run_directory(tmp_path / "whole")
    resume(directory)
    assert read(directory)["status"] == "complete"
    assert answers(directory) == answers(whole)
    assert lasting(read(directory, "accuracy.json")) == lasting(read(whole, "accuracy.json"))


@pytest.mark.slow
def test_a6_a_killed_run_does_not_go_on_with_a_checkpoint_that_was_edited_since(tmp_path, demo_model):
    model = tmp_path / "model"
    shutil.copytree(demo_model("llama"), model)
    process = start(["hf_fp32", "sample_BoolQ", "1", "llama", str(model), "1"], tmp_path / "out")
    await_journal(tmp_path / "out", 2)
    workers = children(process.pid)
    assert end(process, signal.SIGKILL) == -signal.SIGKILL
    await_end(workers)  # until then one may answer more
    directory = run_directory(tmp_path / "out")
    answered = journal(directory)
    assert read(directory)["status"] == "running"
    for name, edit_file, difference in EDITS:
        before, times = (model / name).read_bytes(), (model / name).stat().st_mtime
        edit_file(model / name)
        os.utime(model / name, (times, times))
        assert (model / name).read_bytes() != before
        assert (model / name).stat().st_size == len(before)
        if difference.startswith("the time"):
            os.utime(model / name, (times + 60, times + 60))
        refused = resume(directory, expect=2)
        assert f"cannot be continued: {difference} of the checkpoint was " in refused.stderr
        assert refused.stderr.count("of the checkpoint was") == 1
        assert journal(directory) == answered
        (model / name).write_bytes(before)
        os.utime(model / name, (times, times))


def edit_middle_weight(path):
    """Write another value into the middle of a tensor of a safetensors file, where the fingerprint looks."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    first, last = json.loads(data[8 : 8 + length])["model.norm.weight"]["data_offsets"]
    edit_weight(path, 8 + length + (first + last) // 8 * 4)


def edit_last_weight(path):
    """Write another value in the place of the last weight, which is between the samples."""
    edit_weight(path, path.stat().st_size - 4)


def edit_weight(path, place):
    data = path.read_bytes()
    (value,) = struct.unpack("<f", data[place : place + 4])
    path.write_bytes(data[:place] + struct.pack("<f", value + 1) + data[place + 4 :])


def edit_text(path, then, now):
    text = path.read_text()
    assert then in text
    path.write_text(text.replace(then, now, 1))


EDITS = (
    ("model.safetensors", edit_middle_weight, "model.safetensors"),
    ("model.safetensors", edit_last_weight, "the time of the last writing of model.safetensors"),
    ("tokenizer.json", lambda path: edit_text(path, ": ", ":\n"), "tokenizer.json"),
    ("config.json", lambda path: edit_text(path, "1e-05", "1e-06"), "config.json"),
)
"""A file of the checkpoint, what is done to it without changing its size, and what a refusal names."""


def answers(directory):
    """Return the answer to every question; log-probabilities may differ in their last digits."""
    lines = [line["sample"] for line in journal(directory)]
    assert len(lines) == len({line["score"]["request_id"] for line in lines})
    return {
        line["score"]["request_id"]: (line["score"]["predicted"], line["prompt_sha256"]) for line in lines
    }


def test_generated_text_goes_on_too(tmp_path):
    prompts = [word for number in range(12) for word in ("--input-text", f"Say {number}.")]
    options = ["--engine", "fake", "--model", "none", "--profile", "llama", "--max-batch-size", "2"]
    words = ["generate", *prompts, *options, "--max-output-length", "4"]
    run(*words, output=tmp_path / "whole")
    process = start([*words, *option("sleep=yes"), *option("step_ms=100")], tmp_path / "out")
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in (tmp_path / "out").glob("*/generations.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    end(process, signal.SIGKILL)
    directory, whole = run_directory(tmp_path / "out"), run_directory(tmp_path / "whole")
    resume(directory)
    assert (directory / "generations.jsonl").read_bytes() == (whole / "generations.jsonl").read_bytes()
    assert read(directory)["status"] == "complete"
