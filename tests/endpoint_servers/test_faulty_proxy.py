import contextlib
import http.client
import socket
import time

import pytest
from asking import ask, ask_raw, events
from made_model import MadeModel, encode
from running_servers import faulty_proxy, made_server

MODEL = MadeModel()
IDS = encode("Question 是")
PROMPT = next([*IDS, n] for n in range(99) if len(MODEL.greedy([*IDS, n], 13)) == 13)
STREAM = {"model": "made", "prompt": PROMPT, "temperature": 0, "max_tokens": 12, "stream": True}
PLAIN = {**STREAM, "stream": False}
PATH = "/v1/completions"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with made_server(tmp_path_factory.mktemp("behind")) as running:
        yield running


@pytest.fixture
def proxy(server, tmp_path):
    with faulty_proxy(tmp_path, server) as running:
        yield running


def test_without_a_script_nothing_is_changed(server, proxy):
    asked = [STREAM, PLAIN]
    through = [ask_raw(proxy.port, PATH, body)[1] for body in asked]
    direct = [ask_raw(server.port, PATH, body)[1] for body in asked]
    assert [strip(data) for data in through] == [strip(data) for data in direct]
    assert [line["reached"] for line in proxy.lines()] == [True, True]


def strip(data):
    """Leave out what changes from second to second."""
    return [part for part in data.split(b",") if b'"created"' not in part]


@pytest.mark.parametrize("body", [STREAM, PLAIN])
@pytest.mark.parametrize(("fault", "reaches"), [("reset_before", 0), ("lose_answer", 1), ("reset_after", 1)])
def test_a_connection_is_reset(server, proxy, fault, reaches, body):
    proxy.arm({"fault": fault, "at": [2]})
    before = len(server.lines())
    assert ask_raw(proxy.port, PATH, body)[0] == 200
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        ask_raw(proxy.port, PATH, body)
    assert len(server.lines()) - before == 1 + reaches
    assert {line["number"]: line["fault"] for line in proxy.lines()} == {1: None, 2: fault}


def test_the_port_is_closed_for_a_while(proxy):
    proxy.arm({"fault": "refuse", "at": [1], "seconds": 0.3})
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        ask(proxy.port, PATH, PLAIN)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", proxy.port))
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with contextlib.suppress(ConnectionRefusedError):
            assert ask(proxy.port, PATH, PLAIN)[0] == 200
            return
    pytest.fail("the port stayed closed")


@pytest.mark.parametrize("fault", ["429", "500", "503", "wrong_model"])
def test_a_status_is_told_and_the_server_never_asked(server, proxy, fault):
    proxy.arm({"fault": fault, "at": [1], "retry_after": 1})
    before = len(server.lines())
    assert ask(proxy.port, PATH, PLAIN)[0] == (404 if fault == "wrong_model" else int(fault))
    assert len(server.lines()) == before


def test_a_stream_is_cut_as_if_it_were_whole(proxy):
    proxy.arm({"fault": "cut", "at": [1], "events": 3})
    found = events(ask_raw(proxy.port, PATH, STREAM)[1])
    assert [event["choices"][0]["finish_reason"] for event in found] == [None] * 3


def test_a_plain_answer_breaks_off(proxy):
    proxy.arm({"fault": "cut", "at": [1]})
    with pytest.raises(http.client.IncompleteRead):
        ask_raw(proxy.port, PATH, PLAIN)


def test_answers_in_other_pieces_say_the_same(proxy):
    whole = events(ask_raw(proxy.port, PATH, STREAM)[1])
    said = "".join(event["choices"][0]["text"] for event in whole[:-1])
    for fault in ("split_utf8", "coalesce", "merge", "empty_choice", "delay"):
        proxy.arm({"fault": fault, "at": [1], "seconds": 0.01})
        found = events(ask_raw(proxy.port, PATH, {**STREAM, "return_token_ids": True})[1])
        chunks = [event["choices"][0] for event in found[:-1] if event["choices"]]
        assert "".join(chunk["text"] for chunk in chunks) == said, fault
        sizes = [len(chunk.get("token_ids", ())) for chunk in chunks]
        assert sum(sizes) == 12
        assert (max(sizes) == 2) == (fault == "merge")
        assert (0 in sizes) == (fault == "empty_choice")
        assert chunks[-1]["finish_reason"] == "length"


def test_a_gateway_may_answer_in_place_of_the_server(server, proxy):
    before = len(server.lines())
    for fault, status in (("html", 200), ("error_200", 200), ("redirect", 307)):
        proxy.arm({"fault": fault, "at": [1]})
        got, data = ask_raw(proxy.port, PATH, PLAIN)
        assert (got, b"choices" in data) == (status, False)
    assert len(server.lines()) == before


def test_a_connection_is_closed_behind_an_answer_and_lines_may_end_otherwise(proxy):
    proxy.arm({"fault": "closes", "at": [1]}, {"fault": "crlf", "at": [2]})
    assert ask(proxy.port, PATH, PLAIN)[0] == 200
    data = ask_raw(proxy.port, PATH, STREAM)[1]
    assert data.count(b"\r\n\r\n") == len(events(data.replace(b"\r\n", b"\n"))) == 13


def test_only_long_requests_are_counted_where_it_is_said(server, tmp_path):
    with faulty_proxy(tmp_path, server, "--counts-from", "300") as proxy:
        proxy.arm({"fault": "500", "every": 1})
        assert ask(proxy.port, PATH, PLAIN)[0] == 200
        assert ask(proxy.port, PATH, {**PLAIN, "prompt": PROMPT * 20})[0] == 500
