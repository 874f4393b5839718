"""What each kind of server can is found out by asking it; what needs more is refused before a question."""

import pytest
from asked_engine import answers, asked_engine, assert_right, questions, said
from made_model import decode, encode, write_tokenizer
from run_processes import run
from running_servers import made_server

from modeltest.api import Capability, ChatPrompt, EngineError, Request, TextPrompt, Turn

TOLD = frozenset({"completions", "chat", "stop", "seed", "stream", "stream_usage", "tokenize"})
IDS = frozenset({"token_prompts", "text_side"})
RETURNED = frozenset({"returned_ids", "stream_ids", "token_times"})
ENDLESS = frozenset({"ignore_eos"})
KNOWN = {
    "vllm": TOLD
    | IDS
    | RETURNED
    | ENDLESS
    | {"prompt_logprobs", "echo", "chosen_logprobs", "top_logprobs", "float32_logits", "min_tokens"},
    "sglang": TOLD
    | IDS
    | RETURNED
    | ENDLESS
    | {"echo", "min_tokens", "own_routes"}
    | {"prompt_logprobs", "suffix_logprobs", "chosen_logprobs", "top_logprobs", "float32_logits"},
    "tgi": TOLD | {"own_routes", "returned_ids", "stream_ids", "token_times"},
    "mindie": TOLD | IDS | ENDLESS | {"own_routes", "returned_ids", "stream_ids", "token_times"},
    "llama_cpp": TOLD | IDS | ENDLESS,
    "transformers": TOLD - {"tokenize", "seed"},
    "plain": (TOLD - {"tokenize"}) | IDS | {"echo"},
}
BY_TEXT_ALONE = {"token_times", "top_logprobs", "float32_logits"}
"""Seen by chance where chunks and log-probabilities tell texts: some prompt's answer has a half character."""

LACKING = {
    "vllm": set(),
    "sglang": set(),
    "tgi": {"choice_logprobs", "token_logprobs", "token_times", "ignore_eos"},
    "mindie": {"choice_logprobs", "token_logprobs"},
    "llama_cpp": {"choice_logprobs", "token_logprobs"},
    "transformers": {"choice_logprobs", "token_logprobs", "token_times", "ignore_eos", "sample"},
    "plain": {"ignore_eos"},
}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return str(write_tokenizer(tmp_path_factory.mktemp("tokenizer")))


@pytest.mark.parametrize("dialect", KNOWN)
def test_the_abilities_that_are_found_are_those_of_the_server(dialect, tokenizer, tmp_path):
    with (
        made_server(tmp_path, dialect) as server,
        asked_engine(server.url, tokenizer=tokenizer) as (_, info),
    ):
        asked = {line["path"] for line in server.lines()}
    found = {ability.name for ability in info.abilities if ability.is_there} - {"vocabulary"}
    maybe = set() if {"prompt_logprobs", "returned_ids"} <= KNOWN[dialect] else BY_TEXT_ALONE
    assert found - maybe == KNOWN[dialect] - maybe
    assert set(info.versions) == {"unknown" if dialect == "plain" else dialect.replace("_", "."), "aiohttp"}
    assert set(info.lacking) - maybe == LACKING[dialect] - maybe
    assert all(ability.seen for ability in info.abilities)
    assert "/stopService" not in asked


@pytest.mark.parametrize("dialect", ["vllm", "sglang", "plain"])
def test_choices_and_texts_are_the_models_own_on_every_server_that_tells_them(dialect, tokenizer, tmp_path):
    requests = questions(6)
    with (
        made_server(tmp_path, dialect) as server,
        asked_engine(server.url, tokenizer=tokenizer) as (engine, _),
    ):
        done = answers(engine, requests)
    for request in requests:
        assert_right(done[request.id], request)


@pytest.mark.parametrize("dialect", ["tgi", "mindie", "llama_cpp", "transformers", "plain"])
def test_texts_are_the_models_own_where_there_are_no_log_probabilities(dialect, tmp_path):
    requests = [request for request in questions(8) if not request.choices]
    with made_server(tmp_path, dialect) as server, asked_engine(server.url) as (engine, _):
        done = answers(engine, requests)
    for request in requests:
        assert_right(done[request.id], request)


