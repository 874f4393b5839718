"""Servers' own routes: used for what OpenAI's lack, held against them, and left alone where they differ."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from asked_engine import MODEL, answers, asked_engine, assert_right, of_questions, questions, said, timed
from endpoint_engine import loaded_from
from made_model import decode, encode, write_tokenizer
from running_servers import made_server

from modeltest.api import EngineInfo, Request, TextPrompt, TokenPrompt
from modeltest.testing.engine_contract import EngineContract, Loaded


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tokenizer(tmp_path_factory.mktemp("tokenizer")))


def there(info: EngineInfo) -> dict[str, bool | None]:
    return {ability.name: ability.is_there for ability in info.abilities}


def seen(info: EngineInfo) -> dict[str, str]:
    return {ability.name: ability.seen for ability in info.abilities}


WAYS = {
    "sglang as it is": ("sglang",),
    "sglang without completions": ("sglang", "--no-completions"),
    "sglang with events of what is new alone": (
        *("sglang", "--no-completions", "--incremental", "--tokens-per-chunk", "3"),
    ),
    "mindie without completions": ("mindie", "--no-completions", "--full-text"),
    "tgi that tells prompts": ("tgi", "--prefill"),
    "tgi without completions": ("tgi", "--prefill", "--no-completions"),
}


@pytest.fixture(scope="module", params=WAYS.values(), ids=WAYS)
def loaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, tokenizer: str
) -> Iterator[Loaded]:
    with made_server(tmp_path_factory.mktemp("server"), *request.param) as server:
        yield from loaded_from(server.url, tokenizer=tokenizer)


class TestOnOwnRoutes(EngineContract):
    """All of it, unchanged."""


def test_sglang_is_asked_for_choices_where_it_tells_given_ids_and_for_texts_as_before(
    tokenizer: str, tmp_path: Path
) -> None:
    requests = questions(6)
    with (
        made_server(tmp_path, "sglang") as server,
        asked_engine(server.url, tokenizer=tokenizer) as (
            engine,
            info,
        ),
    ):
        before = len(server.lines())
        done = answers(engine, requests)
        asked = of_questions(server.lines()[before:])
    for request in requests:
        assert_right(done[request.id], request)
        if request.choices:
            assert done[request.id].choice_is_greedy == (False, False)
    paths = [line["path"] for line in asked]
    assert (paths.count("/generate"), paths.count("/v1/completions")) == (3, 3)
    named = [line["body"]["token_ids_logprob"] for line in asked if line["path"] == "/generate"]
    assert all(len(ids) == 2 for ids in named), "both choices with one request"
    assert "(/generate)" in seen(info)["chosen_logprobs"]
    assert "(/generate)" not in seen(info)["returned_ids"]


def test_a_longer_choice_is_asked_for_its_own_tokens_alone(tokenizer: str, tmp_path: Path) -> None:
    prompt = tuple(range(40, 60))
    request = Request("long", TokenPrompt(prompt), choices=((8, 9), (9, 9, 9)), each_token=True)
    with (
        made_server(tmp_path, "sglang") as server,
        asked_engine(server.url, tokenizer=tokenizer) as (
            engine,
            _,
        ),
    ):
        before = len(server.lines())
        found = answers(engine, [request])["long"]
        asked = of_questions(server.lines()[before:])
    assert {line["body"]["logprob_start_len"] for line in asked} == {len(prompt) - 1}
    assert found.choice_logprobs == pytest.approx(
        [MODEL.logprob(prompt, choice) for choice in ((8, 9), (9, 9, 9))]
    )
    for choice, told in zip(((8, 9), (9, 9, 9)), found.token_logprobs, strict=True):
        right = [MODEL.logprob((*prompt, *choice[:at]), (token,)) for at, token in enumerate(choice)]
        assert told == pytest.approx(right)


@pytest.mark.parametrize("streams", [("--incremental",), ()])
def test_tokens_that_share_an_event_are_counted_by_the_totals(
    streams: tuple[str, ...], tokenizer: str, tmp_path: Path
) -> None:
    requests = timed(2, new_tokens=9)
    options = ("--no-completions", "--tokens-per-chunk", "4", "--gap-ms", "1", *streams)
    with (
        made_server(tmp_path, "sglang", *options) as server,
        asked_engine(server.url, tokenizer=tokenizer) as (engine, info),
    ):
        done = answers(engine, requests, batch_size=2)
        use = engine.usage().client
    assert not info.lacking
    assert use is not None
    assert use.shared_chunks == 4, "one, four and four, of two streams"
    for request in requests:
        assert_right(done[request.id], request)
        times = done[request.id].token_times_ns
        assert [len(set(times[at : at + 4])) for at in (1, 5)] == [1, 1]


@pytest.mark.parametrize("name", ["input_ids", "token_ids_logprob", "logprob_start_len", "return_logprob"])
def test_a_field_that_an_own_route_ignores_is_found_out(name: str, tokenizer: str, tmp_path: Path) -> None:
    lost = {
        "input_ids": ("chosen_logprobs", "prompt_logprobs", "suffix_logprobs"),
        "token_ids_logprob": ("chosen_logprobs",),
        "logprob_start_len": ("prompt_logprobs", "suffix_logprobs"),
        "return_logprob": ("chosen_logprobs", "prompt_logprobs", "suffix_logprobs"),
    }[name]
    requests = questions(4)
    with (
        made_server(tmp_path, "sglang", "--own-ignored", name) as server,
        asked_engine(server.url, tokenizer=tokenizer) as (engine, info),
    ):
        done = answers(engine, requests)
    assert not any(there(info)[ability] for ability in lost)
    assert "choice_logprobs" not in info.lacking, "by echo"
    for request in requests:
        assert_right(done[request.id], request)


@pytest.mark.parametrize("option", ["--no-own-routes", "--own-drops=1"])
def test_an_own_route_that_is_away_or_answers_otherwise_is_not_used(
    option: str, tokenizer: str, tmp_path: Path
) -> None:
    requests = questions(4)
    with (
        made_server(tmp_path, "sglang", option) as server,
        asked_engine(server.url, tokenizer=tokenizer) as (
            engine,
            info,
        ),
    ):
        before = len(server.lines())
        done = answers(engine, requests)
        asked = {line["path"] for line in of_questions(server.lines()[before:])}
    assert there(info)["own_routes"] is False
    assert "/generate is not used: " in seen(info)["own_routes"]
    assert asked == {"/v1/completions"}
    for request in requests:
        assert_right(done[request.id], request)


def test_an_own_route_with_other_numbers_is_not_believed(tokenizer: str, tmp_path: Path) -> None:
    with (
        made_server(tmp_path, "sglang", "--own-shift", "2") as server,
        asked_engine(server.url, tokenizer=tokenizer) as (_, info),
    ):
        found, told = there(info), seen(info)
    assert found["prompt_logprobs"] is False
    assert "where the echo says" in told["prompt_logprobs"]


def test_texts_are_answered_where_there_are_no_completions(tokenizer: str, tmp_path: Path) -> None:
    request = Request("text", TextPrompt("", (), "Question: is the sea salt?\nAnswer:"), max_new_tokens=6)
    with made_server(tmp_path, "sglang", "--no-completions") as server:
        with asked_engine(server.url, tokenizer=tokenizer) as (engine, info):
            done = answers(engine, [request])["text"]
        assert "status 404" not in seen(info)["completions"]
    assert_right(done, request)


def test_mindie_returns_ids_on_its_own_route_and_stops_on_openais(tokenizer: str, tmp_path: Path) -> None:
    texts = [request for request in questions(4) if not request.choices]
    stopped = replace(texts[0], id="stopped", stop=("never said",))
    with (
        made_server(tmp_path, "mindie") as server,
        asked_engine(server.url, tokenizer=tokenizer) as (
            engine,
            info,
        ),
    ):
        before = len(server.lines())
        done = answers(engine, [*texts, stopped])
        asked = of_questions(server.lines()[before:])
    for request in texts:
        assert_right(done[request.id], request)
        assert isinstance(request.prompt, TextPrompt)
        made = said(tuple(encode(request.prompt.text)), request.max_new_tokens)
        assert done[request.id].output_tokens == tuple(made)
    assert done["stopped"].text == done[texts[0].id].text
    assert done["stopped"].output_count == len(done[texts[0].id].output_tokens)
    assert [line["path"] for line in asked].count("/v1/completions") == 1
    assert there(info)["returned_ids"]
    assert not set(seen(info)) & {"suffix_logprobs"}


def test_token_ids_that_mindie_reads_otherwise_are_found_by_the_answer(
    tokenizer: str, tmp_path: Path
) -> None:
    """Its own route counts no prompt tokens: one that leaves some out says so by its answer alone."""
    requests = [request for request in questions(4) if not request.choices]
    options = ("--no-completions", "--own-drops-ids", "1")
    with (
        made_server(tmp_path, "mindie", *options) as server,
        asked_engine(server.url, tokenizer=tokenizer) as (engine, info),
    ):
        before = len(server.lines())
        done = answers(engine, requests)
        asked = {line["path"] for line in of_questions(server.lines()[before:])}
    assert "(/generate)" in seen(info)["token_prompts"], "which tells the tokens that it read"
    assert asked == {"/generate"}
    for request in requests:
        assert_right(done[request.id], request)


def test_mindie_cuts_an_answer_in_silence_and_is_found_out(tokenizer: str, tmp_path: Path) -> None:
    prompt = next(
        text for n in range(99) if len(said(tuple(encode(text := f"Is the sea salt? {n}")), 9)) == 9
    )
    request = Request("cut", TextPrompt("", (), prompt), max_new_tokens=8)
    with (
        made_server(tmp_path, "mindie", "--no-completions", "--most-tokens", "5") as server,
        asked_engine(server.url, tokenizer=tokenizer) as (engine, _),
    ):
        done = answers(engine, [request])["cut"]
    assert "8 tokens were asked for, the server made 5" in str(done.error)


def test_tgi_scores_choices_where_it_was_started_for_log_probabilities_of_prompts(
    tokenizer: str, tmp_path: Path
) -> None:
    requests = questions(6)
    with (
        made_server(tmp_path, "tgi", "--prefill") as server,
        asked_engine(server.url, tokenizer=tokenizer) as (engine, info),
    ):
        done = answers(engine, requests)
        asked = [line for line in server.lines() if "Question 0" in str(line["body"])]
    assert set(info.lacking) == {"ignore_eos", "token_logprobs", "token_times"}
    assert info.lacking["token_logprobs"].startswith("/generate takes texts alone")
    for request in requests:
        assert_right(done[request.id], request)
    assert [line["body"]["inputs"][-4:] for line in asked] == [" yes", ": no"], "each choice behind its text"


def test_tgi_without_them_returns_ids_and_is_asked_with_texts(tokenizer: str, tmp_path: Path) -> None:
    texts = [request for request in questions(4) if not request.choices]
    with (
        made_server(tmp_path, "tgi") as server,
        asked_engine(server.url, tokenizer=tokenizer) as (
            engine,
            info,
        ),
    ):
        done = answers(engine, texts)
    assert "choice_logprobs" in info.lacking
    assert "does not say which tokens it read" in seen(info)["token_prompts"]
    for request in texts:
        assert_right(done[request.id], request)
        assert isinstance(request.prompt, TextPrompt)
        made = said(tuple(encode(request.prompt.text)), request.max_new_tokens)
        assert done[request.id].output_tokens == tuple(made)


def test_tgi_is_not_believed_where_it_reads_other_tokens_or_tells_other_numbers(
    tokenizer: str, tmp_path: Path
) -> None:
    for option, ability, told in (
        ("--own-drops=1", "token_prompts", "25 tokens were sent|26 tokens were sent"),
        ("--own-ignored=decoder_input_details", "token_prompts", "does not say which tokens"),
    ):
        options = ("--prefill", "--no-completions", option)
        with (
            made_server(tmp_path, "tgi", *options) as server,
            asked_engine(server.url, tokenizer=tokenizer) as (_, info),
        ):
            assert there(info)[ability] is False
            assert re.search(told, seen(info)[ability])
            assert "choice_logprobs" in info.lacking


def test_tokens_that_no_text_has_are_refused_and_not_sent(tokenizer: str, tmp_path: Path) -> None:
    yes = encode(" yes", special=False)
    apart = [one for letter in " yes" for one in encode(letter, special=False)]
    assert len(yes) < len(apart)
    request = Request("apart", TokenPrompt(tuple(encode("Is it?") + apart)), choices=((5,), (6,)))
    with (
        made_server(tmp_path, "tgi", "--prefill") as server,
        asked_engine(server.url, tokenizer=tokenizer) as (engine, _),
    ):
        before = len(server.lines())
        done = answers(engine, [request])["apart"]
        assert len(server.lines()) == before
    assert "none is cut into these tokens" in str(done.error)


def test_mindies_tgi_route_stops_where_there_are_no_completions(tokenizer: str, tmp_path: Path) -> None:
    text = next(one for one in questions(8) if not one.choices and len(_said_to(one)) > 3)
    stop = _said_to(text)[1:3]
    asked_for = replace(text, stop=(stop,))
    with (
        made_server(tmp_path, "mindie", "--no-completions") as server,
        asked_engine(server.url, tokenizer=tokenizer) as (engine, info),
    ):
        before = len(server.lines())
        done = answers(engine, [asked_for])[text.id]
        (line,) = of_questions(server.lines()[before:])
    assert line["path"] == "/generate"
    assert "/infer_token answers alike; /generate answers alike" in seen(info)["own_routes"]
    assert done.text == _said_to(text).split(stop)[0]
    assert done.output_tokens


def _said_to(request: Request) -> str:
    assert isinstance(request.prompt, TextPrompt)
    return decode(said(tuple(encode(request.prompt.text)), request.max_new_tokens)).rstrip("\ufffd")
