"""Each dialect of the made server says what the made model says, in the form its server has."""

from itertools import chain, pairwise

import pytest
from asking import ask, ask_raw, events
from made_model import END_ID, MadeModel, decode, encode, lay_out, token_bytes
from running_servers import made_server

MODEL = MadeModel()
TEXT = "Question: is the sea salt?\nAnswer:"
PROMPT = encode(TEXT)
GREEDY = {"model": "made", "temperature": 0, "max_tokens": 12}
LONG = next(n for n in range(99) if len(MODEL.greedy([*PROMPT, n], 13)) == 13)
IDS = [*PROMPT, LONG]
SAID = MODEL.greedy(IDS, 12)
SAID_TEXT = b"".join(map(token_bytes, SAID)).decode(errors="replace")
TOO_MANY, INVALID = {"max_new_tokens": 9999}, "Input Validation Error"
NO_FORM, UNEXPECTED = (
    "prompt is of no form that is served here",
    "Unexpected fields in the request: {'min_p'}",
)
TURNS = [{"role": "user", "content": TEXT}]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Return a function from a dialect to the port of its server, each started once."""
    folder, running = tmp_path_factory.mktemp("served"), {}
    open_ones = []

    def port(dialect, *options):
        if (dialect, options) not in running:
            context = made_server(folder, dialect, *options)
            running[dialect, options] = context.__enter__()
            open_ones.append(context)
        return running[dialect, options].port

    yield port
    for context in open_ones:
        context.__exit__(None, None, None)


def texts_of(answer):
    return "".join(event["choices"][0]["text"] for event in events(answer)[:-1] if event["choices"])


def test_vllm_scores_a_prompt_in_both_ways(served):
    body = {**GREEDY, "prompt": IDS, "max_tokens": 0, "echo": True, "logprobs": 2}
    status, answer = ask(served("vllm"), "/v1/completions", body)
    (choice,) = answer["choices"]
    expected = [row[token] for row, token in zip(MODEL.prompt_logprobs(IDS), IDS[1:], strict=True)]
    assert (status, choice["text"], choice["finish_reason"]) == (200, decode(IDS), "length")
    assert choice["logprobs"]["token_logprobs"][0] is None
    assert choice["logprobs"]["token_logprobs"][1:] == pytest.approx(expected)
    by_id = choice["prompt_logprobs"]
    assert [by_id[n][str(token)]["logprob"] for n, token in enumerate(IDS) if n] == pytest.approx(expected)
    assert {len(each) for each in by_id[1:]} <= {2, 3}
    best = [str(row.argmax()) for row in MODEL.prompt_logprobs(IDS)]
    assert all(entry[token]["rank"] == 1 for entry, token in zip(by_id[1:], best, strict=True))


def test_vllm_tells_log_probabilities_of_given_ids(served):
    wanted = [1, 99, END_ID]
    more = {"logprob_token_ids": wanted, "return_tokens_as_token_ids": True, "logprobs": 1, "max_tokens": 1}
    _, answer = ask(served("vllm"), "/v1/completions", {**GREEDY, "prompt": IDS, **more})
    (top,) = answer["choices"][0]["logprobs"]["top_logprobs"]
    row = MODEL.next_logprobs(IDS)
    assert top == {f"token_id:{token}": pytest.approx(row[token]) for token in (int(row.argmax()), *wanted)}


def test_a_stream_of_vllm_has_ids_usage_and_an_end(served):
    more = {"stream": True, "return_token_ids": True, "stream_options": {"include_usage": True}}
    _, data = ask_raw(served("vllm"), "/v1/completions", {**GREEDY, "prompt": IDS, **more})
    *chunks, usage, done = events(data)
    assert [chunk["choices"][0]["token_ids"] for chunk in chunks] == [[token] for token in SAID]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == SAID_TEXT
    assert chunks[0]["choices"][0]["prompt_token_ids"] == IDS
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    assert (usage["choices"], usage["usage"]["completion_tokens"], done) == ([], 12, "[DONE]")


def test_a_bias_makes_an_end_likely_and_leaves_the_log_probabilities(served):
    for dialect, bias in (
        ("vllm", {str(END_ID): 100}),
        ("sglang", {str(END_ID): 100}),
        ("llama_cpp", [[END_ID, 100]]),
    ):
        body = {**GREEDY, "prompt": IDS, "logit_bias": bias, "logprobs": 1}
        _, answer = ask(served(dialect), "/v1/completions", body)
        (choice,) = answer["choices"]
        assert (choice["finish_reason"], choice["text"]) == ("stop", "")
        told = choice["logprobs"]
        logprob = told["content"][0]["logprob"] if "content" in told else told["token_logprobs"][0]
        assert logprob == pytest.approx(MODEL.next_logprobs(IDS)[END_ID])


def test_a_chunk_may_carry_several_tokens_comments_and_no_choice(served):
    port = served("vllm", "--tokens-per-chunk", "4", "--keep-alive", "--empty-choice")
    more = {"stream": True, "return_token_ids": True}
    _, data = ask_raw(port, "/v1/completions", {**GREEDY, "prompt": IDS, **more})
    found = events(data)
    assert found[0] == b": keep-alive"
    chunks = [each for each in found if isinstance(each, dict)]
    assert [len(each["choices"]) for each in chunks].count(0) == 1
    ids = [each["choices"][0]["token_ids"] for each in chunks if each["choices"]]
    assert [len(each) for each in ids] == [1, 4, 4, 3]
    assert [*chain(*ids)] == SAID


def test_max_tokens_is_cut_in_silence_and_unknown_fields_are_ignored(served):
    port = served("vllm", "--context", str(len(IDS) + 5))
    body = {**GREEDY, "prompt": IDS, "max_tokens": 100, "ignore_eos": True, "foo_bar": 1}
    status, answer = ask(port, "/v1/completions", body)
    assert (status, answer["usage"]["completion_tokens"]) == (200, 5)
    assert answer["choices"][0]["finish_reason"] == "length"
    status, answer = ask(port, "/v1/completions", {**body, "prompt": [1] * (len(IDS) + 6)})
    assert (status, answer["error"]["param"]) == (400, "input_tokens")


@pytest.mark.parametrize(
    ("dialect", "path", "body", "status", "told"),
    [
        ("vllm", "/v1/completions", {"model": "no", "prompt": "a"}, 404, ("error", "param", "model")),
        ("vllm", "/v1/completions", {"model": "made", "prompt": [99999]}, 400, ("error", "code", 400)),
        ("vllm", "/nothing", {}, 404, ("detail", "Not Found")),
        ("vllm", "/health", {}, 405, ("detail", "Method Not Allowed")),
        ("sglang", "/v1/completions", {"prompt": "a", "max_tokens": 0}, 400, ("object", "error")),
        ("tgi", "/v1/completions", {"prompt": [1, 2]}, 400, ("error_type", "BadRequestError")),
        ("tgi", "/generate", {"inputs": "a", "parameters": TOO_MANY}, 422, ("error_type", "validation")),
        ("mindie", "/v1/completions", {"prompt": ["a"]}, 400, ("error_type", "Bad Request")),
        ("mindie", "/v1/completions", {"prompt": "a", "logprobs": 6}, 422, ("error_type", INVALID)),
        ("llama_cpp", "/nothing", {}, 404, ("error", "type", "not_found_error")),
        ("transformers", "/v1/completions", {"prompt": [1]}, 400, ("detail", NO_FORM)),
        ("transformers", "/v1/completions", {"prompt": "a", "min_p": 0}, 422, ("detail", UNEXPECTED)),
        ("plain", "/v1/completions", {"prompt": "a", "min_p": 0}, 400, ("error", "param", None)),
    ],
)  # fmt: skip
def test_each_server_refuses_in_its_own_words(served, dialect, path, body, status, told):
    got, answer = ask(served(dialect), path, body)
    *names, value = told
    for name in names:
        answer = answer[name]
    assert (got, answer) == (status, value)


@pytest.mark.parametrize("dialect", ["vllm", "sglang", "tgi", "mindie", "llama_cpp", "transformers"])
def test_a_chat_is_answered_as_the_model_does(served, dialect):
    prompt = encode(lay_out(TURNS), special=False)
    said = decode(MODEL.greedy(prompt, 12))
    _, answer = ask(served(dialect), "/v1/chat/completions", {**GREEDY, "messages": TURNS})
    assert answer["choices"][0]["message"]["content"] == said
    assert answer["usage"]["prompt_tokens"] == len(prompt)
    _, data = ask_raw(served(dialect), "/v1/chat/completions", {**GREEDY, "messages": TURNS, "stream": True})
    chunks = [event for event in events(data) if event != "[DONE]"]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == said
    assert chunks[-1]["choices"][0]["finish_reason"] == answer["choices"][0]["finish_reason"]
    assert ("usage" in chunks[-1]) == (dialect in ("mindie", "transformers"))
    assert (b"[DONE]" in data) == (dialect != "transformers")


def test_thoughts_come_in_the_field_that_the_server_has(served):
    for dialect, name in (("vllm", "reasoning"), ("sglang", "reasoning_content")):
        _, answer = ask(served(dialect, "--reasoning"), "/v1/chat/completions", {**GREEDY, "messages": TURNS})
        message = answer["choices"][0]["message"]
        assert message[name]
        assert message["content"]
        assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0


def test_a_key_is_wanted_where_there_is_one_and_never_written_down(tmp_path):
    with made_server(tmp_path, "vllm", "--api-key", "secret-of-tests") as server:
        body = {**GREEDY, "prompt": IDS}
        assert ask(server.port, "/v1/completions", body) == (401, {"error": "Unauthorized"})
        key = {"Authorization": "Bearer secret-of-tests"}
        assert ask(server.port, "/v1/completions", body, key)[0] == 200
        assert [line["has_key"] for line in server.lines()] == [False, True]
        assert "secret-of-tests" not in server.log.read_text()


def test_sglang_generates_natively_with_the_whole_text_in_each_event(served):
    params = {"max_new_tokens": 12, "temperature": 0}
    body = {"input_ids": IDS, "sampling_params": params, "return_logprob": True, "logprob_start_len": 0}
    _, answer = ask(served("sglang"), "/generate", {**body, "token_ids_logprob": [5, 6]})
    meta = answer["meta_info"]
    assert (answer["output_ids"], answer["text"]) == (SAID, SAID_TEXT)
    assert [entry[1] for entry in meta["input_token_logprobs"]] == IDS
    assert [entry[0] for entry in meta["output_token_ids_logprobs"][0]] == [
        pytest.approx(MODEL.next_logprobs(IDS)[token]) for token in (5, 6)
    ]
    *chunks, done = events(ask_raw(served("sglang"), "/generate", {**body, "stream": True})[1])
    assert [chunk["meta_info"]["completion_tokens"] for chunk in chunks] == list(range(1, 13))
    assert (chunks[-1]["text"], done) == (SAID_TEXT, "[DONE]")


def test_tgi_tells_log_probabilities_of_the_prompt_and_tokens_one_by_one(served):
    params = {"max_new_tokens": 12, "decoder_input_details": True}
    _, answer = ask(served("tgi", "--prefill"), "/generate", {"inputs": TEXT, "parameters": params})
    details = answer["details"]
    expected = [row[token] for row, token in zip(MODEL.prompt_logprobs(PROMPT), PROMPT[1:], strict=True)]
    assert [each["logprob"] for each in details["prefill"][1:]] == pytest.approx(expected)
    body = {"inputs": TEXT, "parameters": {"max_new_tokens": 12}}
    found = events(ask_raw(served("tgi"), "/generate_stream", body)[1])
    assert [event["token"]["id"] for event in found] == [each["id"] for each in details["tokens"]]
    assert found[-1]["generated_text"] == answer["generated_text"]


def test_mindie_takes_ids_natively_and_may_send_the_whole_text_each_time(served):
    body = {"input_id": IDS, "parameters": {"max_new_tokens": 12, "details": True}}
    _, answer = ask(served("mindie"), "/infer_token", body)
    assert answer["details"]["generated_token_ids"] == SAID
    chunks = events(ask_raw(served("mindie"), "/infer_token", {**body, "stream": True})[1])
    assert [chunk["token"]["id"] for chunk in chunks] == [[token] for token in SAID]
    assert (chunks[-1]["generated_text"], chunks[-1]["token"]["text"]) == (SAID_TEXT, None)
    assert chunks[-1]["details"]["generated_tokens"] == 12
    body = {**GREEDY, "prompt": IDS, "stream": True}
    full = events(ask_raw(served("mindie", "--full-text"), "/v1/completions", body)[1])
    texts = [event["choices"][0]["text"] for event in full[:-1]]
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))
    assert texts[-1] == SAID_TEXT
    assert full[-2]["usage"]["completion_tokens"] == 12


def test_llama_cpp_has_its_own_defaults_and_forms(served):
    port = served("llama_cpp")
    assert ask(port, "/tokenize", {"content": TEXT})[1]["tokens"] == PROMPT[1:]
    body = {"prompt": IDS, "n_predict": 12, "temperature": 0, "return_tokens": True}
    _, answer = ask(port, "/completion", body)
    assert (answer["tokens"], answer["content"], answer["stop_type"]) == (SAID, SAID_TEXT, "limit")
    _, answer = ask(port, "/v1/completions", {**GREEDY, "prompt": IDS, "logprobs": 1})
    assert [each["id"] for each in answer["choices"][0]["logprobs"]["content"]] == SAID


def test_a_stream_may_break_off_or_fail_in_its_middle(served):
    body = {**GREEDY, "prompt": IDS, "stream": True}
    cut = events(ask_raw(served("vllm", "--breaks-after", "3"), "/v1/completions", body)[1])
    assert [event["choices"][0]["finish_reason"] for event in cut] == [None] * 3
    failed = events(ask_raw(served("vllm", "--fails-after", "3"), "/v1/completions", body)[1])
    assert failed[-1] == "[DONE]"
    assert "error" in failed[-2]


def test_a_stop_is_never_shown_and_sampling_follows_its_seed(served):
    stop = SAID_TEXT[4:7]
    _, answer = ask(served("vllm"), "/v1/completions", {**GREEDY, "prompt": IDS, "stop": [stop]})
    (choice,) = answer["choices"]
    assert (choice["text"], choice["finish_reason"]) == (SAID_TEXT.split(stop)[0], "stop")
    body = {**GREEDY, "prompt": IDS, "temperature": 1, "seed": 3}
    one, other = (ask(served("vllm"), "/v1/completions", body)[1]["choices"] for _ in range(2))
    assert one == other
    assert (
        one[0]["text"] != ask(served("vllm"), "/v1/completions", {**body, "seed": 4})[1]["choices"][0]["text"]
    )