def test_a_server_that_only_chats_answers_chats(tmp_path):
    turns = (Turn("user", "Is the sea salt?"),)
    request = Request("chat", ChatPrompt((), (), turns), max_new_tokens=6)
    with (
        made_server(tmp_path, "transformers", "--chat-only") as server,
        asked_engine(server.url, chat=True) as (engine, info),
    ):
        completion = answers(engine, [request])["chat"]
    assert Capability.GENERATE.value not in info.lacking
    assert {ability.name for ability in info.abilities if ability.is_there} == {"chat"}
    assert completion.error is None
    assert completion.text


@pytest.mark.parametrize(
    ("dialect", "words", "named"),
    [
        ("tgi", ["sample_BoolQ", "4"], "choice_logprobs"),
        ("transformers", ["performance", "[[16,4]]", "[1]"], "token_times"),
    ],
)
def test_a_task_that_needs_more_is_refused_by_name_before_its_first_question(dialect, words, named, tmp_path):
    with made_server(tmp_path, dialect) as server:
        command = ["openai", *words, "auto", server.url, "1"]
        done = run(*command, output=tmp_path / "output", expect=3)
        told = [str(line["body"]) for line in server.lines() if line["path"].endswith("completions")]
    assert named in done.stderr or named.replace("_", " ") in done.stderr
    assert "Traceback" not in done.stderr
    assert not any("Answer:" in body for body in told)


def test_a_stop_that_is_told_with_the_answer_is_cut_off(tmp_path):
    whole = next(text for n in range(99) if len(text := decode(said(tuple(encode(f"{n}:")), 6))) > 3)
    number = next(n for n in range(99) if decode(said(tuple(encode(f"{n}:")), 6)) == whole)
    stop = whole[1:3]
    request = Request("cut", TextPrompt("", (), f"{number}:"), max_new_tokens=6, stop=(stop,))
    with made_server(tmp_path, "transformers") as server, asked_engine(server.url) as (engine, info):
        completion = answers(engine, [request])["cut"]
    assert {each.name: each.is_there for each in info.abilities}["stop"]
    assert completion.text == whole.split(stop)[0]


def test_what_a_server_of_texts_lacks_is_not_claimed_any_more(tmp_path):
    with made_server(tmp_path, "transformers") as server, asked_engine(server.url) as (engine, info):
        assert engine.capabilities == {Capability.GENERATE}
    assert "one generator" in info.lacking["sample"]


def test_a_context_that_was_told_bounds_texts_too(tmp_path):
    prompt = TextPrompt("", (), "Question: is the sea salt?\nAnswer:")
    requests = [Request("fits", prompt, 2), Request("too many", prompt, 40)]
    read = len(encode(prompt.text))
    with (
        made_server(tmp_path, "transformers") as server,
        asked_engine(server.url, context_tokens=str(read + 2)) as (engine, _),
    ):
        done = answers(engine, requests)
        long = TextPrompt("", (), f"{prompt.text} yes.\n{prompt.text}")
        longer = answers(engine, [Request("too long", long, 2)])["too long"]
    assert done["fits"].error is None
    assert done["too many"].error == f"40 new tokens do not fit in a context of {read + 2}"
    assert "more than the context" in str(longer.error)


def test_tokens_of_an_answer_are_cut_here_where_prompts_are_texts(tokenizer, tmp_path):
    request = next(each for each in questions(4) if not each.choices)
    options = {"tokenizer": tokenizer, "retokenize": "yes"}
    with made_server(tmp_path, "transformers") as server, asked_engine(server.url, **options) as (engine, _):
        completion = answers(engine, [request])[request.id]
    assert completion.output_tokens == tuple(encode(completion.text, special=False))


def test_where_no_models_are_listed_it_is_said_how_to_name_one(tmp_path):
    with (
        made_server(tmp_path, "transformers") as server,
        pytest.raises(EngineError, match=r"status 404: .* name the model with --served-model NAME"),
        asked_engine(server.url.replace("/v1", "/v2")),
    ):
        pass
