"""Several runs on one engine: what is asked once, what for each run, and what makes it look anew."""

from dataclasses import replace

import pytest
from asked_engine import MODEL, answers, asked_engine, assert_right, questions, timed
from endpoint_engine import spec_of
from running_servers import made_server

from modeltest.api import DeviceError, GenerationOptions, Request, Sampling, TextPrompt


def begin(engine, server, **changes):
    spec = replace(spec_of(server.url), **changes)
    return engine.begin(spec, engine.served_model(spec))


def test_another_run_asks_for_the_model_and_not_what_the_server_can(tmp_path):
    with made_server(tmp_path) as server, asked_engine(server.url) as (engine, info):
        at_load = server.lines()
        again = begin(engine, server, batch_sizes=((2,),))
        at_begin = server.lines()[len(at_load) :]
    assert replace(again, load_s=None) == replace(info, load_s=None)
    asked = [line["body"] for line in at_begin if line["path"] == "/v1/completions"]
    assert len(asked) == 9, "the fixed texts, together (one of them twice) and one by one"
    assert all("prompt_logprobs" in body and isinstance(body["prompt"], str) for body in asked)
    assert "/v1/models" in [line["path"] for line in at_begin]
    assert len(at_begin) < len(at_load) / 3


def test_what_the_server_can_is_tried_anew_where_it_was_restarted(tmp_path):
    request = questions(2)[1]
    with made_server(tmp_path) as server, asked_engine(server.url) as (engine, info):
        answers(engine, [request])
        before = engine.usage().client.requests
        server.stop()
        server.start("--ignored", "ignore_eos")
        again = begin(engine, server)
        assert engine.usage().client.requests > before, "counts go on"
        assert_right(answers(engine, [request])[request.id], request)
    assert info.lacking == {}
    assert "ignore_eos" in again.lacking
    assert again.served == info.served


def test_other_weights_are_for_a_fresh_process(tmp_path):
    with (
        made_server(tmp_path, "vllm", "--weights-later", "finetune") as server,
        asked_engine(server.url) as (engine, _),
    ):
        server.change_weights()
        with pytest.raises(DeviceError, match="another model than at the begin"):
            begin(engine, server)


def test_what_is_drawn_begins_anew_and_so_do_delays(tmp_path):
    sampling = GenerationOptions(8, sampling=Sampling(temperature=1.5))
    request = Request("g", TextPrompt("", (), "One, two,"), 8)
    with made_server(tmp_path) as server, asked_engine(server.url) as (engine, _):
        answers(engine, timed(2))
        assert engine.usage().client.send_lag_ms is not None
        options = replace(spec_of(server.url).options, generation=sampling)
        drawn = []
        for seed in (1, 1, 2):
            begin(engine, server, options=options, seed=seed)
            assert engine.usage().client.send_lag_ms is None
            drawn.append(answers(engine, [request])["g"].text)
        begin(engine, server)
        greedy = answers(engine, [request])["g"]
    assert drawn[0] == drawn[1] != drawn[2]
    expected = MODEL.greedy(greedy.prompt_tokens, 8)
    assert greedy.output_tokens == tuple(expected)


def test_of_a_batch_whose_end_alone_is_timed_nothing_is_streamed(tmp_path):
    requests = [replace(request, only_end_timed=True) for request in timed(3)]
    with (
        made_server(tmp_path, "vllm", "--first-ms", "30", "--gap-ms", "5") as server,
        asked_engine(server.url) as (engine, info),
    ):
        before = len(server.lines())
        done = answers(engine, requests, batch_size=3)
        asked = [line["body"] for line in server.lines()[before:] if line["path"] == "/v1/completions"][:3]
    assert info.times_end_alone
    assert not any("stream" in body for body in asked)
    assert all(body["ignore_eos"] and body["cache_salt"] for body in asked)
    for request in requests:
        assert_right(done[request.id], request)
        assert done[request.id].token_times_ns == ()
        assert done[request.id].end_ns >= 65_000_000, "30 ms and seven gaps of 5"


def test_a_short_answer_whose_end_alone_is_timed_is_failed(tmp_path):
    request = replace(timed(1, new_tokens=80)[0], only_end_timed=True)
    with (
        made_server(tmp_path, "vllm", "--most-tokens", "60") as server,
        asked_engine(server.url) as (engine, _),
    ):
        done = answers(engine, [request])[request.id]
    assert done.error == "60 of 80 tokens came"
    assert done.end_ns is None
