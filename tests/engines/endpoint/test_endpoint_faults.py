"""Nothing is lost or counted twice whatever happens between the client and the server; failed is failed."""

import pytest
from asked_engine import answers, asked_engine, assert_right, of_questions, questions, timed
from running_servers import faulty_proxy, made_server

QUESTIONS = questions(10)
PASSING = [
    {"fault": "reset_before"},
    {"fault": "lose_answer"},
    {"fault": "reset_after"},
    {"fault": "cut"},
    {"fault": "refuse", "seconds": 0.2},
    {"fault": "429"},
    {"fault": "429", "retry_after": 1},
    {"fault": "500"},
    {"fault": "503"},
    {"fault": "503", "retry_after": 0},
    {"fault": "split_utf8"},
    {"fault": "delay", "seconds": 0.2},
    {"fault": "closes"},
]


@pytest.fixture(scope="module")
def between(tmp_path_factory):
    """Return an engine, the proxy it asks, and the server behind that."""
    folder = tmp_path_factory.mktemp("between")
    with (
        made_server(folder) as server,
        faulty_proxy(folder, server) as proxy,
        asked_engine(proxy.url) as (engine, _),
    ):
        yield engine, proxy, server


def told(engine):
    use = engine.usage().client
    return use.prompt_tokens or 0, use.completion_tokens or 0


@pytest.mark.parametrize("rule", PASSING, ids=lambda rule: "-".join(map(str, rule.values())))
def test_what_passes_costs_no_answer_and_adds_none(between, rule):
    engine, proxy, server = between
    proxy.arm()
    asked_before, before = len(of_questions(server.lines())), told(engine)
    undisturbed = answers(engine, QUESTIONS)
    asked_between, between_ = len(of_questions(server.lines())), told(engine)
    proxy.arm({**rule, "at": [2, 5]})
    disturbed = answers(engine, QUESTIONS)
    after = told(engine)
    assert disturbed == undisturbed
    for request in QUESTIONS:
        assert_right(disturbed[request.id], request)
    assert sum(line["fault"] is not None for line in proxy.lines()[-100:]) >= 2
    assert after[0] - between_[0] == between_[0] - before[0], "tokens of an attempt that failed are counted"
    assert after[1] - between_[1] == between_[1] - before[1]
    asked = [asked_between - asked_before, len(of_questions(server.lines())) - asked_between]
    is_repeated = rule["fault"] in ("lose_answer", "reset_after", "cut")
    assert asked[1] >= asked[0] + (1 if is_repeated else 0)  # the other may have met a look at the model


def test_a_time_that_the_server_asks_for_is_waited(between):
    engine, proxy, _ = between
    proxy.arm({"fault": "429", "at": [1], "retry_after": 1})
    (request,) = QUESTIONS[1:2]
    begin = len(proxy.lines())
    assert_right(answers(engine, [request])[request.id], request)
    refused, answered = [line for line in proxy.lines()[begin:] if line["number"] in (1, 2)][:2]
    assert answered["received_ns"] - refused["received_ns"] >= 1_000_000_000


def test_a_model_that_is_not_there_fails_its_question_alone(between):
    engine, proxy, _ = between
    proxy.arm({"fault": "wrong_model", "at": [3]})
    done = answers(engine, QUESTIONS, batch_size=1)
    failed = [one for one in done.values() if one.error]
    assert len(failed) == 1
    assert "does not exist" in failed[0].error
    for request in QUESTIONS:
        if not done[request.id].error:
            assert_right(done[request.id], request)


def test_what_fails_each_time_is_failed_after_a_bounded_number_of_attempts(between):
    engine, proxy, server = between
    proxy.arm({"fault": "500", "every": 1})
    before = len(server.lines())
    (request,) = QUESTIONS[1:2]
    done = answers(engine, [request])[request.id]
    assert "500" in done.error
    assert done.text is None
    assert "/v1/completions" not in [line["path"] for line in server.lines()[before:]]
    proxy.arm()
    assert_right(answers(engine, [request])[request.id], request)


@pytest.mark.parametrize("fault", ["reset_before", "lose_answer", "reset_after", "cut", "500", "429", "503"])
def test_a_timed_stream_that_breaks_off_is_failed_and_not_asked_again(between, fault):
    engine, proxy, server = between
    requests = timed(3)
    proxy.arm()
    answers(engine, requests, batch_size=3)  # a server whose connection broke is looked at before
    proxy.arm({"fault": fault, "at": [2]})
    done = answers(engine, requests, batch_size=3)
    failed = [one for one in done.values() if one.error]
    assert len(failed) == 1
    assert failed[0].token_times_ns == ()
    assert failed[0].output_tokens == ()
    for request in requests:
        if not done[request.id].error:
            assert_right(done[request.id], request)
            assert len(done[request.id].token_times_ns) == 8
    asked = [line["number"] for line in proxy.lines() if line["number"]][-4:]
    assert sorted(asked) == [1, 2, 3, 4], "each once, then a look at the model"
    assert server.process.poll() is None


@pytest.mark.parametrize("fault", ["html", "error_200", "redirect"])
def test_an_answer_of_something_else_fails_its_question_alone(between, fault):
    engine, proxy, _ = between
    proxy.arm({"fault": fault, "at": [3]})
    done = answers(engine, QUESTIONS, batch_size=1)
    failed = [one.error for one in done.values() if one.error]
    assert len(failed) == 1
    assert "choices" not in failed[0]
    for request in QUESTIONS:
        if not done[request.id].error:
            assert_right(done[request.id], request)


@pytest.mark.parametrize("fault", ["split_utf8", "coalesce", "merge", "empty_choice", "crlf", "closes"])
def test_a_stream_in_other_pieces_brings_the_same_tokens(between, fault):
    engine, proxy, _ = between
    requests = timed(3)
    proxy.arm({"fault": fault, "every": 1})
    before = engine.usage().client.shared_chunks
    done = answers(engine, requests, batch_size=3)
    for request in requests:
        completion = done[request.id]
        assert_right(completion, request)
        times = list(completion.token_times_ns)
        assert len(times) == 8
        assert times == sorted(times)
    shared = engine.usage().client.shared_chunks - before
    assert (shared > 0) == (fault == "merge")
    if fault == "merge":
        assert any(len(set(one.token_times_ns)) < 8 for one in done.values()), "an inner time was invented"
