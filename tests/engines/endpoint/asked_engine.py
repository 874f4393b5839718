"""The engine `openai`, loaded for a made server, and what the made model says to the same questions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from made_model import MadeModel, decode, encode

from engines.endpoint.engine import OpenAIEngine
from engines.endpoint.fingerprint import TEXTS
from modeltest.api import Completion, Engine, EngineInfo, Request, RunSpec, TextPrompt, TokenPrompt

MODEL = MadeModel()
NEW_TOKENS = 6


@contextmanager
def asked_engine(
    url: str, *, chat: bool = False, **options: str
) -> Iterator[tuple[OpenAIEngine, EngineInfo]]:
    """Load the engine for the server at `url`."""
    spec = RunSpec("openai", "boolq", "boolq", "auto", url, chat=chat, engine_options=options)
    engine = OpenAIEngine()
    try:
        yield engine, engine.load(spec, engine.served_model(spec))
    finally:
        engine.close()


def questions(count: int) -> list[Request]:
    """Return requests, half of them for texts, half for choices, with characters of several bytes."""
    texts = [f"Question {n}: is the sea salt, 是否?\nAnswer:" for n in range(count)]
    return [
        Request(f"g{n}", TextPrompt("", (), text), max_new_tokens=NEW_TOKENS)
        if n % 2
        else Request(f"c{n}", TextPrompt("", (), text), choices=(" yes", " no"))
        for n, text in enumerate(texts)
    ]


def timed(count: int, new_tokens: int = 8) -> list[Request]:
    """Return the requests of one timed batch."""
    prompts = [TokenPrompt(tuple(range(40 + n, 52 + n))) for n in range(count)]
    return [Request(f"t{n}", prompt, new_tokens, ignore_eos=True) for n, prompt in enumerate(prompts)]


def answers(engine: Engine, requests: Sequence[Request], batch_size: int = 4) -> dict[str, Completion]:
    """Return the completions by id; each request has exactly one."""
    done = [each for batch in engine.complete(iter(requests), batch_size=batch_size) for each in batch]
    assert sorted(each.request_id for each in done) == sorted(request.id for request in requests)
    return {each.request_id: each for each in done}


def assert_right(completion: Completion, request: Request) -> None:
    """Hold a completion against what the model says to its request."""
    assert completion.error is None
    if isinstance(request.prompt, TokenPrompt):
        assert completion.output_tokens == tuple(said(request.prompt.ids, request.max_new_tokens, ends=False))
        return
    assert isinstance(request.prompt, TextPrompt)
    text = request.prompt.text
    if not request.choices:
        assert completion.text == decode(said(tuple(encode(text)), request.max_new_tokens)).rstrip("\ufffd")
        return
    for choice, logprob in zip(request.choices, completion.choice_logprobs, strict=True):
        whole, prompt = encode(f"{text}{choice}"), encode(text)
        assert whole[: len(prompt)] == prompt
        assert abs(MODEL.logprob(prompt, whole[len(prompt) :]) - logprob) < 1e-9


@cache
def said(prompt: tuple[int, ...], count: int, *, ends: bool = True) -> list[int]:
    """Return the ids of the likeliest answer."""
    return MODEL.greedy(prompt, count) if ends else MODEL.greedy(prompt, count, ends=())


def of_questions(lines: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return what a server was asked but for looks at its model, whose number is a matter of time."""
    return [
        line
        for line in lines
        if not any(line["body"].get(name) in TEXTS for name in ("prompt", "text", "inputs"))
    ]
