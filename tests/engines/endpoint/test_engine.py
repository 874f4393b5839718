"""The engine on made servers: what is refused, what is held against what was asked, what is kept secret."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest
from endpoint_engine import loaded_from, spec_of
from running_servers import faulty_proxy, made_server

from engines.endpoint.engine import OpenAIEngine
from modeltest.api import (
    Capability,
    ChatPrompt,
    Completion,
    EngineError,
    PrerequisiteError,
    Request,
    TokenPrompt,
    Turn,
    other_weights,
)
from modeltest.run.planning.found import refuse_lacking
from modeltest.testing.engine_contract import CHOICES, GENERATIONS, TIMED, Loaded, complete


class Look(Protocol):
    def __call__(
        self, *options: str, dialect: str = "vllm", url: str | None = None, **engine_options: str
    ) -> Loaded:
        """Return the engine that has looked at a made server, or at the one at `url`."""


@pytest.fixture
def look(tmp_path: Path) -> Iterator[Look]:
    with ExitStack() as stack:

        def looked(
            *options: str, dialect: str = "vllm", url: str | None = None, **engine_options: str
        ) -> Loaded:
            found = url or stack.enter_context(made_server(tmp_path, dialect, *options)).url
            return stack.enter_context(contextmanager(loaded_from)(found, **engine_options))

        yield looked


def one(loaded: Loaded, request: Request) -> Completion:
    return complete(loaded.engine, [request])[request.id]


def test_a_field_that_is_ignored_in_silence_is_an_ability_that_is_not_there(look: Look) -> None:
    ignored = ("ignore_eos", "logprob_token_ids", "prompt_logprobs", "return_token_ids")
    loaded = look("--ignored", ",".join(ignored))
    names = ("ignore_eos", "chosen_logprobs", "prompt_logprobs", "returned_ids")
    there = {each.name: each.is_there for each in loaded.info.abilities}
    assert not any(there[name] for name in names)
    assert there["echo"]
    assert there["token_prompts"]
    spec = replace(loaded.asked[0], mode="performance")
    with pytest.raises(PrerequisiteError, match=r"it lacks ignore_eos .* tokens came"):
        refuse_lacking(loaded.info, spec, {Capability.IGNORE_EOS})
    refuse_lacking(loaded.info, spec, {Capability.GENERATE, Capability.CHOICE_LOGPROBS})
    assert all(row.error is None for row in complete(loaded.engine, CHOICES).values()), "by echo"


def test_choices_are_the_same_by_every_way_that_a_server_has(look: Look) -> None:
    ways = ("", "logprob_token_ids", "logprob_token_ids,prompt_logprobs", "echo,prompt_logprobs")
    found = []
    for ignored in ways:
        asked = [Request("single", TokenPrompt((5, 6, 7)), choices=((8,), (9,)))]
        if "echo" not in ignored:
            long = Request("long", TokenPrompt((5, 6, 7)), choices=((8, 9), (9, 9, 9)))
            asked += [long, replace(long, id="each", each_token=True)]
        loaded = look(*(("--ignored", ignored) if ignored else ()))
        answers = complete(loaded.engine, asked)
        if "each" in answers:
            told = [list(tokens) for tokens in answers["each"].token_logprobs]
            assert [len(tokens) for tokens in told] == [2, 3]
            assert [sum(tokens) for tokens in told] == pytest.approx(list(answers["long"].choice_logprobs))
        found.append({name: answers[name].choice_logprobs for name in answers})
    for other in found[1:]:
        for name, logprobs in other.items():
            assert logprobs == pytest.approx(found[0][name], abs=1e-6)


def test_a_server_that_tells_nothing_of_a_prompts_tokens_lacks_those_of_a_continuation(look: Look) -> None:
    loaded = look("--ignored", "echo,prompt_logprobs")
    assert set(loaded.info.lacking) == {Capability.TOKEN_LOGPROBS.value}
    seen = {each.name: each.seen for each in loaded.info.abilities}
    assert loaded.info.lacking["token_logprobs"] == (
        f"prompt_logprobs: {seen['prompt_logprobs']}, echo: {seen['echo']}"
    )
    assert Capability.TOKEN_LOGPROBS not in loaded.engine.capabilities
    with pytest.raises(PrerequisiteError, match=r"it lacks token_logprobs \(prompt_logprobs: "):
        refuse_lacking(loaded.info, loaded.asked[0], {Capability.TOKEN_LOGPROBS})


def test_fewer_tokens_than_asked_for_are_a_failure_and_no_short_answer(look: Look) -> None:
    loaded = look("--most-tokens", "60")
    asked = replace(TIMED[0], max_new_tokens=80)
    (batch,) = loaded.engine.complete([asked], batch_size=1)
    assert "60 of 80 tokens" in str(batch[0].error)
    said = one(loaded, Request("g", TokenPrompt((5, 6, 7)), 80, stop=("never",)))
    assert said.error is None or "80 tokens were asked for, the server made 60" in said.error


def test_what_a_model_thinks_is_no_part_of_its_answer(look: Look) -> None:
    loaded = look("--reasoning")
    turns = (Turn("user", "Is the sea salt?"),)
    said = one(loaded, Request("chat", ChatPrompt((), (), turns), max_new_tokens=12))
    assert said.error is None
    use = loaded.engine.usage().client
    assert use is not None
    assert use.thinking_answers == 1


@pytest.mark.parametrize("fault", ["--breaks-after=3", "--fails-after=3"])
def test_a_stream_that_breaks_off_fails_its_row(look: Look, fault: str) -> None:
    loaded = look(fault)
    assert "token_times" in loaded.info.lacking
    (batch,) = loaded.engine.complete(TIMED, batch_size=3)
    assert all(row.error and row.token_times_ns == () for row in batch)


def test_questions_are_asked_again_and_counted_once(look: Look, tmp_path: Path) -> None:
    with made_server(tmp_path) as server, faulty_proxy(tmp_path, server) as proxy:
        loaded = look(url=proxy.url)
        expected = complete(loaded.engine, GENERATIONS)
        faults = ("429", "503", "500", "reset_before", "lose_answer", "reset_after")
        proxy.arm(*({"fault": fault, "at": [2 + 2 * place]} for place, fault in enumerate(faults)))
        before = loaded.engine.usage().client
        asked = [replace(request, id=f"{request.id}{copy}") for copy in "ab" for request in GENERATIONS]
        found = complete(loaded.engine, asked, batch_size=1)
        after = loaded.engine.usage().client
        assert before is not None
        assert after is not None
        retries = after.retries - before.retries
        assert len(faults) - 1 <= retries <= len(faults), "a look at the model that meets the 500 is another"
        assert {name: row.text for name, row in found.items()} == {
            f"{name}{copy}": row.text for copy in "ab" for name, row in expected.items()
        }


def test_a_timed_batch_is_never_asked_again(look: Look, tmp_path: Path) -> None:
    with made_server(tmp_path) as server, faulty_proxy(tmp_path, server) as proxy:
        loaded = look(url=proxy.url)
        for fault in ("429", "reset_before", "reset_after", "cut", "html", "error_200", "redirect"):
            proxy.arm()
            list(loaded.engine.complete(TIMED, batch_size=3))  # one whose connection broke is looked at first
            proxy.arm({"fault": fault, "at": [2]})
            (batch,) = loaded.engine.complete(TIMED, batch_size=3)
            assert sum(row.error is not None for row in batch) == 1, fault
        proxy.arm()
        (batch,) = loaded.engine.complete(TIMED, batch_size=3)
        assert not any(row.error for row in batch)


def test_tokens_of_one_piece_have_one_time(look: Look) -> None:
    loaded = look("--tokens-per-chunk", "2")
    (batch,) = loaded.engine.complete(TIMED[:1], batch_size=1)
    times = batch[0].token_times_ns
    assert batch[0].error is None
    assert len(times) == 6
    assert len(set(times)) <= 4, "one, two, two and one"
    use = loaded.engine.usage().client
    assert use is not None
    assert use.shared_chunks == 2


def test_the_same_weights_are_known_again_and_others_too(look: Look) -> None:
    served = {}
    for weights in ("base", "noise1e-5", "finetune", "int4"):
        served[weights] = look("--weights", weights).info.served
    base = served["base"]
    assert base is not None
    for weights in ("base", "noise1e-5"):
        assert other_weights(base, served[weights]) is None  # type: ignore[arg-type]
    for weights in ("finetune", "int4"):
        assert "other weights" in str(other_weights(base, served[weights]))  # type: ignore[arg-type]


def test_a_server_that_only_chats_is_asked_in_conversations_alone(look: Look) -> None:
    loaded = look("--chat-only", dialect="transformers")
    assert {"generate", "choice_logprobs", "token_times"} <= set(loaded.info.lacking)
    assert "ask with chat" in loaded.info.lacking["generate"]
    turns = (Turn("user", "Is the sea salt?"),)
    assert one(loaded, Request("chat", ChatPrompt((), (), turns), max_new_tokens=3)).error is None


KEY = "sk-hunter2-0123456789"


def _without_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MODELTEST_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def test_a_wrong_key_is_told_and_not_repeated(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    _without_key(monkeypatch)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with pytest.raises(PrerequisiteError, match="MODELTEST_API_KEY") as caught:
        look("--api-key", "another", "--tells-key")
    assert KEY not in str(caught.value)


def test_a_key_is_in_no_file_of_a_run_and_in_nothing_it_says(tmp_path: Path) -> None:
    environment = {**os.environ, "MODELTEST_API_KEY": KEY}
    command = [sys.executable, "-m", "modeltest", "accuracy", "--task", "boolq", "--split", "sample"]
    with made_server(tmp_path, "vllm", "--api-key", KEY) as server:
        more = [
            "--engine",
            "openai",
            "--model",
            server.url,
            "--limit",
            "3",
            "--output",
            str(tmp_path / "runs"),
        ]
        done = subprocess.run([*command, *more], env=environment, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert KEY not in said
    files = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


def test_nobody_there_is_told_before_anything_is_asked() -> None:
    engine, spec = OpenAIEngine(), spec_of("http://127.0.0.1:9/v1", retry_s="0.1")
    with pytest.raises(EngineError, match=r"127\.0\.0\.1:9/v1: no connection"):
        engine.load(spec, engine.served_model(spec))
    engine.close()


@pytest.mark.parametrize(("weights", "is_refused"), [("base", False), ("finetune", True)])
def test_a_server_that_was_away_is_asked_whether_it_is_the_same(
    look: Look, tmp_path: Path, weights: str, is_refused: bool
) -> None:
    with made_server(tmp_path) as server:
        loaded = look(url=server.url)
        expected = complete(loaded.engine, GENERATIONS)
        server.stop(kill=True)
        back = threading.Timer(0.5, server.start, ("--weights", weights))
        back.start()
        if is_refused:
            with pytest.raises(EngineError, match="another model than at the begin"):
                complete(loaded.engine, GENERATIONS)
        else:
            found = complete(loaded.engine, GENERATIONS)
            assert {name: row.text for name, row in found.items()} == {
                name: row.text for name, row in expected.items()
            }
        back.join()


def test_a_server_that_stays_away_ends_the_run(look: Look, tmp_path: Path) -> None:
    with made_server(tmp_path) as server:
        loaded = look(url=server.url, retry_s="1")
    with pytest.raises(EngineError, match="no connection"):
        complete(loaded.engine, GENERATIONS)
