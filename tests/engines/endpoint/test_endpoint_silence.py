"""What a server changes without saying so is found by holding what came against what was asked."""

import pytest
from asked_engine import MODEL, answers, asked_engine, assert_right, questions, timed
from made_model import decode, encode, lay_out, write_tokenizer
from running_servers import made_server

from modeltest.api import ChatPrompt, Finish, Request, TextPrompt, Turn

QUESTION = "Question: is the sea salt?\nAnswer:"
TURNS = [{"role": "user", "content": QUESTION}]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return str(write_tokenizer(tmp_path_factory.mktemp("tokenizer")))


def abilities(info):
    return {ability.name: ability.is_there for ability in info.abilities}


def test_new_tokens_that_are_cut_in_silence_are_found_out(tmp_path):
    prompt = next(text for n in range(99) if len(MODEL.greedy(encode(text := f"{QUESTION} {n}"), 9)) == 9)
    request = Request("cut", TextPrompt("", (), prompt), max_new_tokens=8)
    with (
        made_server(tmp_path, "vllm", "--most-tokens", "5") as server,
        asked_engine(server.url) as (engine, _),
    ):
        completion = answers(engine, [request])["cut"]
        batch = answers(engine, timed(2, new_tokens=8), batch_size=2)
    assert completion.error is not None
    assert completion.finish is not Finish.STOP
    assert all(one.error and not one.token_times_ns for one in batch.values())


@pytest.mark.parametrize("name", ["ignore_eos", "min_tokens", "seed", "stop", "return_token_ids", "echo"])
def test_a_field_that_is_ignored_is_no_ability(name, tokenizer, tmp_path):
    with (
        made_server(tmp_path, "vllm", "--ignored", name) as server,
        asked_engine(server.url, tokenizer=tokenizer) as (_, info),
    ):
        found = abilities(info)
    names = {"return_token_ids": "returned_ids"}
    assert found[names.get(name, name)] is False
    assert found["completions"] is True


@pytest.mark.parametrize(
    "ignored", ["logprob_token_ids", "prompt_logprobs", "prompt_logprobs,logprob_token_ids"]
)
def test_choices_are_right_in_whichever_way_the_server_has_left(ignored, tokenizer, tmp_path):
    requests = questions(6)
    with (
        made_server(tmp_path, "vllm", "--ignored", ignored) as server,
        asked_engine(server.url, tokenizer=tokenizer) as (engine, info),
    ):
        assert "choice_logprobs" not in info.lacking
        done = answers(engine, requests)
    for request in requests:
        assert_right(done[request.id], request)


def test_a_server_that_ignores_every_way_tells_no_choices(tokenizer, tmp_path):
    ignored = "logprob_token_ids,prompt_logprobs,echo"
    with (
        made_server(tmp_path, "vllm", "--ignored", ignored) as server,
        asked_engine(server.url, tokenizer=tokenizer) as (_, info),
    ):
        assert "choice_logprobs" in info.lacking


def test_thoughts_are_no_part_of_the_answer(tmp_path):
    request = Request("chat", ChatPrompt((), (), (Turn("user", QUESTION),)), max_new_tokens=8)
    made = MODEL.greedy(encode(lay_out(TURNS), special=False), 8)
    for dialect in ("vllm", "sglang"):
        with (
            made_server(tmp_path, dialect, "--reasoning") as server,
            asked_engine(server.url, chat=True) as (engine, _),
        ):
            completion = answers(engine, [request])["chat"]
            use = engine.usage().client
        assert completion.text == decode(made)[len(decode(made[: len(made) // 2])) :]
        assert use.thinking_answers == 1
        assert use.reasoning_tokens == len(made) // 2


def test_tokens_that_share_a_chunk_share_its_time_and_are_counted(tmp_path):
    requests = timed(2, new_tokens=9)
    with (
        made_server(tmp_path, "vllm", "--tokens-per-chunk", "4", "--gap-ms", "1") as server,
        asked_engine(server.url) as (engine, _),
    ):
        done = answers(engine, requests, batch_size=2)
        shared = engine.usage().client.shared_chunks
    for request in requests:
        assert_right(done[request.id], request)
        times = done[request.id].token_times_ns
        assert len(times) == 9
        assert [len(set(times[at : at + 4])) for at in (1, 5)] == [1, 1]
    assert shared == 4


def test_comments_and_events_without_a_choice_are_no_tokens(tmp_path):
    requests = timed(2)
    options = ("--keep-alive", "--empty-choice", "--first-ms", "40")
    with made_server(tmp_path, "vllm", *options) as server, asked_engine(server.url) as (engine, _):
        done = answers(engine, requests, batch_size=2)
    for request in requests:
        completion = done[request.id]
        assert_right(completion, request)
        assert completion.token_times_ns[0] - completion.sent_ns >= 39_000_000
        assert completion.first_byte_ns - completion.sent_ns >= 39_000_000, "a comment counted as first byte"


@pytest.mark.parametrize("option", ["--breaks-after", "--fails-after"])
def test_a_stream_that_ends_too_early_is_failed(option, tmp_path):
    with made_server(tmp_path, "vllm", option, "3") as server, asked_engine(server.url) as (engine, info):
        done = answers(engine, timed(2), batch_size=2)
    assert "token_times" in info.lacking
    assert all(one.error and one.text is None and one.output_tokens == () for one in done.values())


def test_whole_texts_in_each_chunk_are_told_from_new_ones(tokenizer, tmp_path):
    requests = timed(2)
    with (
        made_server(tmp_path, "mindie", "--full-text") as server,
        asked_engine(server.url) as (engine, _),
    ):
        done = answers(engine, requests, batch_size=2)
    for one in done.values():
        assert one.error or len(one.token_times_ns) == 8
