"""A server that goes away and comes back, in the middle of 200 questions."""

import json
import threading
import time

import pytest
from asked_engine import MODEL, answers, asked_engine, assert_right, questions
from made_model import encode
from run_processes import await_journal, journal, read, resume, run_directory, start
from running_servers import made_server

from modeltest.api import EngineError

COUNT = 200
SLOW = ("--first-ms", "20")


def await_answers(server, count):
    deadline = time.monotonic() + 60
    while sum(line["is_whole"] for line in server.lines(settled=False)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def restarting(server, after, *more):
    """Kill the server once it has given so many answers, and start it again."""

    def work():
        await_answers(server, after)
        server.stop(kill=True)
        time.sleep(0.3)
        server.start(*more)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_of_200_questions_none_is_lost_and_none_counted_twice(tmp_path):
    requests = questions(COUNT)
    with made_server(tmp_path, "vllm", *SLOW) as server, asked_engine(server.url) as (engine, _):
        probes = len(server.lines())
        thread = restarting(server, probes + 60)
        done = answers(engine, requests, batch_size=8)
        thread.join()
        lines = server.lines()
        use = engine.usage().client
    for request in requests:
        assert_right(done[request.id], request)
    asked = [tuple(line["body"]["prompt"]) for line in lines[probes:] if line["is_whole"] and line["body"]]
    assert {tuple(encode(request.prompt.text)) for request in requests} <= set(asked)
    assert use.retries > 0


@pytest.mark.parametrize("weights", ["finetune", "int4"])
@pytest.mark.parametrize(
    "dialect", ["vllm", "mindie"]
)  # known again by log-probabilities, and by texts alone
def test_a_server_that_comes_back_with_other_weights_ends_the_run(dialect, weights, tmp_path):
    requests = [request for request in questions(COUNT) if not request.choices]
    with made_server(tmp_path, dialect, *SLOW) as server, asked_engine(server.url) as (engine, _):
        thread = restarting(server, len(server.lines()) + 20, "--weights", weights)
        with pytest.raises(EngineError, match="another"):
            answers(engine, requests, batch_size=8)
        thread.join()


@pytest.mark.parametrize(("weights", "is_another"), [("finetune", True), ("base", False)])
def test_a_server_that_was_restarted_while_nothing_was_asked_is_looked_at_again(
    weights, is_another, tmp_path
):
    requests = questions(12)
    with made_server(tmp_path) as server, asked_engine(server.url) as (engine, _):
        answers(engine, requests)
        server.stop()
        server.start("--weights", weights)
        if is_another:
            with pytest.raises(EngineError, match="another"):
                answers(engine, requests)
        else:
            done = answers(engine, requests)
            for request in requests:
                assert_right(done[request.id], request)


@pytest.mark.parametrize("dialect", ["vllm", "mindie"])
def test_the_same_weights_with_other_rounding_are_known_again(dialect, tmp_path):
    requests = [request for request in questions(COUNT) if not request.choices]
    with made_server(tmp_path, dialect, *SLOW) as server, asked_engine(server.url) as (engine, _):
        thread = restarting(server, len(server.lines()) + 20, "--weights", "noise1e-5")
        done = answers(engine, requests, batch_size=8)
        thread.join()
    assert not any(one.error for one in done.values())


@pytest.fixture
def task(tmp_path):
    """Return the file of a task with 200 questions."""
    rows = [{"question": f"Question {n}: is the sea salt?", "answer": "yes"} for n in range(COUNT)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = ['name = "salt"', 'kind = "yes_no"', 'data = "rows.jsonl"', 'prompt = "{question}\\nAnswer:"']
    path = tmp_path / "salt.toml"
    path.write_text("\n".join(lines))
    return path


def answered(directory):
    """Return the completions in a journal, in which no question stands twice."""
    found = [entry["sample"]["completion"] for entry in journal(directory) if "sample" in entry]
    by_id = {one["request_id"]: one for one in found}
    assert len(found) == len(by_id)
    return by_id


def test_a_run_whose_server_ended_goes_on_with_the_same_weights_and_no_others(task, tmp_path):
    output = tmp_path / "output"
    with made_server(tmp_path, "vllm", "--first-ms", "80") as server:
        words = ["accuracy", "--task-file", str(task), "--engine", "openai", "--model", server.url]
        process = start([*words, "--batch-size", "4", "--engine-option", "retry_s=1"], output)
        await_journal(output, 1)  # more are held until the model was looked at again
        server.stop(kill=True)
        error = process.communicate(timeout=60)[1]
        assert process.returncode == 5, error
        (told,) = (line for line in error.splitlines() if "no connection" in line)
        assert told.count(server.url) == told.count("attempts)") == 1
        directory = run_directory(output)
        kept = answered(directory)
        assert 0 < len(kept) < COUNT
        for weights in ("finetune", "int4"):
            server.start("--weights", weights)
            assert "other weights" in resume(directory, "run", expect=2).stderr
            assert answered(directory) == kept
            server.stop()
        server.start("--weights", "noise1e-5")
        resume(directory, "run")
    done = answered(directory)
    assert sorted(done) == sorted(f"salt/{n}" for n in range(COUNT))
    for one in done.values():
        expected = [MODEL.logprob(one["prompt_tokens"], choice) for choice in one["choice_tokens"]]
        assert one["choice_logprobs"] == pytest.approx(expected, abs=1e-4)
    assert read(directory)["status"] == "complete"


def test_weights_that_look_like_others_are_gone_on_with_when_the_user_knows_better(task, tmp_path):
    output = tmp_path / "output"
    with made_server(tmp_path, "vllm", "--first-ms", "80") as server:
        words = ["accuracy", "--task-file", str(task), "--engine", "openai", "--model", server.url]
        process = start([*words, "--batch-size", "4", "--engine-option", "retry_s=1"], output)
        await_journal(output, 1)  # more are held until the model was looked at again
        server.stop(kill=True)
        process.communicate(timeout=60)
        directory = run_directory(output)
        then = read(directory)["engine"]["served"]
        server.start("--weights", "kernels")
        refused = resume(directory, "run", expect=2).stderr
        assert "other weights, or computes with the same ones otherwise" in refused
        assert "--accept-distance 0.04" in refused
        for distance in ("0.01", "0.5"):
            resume(directory, "run", "--accept-distance", distance, expect=2)
        resume(directory, "run", "--accept-distance", "0.04")
    engine = read(directory)["engine"]
    assert read(directory)["status"] == "complete"
    assert engine["served"]["logprobs"] == then["logprobs"], "those of the begin are kept"
    assert engine["served"]["accepted"] == 0.04
    (distance,) = engine["served"]["distances"]
    assert 0.02 < distance <= 0.04
    assert any("its user has said that the weights are the same" in note for note in engine["notes"])
