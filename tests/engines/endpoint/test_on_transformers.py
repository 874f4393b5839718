"""The engine `openai` on a real `transformers serve`: no log-probabilities, and no token ids as prompts."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from endpoint_engine import loaded_from
from run_processes import journal, read, run, run_command, run_directory
from transformers_servers import TransformersServer

from modeltest.api import Capability, ChatPrompt, Finish, Request, TextPrompt, Turn
from modeltest.testing.engine_contract import GENERATIONS, EngineContract, Loaded, complete

pytestmark = pytest.mark.vllm

FOUND = {"completions", "chat", "stop", "stream", "stream_usage", "token_times"}
CONTEXT = 8192
NEW_TOKENS = 24
BRIEF = Turn("system", "Be brief.")
CONVERSATIONS = (
    (Turn("user", "Is the sea salt?"),),
    (BRIEF, Turn("user", "What is the capital of France?")),
    (Turn("user", "I have 3 apples."), Turn("assistant", "You have 3."), Turn("user", "I eat 1. And now?")),
    (BRIEF, Turn("user", "Write the numbers from one to five.")),
)


@pytest.fixture(scope="module", params=["tokenizer", "texts"])
def loaded(transformers_server: TransformersServer, request: pytest.FixtureRequest) -> Iterator[Loaded]:
    """The engine with a tokenizer's files, with which it can tell the tokens of an answer, and without."""
    files = {"tokenizer": str(transformers_server.checkpoint), "retokenize": "yes"}
    options = files if request.param == "tokenizer" else {}
    yield from loaded_from(transformers_server.url, context_tokens=str(CONTEXT), **options)


class TestOnTransformers(EngineContract):
    """The contract: what it asks of abilities that the server has not is left out by the engine's claims."""

    def test_generation_keeps_its_limit_and_says_why_it_ended(self, loaded: Loaded) -> None:
        """As everywhere, but tokens are counted: no ids are told, and no text shows the one that ends it."""
        for completion in complete(loaded.engine, GENERATIONS).values():
            count = completion.output_count or len(completion.output_tokens)
            assert 0 < count <= 4
            assert completion.finish is (Finish.LENGTH if count == 4 else Finish.STOP)
            assert bool(completion.output_tokens) == (_has_tokenizer(loaded) and completion.text != "")

    def test_the_table_of_abilities_is_what_the_server_can(self, loaded: Loaded) -> None:
        found = {each.name for each in loaded.info.abilities if each.is_there}
        assert found - {"vocabulary"} == FOUND
        assert ("vocabulary" in found) == _has_tokenizer(loaded)
        assert all(each.seen for each in loaded.info.abilities)
        assert set(loaded.info.versions) == {"transformers", "aiohttp"}

    def test_what_the_server_cannot_is_not_claimed_any_more_and_said_by_name(self, loaded: Loaded) -> None:
        lacking = {Capability(name) for name in loaded.info.lacking}
        assert lacking == {
            Capability.CHOICE_LOGPROBS,
            Capability.TOKEN_LOGPROBS,
            Capability.TOKEN_TIMES,
            Capability.IGNORE_EOS,
            Capability.SAMPLE,
        }
        assert loaded.engine.capabilities == {Capability.GENERATE}
        assert "prompt must be a string" in loaded.info.lacking["choice_logprobs"]
        assert "one generator" in loaded.info.lacking["sample"]

    def test_answers_to_conversations_are_those_of_plain_transformers(
        self, loaded: Loaded, transformers_server: TransformersServer
    ) -> None:
        requests = [
            Request(f"chat{place}", ChatPrompt((), (), turns), max_new_tokens=NEW_TOKENS)
            for place, turns in enumerate(CONVERSATIONS)
        ]
        done = complete(loaded.engine, requests, batch_size=4)
        assert [done[request.id].error for request in requests] == [None] * len(requests)
        texts = [done[request.id].text for request in requests]
        assert texts == _said_by_transformers(transformers_server.checkpoint, CONVERSATIONS)

    def test_an_answer_is_cut_in_front_of_a_stop(self, loaded: Loaded) -> None:
        prompt = TextPrompt("", (), "The capital of France is")
        asked = [Request("whole", prompt, max_new_tokens=8), Request("cut", prompt, 8, stop=("aris",))]
        done = complete(loaded.engine, asked)
        assert done["cut"].text == (done["whole"].text or "").split("aris")[0] != done["whole"].text

    def test_a_model_that_the_server_has_put_away_is_loaded_for_the_next_question(
        self, loaded: Loaded, transformers_server: TransformersServer
    ) -> None:
        before = complete(loaded.engine, GENERATIONS)
        root = transformers_server.url.rpartition("/")[0]
        with urllib.request.urlopen(urllib.request.Request(f"{root}/reset", b""), timeout=60) as answer:
            assert json.load(answer) == {"status": "ok"}
        after = complete(loaded.engine, GENERATIONS)
        assert {name: row.text for name, row in after.items()} == {
            name: row.text for name, row in before.items()
        }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sample_BoolQ", "4"], "choice_logprobs (token_prompts: status 400: prompt must be a string."),
        (["performance", "[[16,4]]", "[1]"], "token_times (token_prompts: status 400: prompt must be"),
    ],
)
def test_a_task_that_needs_more_is_refused_by_name_before_its_first_question(
    words: Sequence[str], said: str, transformers_server: TransformersServer, tmp_path: Path
) -> None:
    done = run("openai", *words, "auto", transformers_server.url, "1", output=tmp_path, expect=3)
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    directory = run_directory(tmp_path)
    assert not (directory / "samples.jsonl").exists() or journal(directory) == []


def test_texts_are_generated_in_conversations(
    transformers_server: TransformersServer, tmp_path: Path
) -> None:
    question = "What is the capital of France?"
    words = ["--input-text", question, "--is-chat-model", "--max-output-length", str(NEW_TOKENS)]
    run_command(*_generating(transformers_server, tmp_path), *words)
    directory = run_directory(tmp_path)
    (line,) = (directory / "generations.jsonl").read_text(encoding="utf-8").splitlines()
    expected = _said_by_transformers(transformers_server.checkpoint, [(Turn("user", question),)])
    assert [json.loads(line)["text"]] == expected
    info = read(directory)["engine"]
    assert "transformers" in info["versions"]
    assert len(info["served"]["texts"]) == 4


def test_sampling_is_refused_since_requests_share_a_generator(
    transformers_server: TransformersServer, tmp_path: Path
) -> None:
    words = ["--input-text", "The sea is", "--do-sample", "--temperature", "1"]
    done = run_command(*_generating(transformers_server, tmp_path), *words, expect=3)
    assert "sample (seed: transformers draws for all requests" in " ".join(done.stderr.split())


def _generating(server: TransformersServer, output: Path) -> list[str]:
    return ["generate", "--engine", "openai", "--model", server.url, "--output", str(output)]


def _has_tokenizer(loaded: Loaded) -> bool:
    return "tokenizer" in loaded.asked[0].engine_options


def _said_by_transformers(checkpoint: Path, conversations: Sequence[Sequence[Turn]]) -> list[str]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    texts = []
    for turns in conversations:
        laid = [{"role": turn.role, "content": turn.content} for turn in turns]
        row = tokenizer.apply_chat_template(
            laid, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        said = model.generate(**row, max_new_tokens=NEW_TOKENS, do_sample=False)
        ids = said[0, row["input_ids"].shape[1] :]
        texts.append(tokenizer.decode(ids, skip_special_tokens=True))
    return texts
