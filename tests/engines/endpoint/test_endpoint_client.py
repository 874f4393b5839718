"""How the engine asks: as many at once as the batch size, over kept connections, within deadlines."""

from asked_engine import answers, asked_engine, assert_right, questions, timed
from running_servers import made_server


def test_as_many_requests_run_together_as_the_batch_size_over_kept_connections(tmp_path):
    requests = questions(24)
    with made_server(tmp_path, "vllm") as server, asked_engine(server.url) as (engine, _):
        server.stop()
        server.start("--first-ms", "30")
        answers(engine, requests[:1])  # the model of the new server is looked at first
        before = len(server.lines())
        done = answers(engine, requests, batch_size=4)
        asked = [line for line in server.lines()[before:] if line["path"] == "/v1/completions"]
    for request in requests:
        assert_right(done[request.id], request)
    assert max(line["running"] for line in asked) == 4
    assert len({line["client_port"] for line in asked}) <= len(asked) // 2


def test_a_timed_batch_is_asked_at_once_and_tells_the_clients_own_delay(tmp_path):
    requests = timed(6)
    with made_server(tmp_path, "vllm") as server, asked_engine(server.url) as (engine, _):
        server.stop()
        server.start("--first-ms", "200", "--gap-ms", "2")
        assert engine.usage().client.send_lag_ms is None
        before = len(server.lines())
        done = answers(engine, requests, batch_size=6)
        asked = [line for line in server.lines()[before:] if line["sent"]]
        use = engine.usage().client
    assert max(line["running"] for line in asked) == 6
    assert all(line["body"].get("cache_salt") for line in asked), "a prompt could come from a cache"
    assert len({line["body"]["cache_salt"] for line in asked}) == 6
    assert use.send_lag_ms > 0
    assert use.loop_lag_ms > 0
    for request in requests:
        sent = done[request.id].sent_ns
        assert 0 <= sent <= use.send_lag_ms * 1e6 + 1
        assert done[request.id].token_times_ns[0] - sent >= 200_000_000


def test_an_answer_that_does_not_come_in_time_is_failed(tmp_path):
    (request,) = questions(2)[1:]
    limits = {"first_byte_s": "2", "idle_s": "1"}
    with made_server(tmp_path, "vllm") as server, asked_engine(server.url, **limits) as (engine, _):
        server.stop()
        server.start("--first-ms", "20000")
        completion = answers(engine, [request])[request.id]
        (late,) = answers(engine, timed(1), batch_size=1).values()
        server.stop()
        server.start("--gap-ms", "20000")
        (stuck,) = answers(engine, timed(1), batch_size=1).values()
    assert completion.error
    assert completion.text is None
    for one in (late, stuck):
        assert "within 1 s" in one.error
        assert one.output_tokens == ()
