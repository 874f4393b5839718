"""What each kind of server can is found out by asking it; what needs more is refused before a question."""

import pytest
from asked_engine import answers, asked_engine, assert_right, questions
from made_model import write_tokenizer
from run_processes import run
from running_servers import made_server

from modeltest.api import Capability, ChatPrompt, Request, Turn

TOLD = frozenset({"completions", "chat", "stop", "seed", "stream", "stream_usage", "tokenize"})
IDS = frozenset({"token_prompts", "text_side"})
RETURNED = frozenset({"returned_ids", "stream_ids", "token_times"})
ENDLESS = frozenset({"ignore_eos"})
KNOWN = {
    "vllm": TOLD
    | IDS
    | RETURNED
    | ENDLESS
    | {"prompt_logprobs", "echo", "chosen_logprobs", "top_logprobs", "min_tokens"},
    "sglang": TOLD | IDS | RETURNED | ENDLESS | {"echo", "min_tokens"},
    "tgi": TOLD,
    "mindie": TOLD | IDS | ENDLESS,
    "llama_cpp": TOLD | IDS | ENDLESS,
    "transformers": TOLD - {"tokenize"},
    "plain": (TOLD - {"tokenize"}) | IDS | {"echo"},
}
BY_TEXT_ALONE = {"token_times", "top_logprobs"}
"""Seen by chance where chunks and log-probabilities tell texts: some prompt's answer has a half character."""

LACKING = {
    "vllm": set(),
    "sglang": set(),
    "tgi": {"choice_logprobs", "token_times", "ignore_eos"},
    "mindie": {"choice_logprobs"},
    "llama_cpp": {"choice_logprobs"},
    "transformers": {"choice_logprobs", "token_times", "ignore_eos"},
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
    maybe = set() if "returned_ids" in KNOWN[dialect] else BY_TEXT_ALONE
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
