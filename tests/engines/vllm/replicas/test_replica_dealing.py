"""Replicas are asked as one: real processes with a made model, which answers without vLLM."""

import os
import signal
import socket
import time
from dataclasses import replace
from types import SimpleNamespace

import made_replica
import pytest

from engines.common.encoding import Encoded
from engines.vllm.replicas import dealing, process
from engines.vllm.replicas.dealing import Replicas
from engines.vllm.replicas.words import Asked, Load, Rows
from engines.vllm.splitting import Degrees
from modeltest.api import (
    DeviceError,
    EngineError,
    ModelInfo,
    OutOfMemory,
    Parallel,
    RankUse,
    Request,
    RunSpec,
    TokenPrompt,
)

SPEC = RunSpec("vllm_fp32", "test", "test", "llama", "made", world_size=2, parallel=Parallel(dp=2))
MODEL = ModelInfo("m", "m", "made", "llama", "float32", None, 512, 128, 1, None)
TWO = Degrees(2, 1)


@pytest.fixture(autouse=True)
def made(monkeypatch):
    monkeypatch.setattr(process, "_CODE", made_replica.START)
    texts = SimpleNamespace(template=SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(dealing, "_texts", lambda *_: texts)


@pytest.fixture
def replicas():
    found = Replicas(SPEC, MODEL, TWO, device="cpu")
    yield found
    found.close()


def rows(*names, seeds=(), **asked):
    """Return rows of prompts of ten tokens, each of which begins otherwise."""
    prompts = [(number,) * 10 for number in range(1, len(names) + 1)]
    requests = [Request(name, TokenPrompt(ids), **asked) for name, ids in zip(names, prompts, strict=True)]
    encoded = [Encoded(request, ids) for request, ids in zip(requests, prompts, strict=True)]
    return Rows(encoded, 4, seeds)


def answers(replicas, asked):
    return {each.request_id: each for batch in replicas.answer(asked) for each in batch}


def processes_of(found):
    return {each.text.rpartition(" ")[2] for each in found.values()}


def test_every_row_is_answered_once_and_both_do_their_part(replicas):
    found = answers(replicas, rows(*"abcdef"))
    assert {name: each.output_tokens for name, each in found.items()} == {
        name: (number,) for number, name in enumerate("abcdef", start=1)
    }
    assert len(processes_of(found)) == 2
    assert replicas.usage().computed_tokens == 6
    assert replicas.peak_memory_bytes() == max(map(int, processes_of(found)))


def test_a_row_has_its_seed_whichever_replica_draws_it(replicas):
    found = answers(replicas, rows(*"abcd", seeds=(7, 8, 9, 10)))
    assert {name: each.text.split()[0] for name, each in found.items()} == {
        "a": "7",
        "b": "8",
        "c": "9",
        "d": "10",
    }


def test_a_timed_batch_is_not_divided(replicas):
    assert len(processes_of(answers(replicas, rows(*"abcd", ignore_eos=True)))) == 1


def test_one_row_is_answered_by_one(replicas):
    assert list(answers(replicas, rows("a"))) == ["a"]


def test_what_is_told_of_them_is_what_holds_for_all(monkeypatch):
    contexts = iter(({made_replica.CONTEXT: "512"}, {made_replica.CONTEXT: "256"}))
    monkeypatch.setattr(dealing, "shared_out", lambda *_, **__: list(contexts))
    found = Replicas(SPEC, MODEL, TWO, device="cpu")
    found.close()
    assert found.info.context_tokens == 256
    assert found.info.notes == ("all alike", "context 512", "replica 1: context 256")
    assert found.info.ranks == RankUse(2, 1, 2, "sockets", ("cpu", "cpu"))


def test_who_stops_reading_finds_replicas_that_answer_what_is_asked_next(replicas):
    batches = replicas.answer(rows(*"abcdef"))
    next(batches)
    batches.close()
    assert list(answers(replicas, rows("x", "y"))) in (["x", "y"], ["y", "x"])


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("refused", EngineError, "replica 1: it is refused"),
        ("short of memory", OutOfMemory, "replica 1: out of memory: not enough memory"),
    ],
)
def test_a_replica_that_fails_is_named_once_the_others_are_done(replicas, name, error, said):
    came = []
    with pytest.raises(error, match=said):
        came += [each.request_id for batch in replicas.answer(rows("a", "b", "c", name)) for each in batch]
    assert list(answers(replicas, rows("x"))) == ["x"]


def test_a_replica_that_is_killed_ends_them_all():
    found = Replicas(SPEC, MODEL, TWO, device="cpu")
    running = processes_of(answers(found, rows("a", "b")))
    with pytest.raises(DeviceError, match=r"replica 1 of vLLM was killed by SIGKILL"):
        answers(found, rows("slow", "killed"))
    begin = time.monotonic()
    found.close()
    assert time.monotonic() - begin < 30, "the slow one is not waited for"
    assert not [each for each in running if is_alive(int(each))]


def test_a_replica_that_dies_while_nothing_is_asked_is_noticed_by_the_next_question():
    found = Replicas(SPEC, MODEL, TWO, device="cpu")
    os.kill(found.peak_memory_bytes(), signal.SIGKILL)
    with pytest.raises(DeviceError, match="was killed by SIGKILL"):
        answers(found, rows("a", "b"))
    found.close()


def test_what_all_say_alike_is_said_once():
    with pytest.raises(EngineError, match=r"^no weights for a world of 1$"):
        Replicas(replace(SPEC, weights="none"), MODEL, TWO, device="cpu")


def test_a_run_for_which_a_fresh_process_is_needed_is_refused_as_of_one_model(replicas):
    assert replicas.begin(replace(SPEC, seed=1)).ranks is not None
    with pytest.raises(DeviceError, match=r"^a fresh process loads it anew$"):
        replicas.begin(replace(SPEC, seed=13))


def test_a_replica_ends_in_the_middle_of_a_step_when_the_worker_is_gone():
    said = []
    alone = process.ReplicaProcess(0, {}, lambda _, reply: said.append(reply))
    alone.ask(Asked(Load(SPEC, MODEL, 1)))
    alone.ask(Asked(rows("a", "slow")))
    while len(said) < 2:
        time.sleep(0.01)
    alone._socket.shutdown(socket.SHUT_RDWR)
    alone.close(time.monotonic() + 30)
    assert alone.how_it_ended() == "was killed by SIGTERM"


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
