"""A server whose weights change while no connection breaks: no answer of the others is ever given out."""

import threading

import pytest
from asked_engine import answers, asked_engine, assert_right, questions, timed
from running_servers import made_server
from test_endpoint_restart import await_answers

from modeltest.api import EngineError

COUNT = 200
BY_VALUES = ("vllm", "sglang", "mindie")
"""By prompt log-probabilities, by echo, and by texts alone."""


def changing(server, after):
    """Change the weights once the server has given so many answers, of its tokenizer too."""

    def work():
        await_answers(server, after)
        server.change_weights()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


@pytest.mark.parametrize("dialect", BY_VALUES)
def test_answers_of_other_weights_are_not_given_out(dialect, tmp_path):
    requests = [request for request in questions(COUNT) if not request.choices]
    options = ("--first-ms", "80", "--weights-later", "finetune")
    given = []

    def take():
        for batch in engine.complete(iter(requests), batch_size=4):
            given.extend(batch)

    with made_server(tmp_path, dialect, *options) as server, asked_engine(server.url) as (engine, _):
        thread = changing(server, len(server.lines()) + len(requests) + 40)
        with pytest.raises(EngineError, match="another model than at the begin"):
            take()
        thread.join()
    assert 0 < len(given) < len(requests), "answers are given out while others are asked"
    by_id = {request.id: request for request in requests}
    for completion in given:
        assert_right(completion, by_id[completion.request_id])


@pytest.mark.parametrize("dialect", BY_VALUES)
def test_weights_that_change_before_the_last_answer_are_noticed_at_the_end(dialect, tmp_path):
    (request,) = questions(2)[1:]
    with (
        made_server(tmp_path, dialect, "--weights-later", "int4") as server,
        asked_engine(server.url) as (engine, _),
    ):
        assert_right(answers(engine, [request])[request.id], request)
        server.change_weights()
        with pytest.raises(EngineError, match="another model"):
            answers(engine, [request])


@pytest.mark.parametrize("weights", ["finetune", "int4"])
def test_a_timed_batch_of_other_weights_is_no_measurement(weights, tmp_path):
    requests = timed(3)
    with (
        made_server(tmp_path, "vllm", "--weights-later", weights) as server,
        asked_engine(server.url) as (engine, _),
    ):
        assert not any(one.error for one in answers(engine, requests, batch_size=3).values())
        server.change_weights()
        with pytest.raises(EngineError, match="log-probabilities of fixed prompts differ"):
            answers(engine, requests, batch_size=3)


def test_other_rounding_is_the_same_model(tmp_path):
    requests = questions(40)
    options = ("--first-ms", "40", "--weights-later", "noise1e-5")
    with made_server(tmp_path, "vllm", *options) as server, asked_engine(server.url) as (engine, _):
        thread = changing(server, len(server.lines()) + len(requests) + 10)
        done = answers(engine, requests)
        thread.join()
    assert not any(one.error for one in done.values())


def test_two_models_behind_one_address_are_refused(tmp_path):
    with (
        made_server(tmp_path, "vllm", "--weights-beside", "finetune") as server,
        pytest.raises(EngineError, match="do several models share the address"),
        asked_engine(server.url),
    ):
        pass


def test_a_second_model_that_joins_the_first_is_noticed(tmp_path):
    (request,) = questions(2)[1:]
    with made_server(tmp_path, "vllm") as server, asked_engine(server.url) as (engine, _):
        assert_right(answers(engine, [request])[request.id], request)
        server.stop()
        server.start("--weights-beside", "kernels")
        with pytest.raises(EngineError, match="do several models share the address"):
            answers(engine, [request])
