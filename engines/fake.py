"""The `fake` engine: no model, answers and latencies from a formula, failures on demand.

It lets authors of tasks and reports work without a model, and tests reach every path a real engine may
take. Options (`--engine-option NAME=VALUE`), all optional:

    prefill_ms_per_token  time of one prompt token of one row             [0.01]
    step_ms               time of one decode step                          [1]
    row_ms                what each row adds to a decode step              [0.1]
    noise                 relative spread of every step, seeded            [0]
    sleep                 `yes` to take that time really                   [no]
    load_ms               time of loading, taken really                    [0]
    answer                text that every generation says                  [a letter drawn from the prompt]
    fail_every            every N-th request fails                         [never]
    lose_every            every N-th request is never answered             [never]
    out_of_memory_above   batches of more rows do not fit                  [never]
    crash_after           the process is killed after N batches            [never]
    crash_at              a batch with the request of this id kills it     [none]
    hang_at               a batch with the request of this id never ends   [none]
    device_error_at       one with it fails the device                     [none]
    once                  these three happen only while this file is not there, and make it [always]
    changed_after_oom     `yes` for other tokens after an out-of-memory    [no]
    context_tokens        prompt and new tokens must fit in it             [any]
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from engines.common.encoding import each_token_problem
from engines.common.tokenizing import ByteTokenizer
from modeltest.api import (
    Capability,
    ChatPrompt,
    Completion,
    DeviceError,
    EngineError,
    EngineInfo,
    EngineUsage,
    Finish,
    ModelInfo,
    OutOfMemory,
    Request,
    RunSpec,
    SpecError,
    TextPrompt,
    Tokenizer,
)

VOCABULARY_SIZE = 256
"""Tokens are the bytes of the text."""

END_OF_TEXT = 0

_LARGEST = 10**9
"""Of the options that are numbers: a clock cannot sleep for longer."""


@dataclass(frozen=True, slots=True)
class FakeOptions:
    """The options above, converted."""

    prefill_ms_per_token: float = 0.01
    step_ms: float = 1.0
    row_ms: float = 0.1
    noise: float = 0.0
    sleep: bool = False
    load_ms: float = 0.0
    answer: str | None = None
    fail_every: int = 0
    lose_every: int = 0
    out_of_memory_above: int = 0
    crash_after: int = 0
    crash_at: str | None = None
    hang_at: str | None = None
    device_error_at: str | None = None
    once: str | None = None
    changed_after_oom: bool = False
    context_tokens: int | None = None

    @staticmethod
    def parse(options: Mapping[str, str]) -> FakeOptions:
        """Convert the texts of `--engine-option`.

        Raises: SpecError for an unknown name or a value of the wrong kind.
        """
        kinds = {field.name: str(field.type).split(" | ", maxsplit=1)[0] for field in fields(FakeOptions)}
        values: dict[str, Any] = {}
        for name, text in options.items():
            if name not in kinds:
                raise SpecError(f"engine fake has no option {name!r}; available: {', '.join(kinds)}")
            try:
                values[name] = _CONVERT[kinds[name]](text)
            except (ValueError, KeyError):
                raise SpecError(f"engine fake: option {name}={text!r} is not a {kinds[name]}") from None
            if isinstance(values[name], (int, float)) and not 0 <= values[name] <= _LARGEST:
                raise SpecError(f"engine fake: option {name}={text!r:.80} must be from 0 to {_LARGEST}")
        return FakeOptions(**values)


_CONVERT: dict[str, Any] = {
    "float": float,
    "int": int,
    "str": str,
    "bool": {"yes": True, "no": False}.__getitem__,
}


class FakeEngine:
    """Completes requests by formula; equal requests get equal answers."""

    name = "fake"
    capabilities = frozenset(Capability) - {Capability.PREFILL_LIMITS}
    needs_weights = False

    def __init__(self) -> None:
        self._options = FakeOptions()
        self._random = Random(0)
        self._asked = 0
        self._batches = 0
        self._has_run_out = False

    def check(self, spec: RunSpec, model: ModelInfo) -> None:
        """Refuse unknown options."""
        FakeOptions.parse(spec.engine_options)

    def environment(self, spec: RunSpec, model: ModelInfo) -> Mapping[str, str]:
        """Return nothing: there is nothing to set."""
        return {}

    def load(self, spec: RunSpec, model: ModelInfo) -> EngineInfo:
        """Read the options."""
        self._options = FakeOptions.parse(spec.engine_options)
        time.sleep(self._options.load_ms / 1000)
        return self.begin(spec, model)

    def _info(self, spec: RunSpec) -> EngineInfo:
        return EngineInfo(
            engine=self.name,
            device="none",
            dtype=spec.dtype or "none",
            vocabulary_size=VOCABULARY_SIZE,
            special_token_ids=(END_OF_TEXT,),
            context_tokens=self._options.context_tokens,
            versions={},
            load_s=0.0,
            notes=("answers and times are made up",),
            times_end_alone=True,
        )

    def begin(self, spec: RunSpec, model: ModelInfo) -> EngineInfo:
        """Begin anew with the options of the loaded model; it is never what takes time."""
        self._options = FakeOptions.parse(spec.engine_options)
        self._random = Random(spec.seed)
        self._asked = self._batches = 0
        return self._info(spec)

    def complete(self, requests: Iterable[Request], *, batch_size: int) -> Iterator[Sequence[Completion]]:
        """Yield completions in the order of the requests."""
        remaining = iter(requests)
        while batch := list(islice(remaining, batch_size)):
            limit = self._options.out_of_memory_above
            if limit and len(batch) > limit:
                self._has_run_out = True
                raise OutOfMemory(f"fake: out of memory with {len(batch)} rows, {limit} would fit")
            if self._options.crash_after and self._batches >= self._options.crash_after:
                os.kill(os.getpid(), signal.SIGKILL)
            self._fail_on_demand({request.id for request in batch})
            self._batches += 1
            yield self._complete_batch(batch)

    def tokenizer(self) -> Tokenizer:
        """Return the tokenizer of bytes."""
        return ByteTokenizer(END_OF_TEXT)

    def peak_memory_bytes(self) -> int | None:
        """Return `None`: no memory is used that would mean anything."""
        return None

    def usage(self) -> EngineUsage:
        """Return nothing counted: nothing is computed."""
        return EngineUsage()

    def close(self) -> None:
        """Nothing to free."""

    def _fail_on_demand(self, ids: Collection[str]) -> None:
        options = self._options
        if not {options.crash_at, options.hang_at, options.device_error_at} & set(ids):
            return
        if options.once is not None:
            try:
                Path(options.once).touch(exist_ok=False)
            except FileExistsError:
                return
        if options.crash_at in ids:
            os.kill(os.getpid(), signal.SIGKILL)
        if options.device_error_at in ids:
            raise DeviceError("fake: the device fails as asked for")
        while True:
            time.sleep(60)

    def _complete_batch(self, batch: Sequence[Request]) -> list[Completion]:
        prompts = [_tokens_of(request) for request in batch]
        steps = max((request.max_new_tokens for request in batch), default=0)
        times_ns = self._times_ns(prompts, max(steps, 1))  # choices take a prefill
        if self._options.sleep:
            time.sleep(times_ns[-1] / 1e9)
        completions = []
        for request, prompt in zip(batch, prompts, strict=True):
            self._asked += 1
            if _is_nth(self._asked, self._options.lose_every):
                continue
            completions.append(self._complete_one(request, prompt, times_ns))
        return completions

    def _complete_one(
        self, request: Request, prompt: tuple[int, ...], times_ns: tuple[int, ...]
    ) -> Completion:
        if _is_nth(self._asked, self._options.fail_every):
            return Completion(request.id, error=f"fake: request {self._asked} fails as asked for")
        if request.each_token and (problem := each_token_problem(request)) is not None:
            return Completion(request.id, error=problem)
        if request.choices:
            return _chosen(request, prompt)
        tokens, finish = self._generate(request, _digest(prompt))
        return Completion(
            request.id,
            text=bytes(tokens).decode(errors="replace"),
            prompt_tokens=prompt,
            output_tokens=tokens,
            token_times_ns=() if request.only_end_timed else times_ns[: len(tokens)],
            end_ns=times_ns[len(tokens) - 1] if request.only_end_timed else None,
            finish=finish,
        )

    def _generate(self, request: Request, digest: bytes) -> tuple[tuple[int, ...], Finish]:
        limit = request.max_new_tokens
        if request.ignore_eos:
            drawn = Random(digest[::-1] if self._is_changed else digest)
            return tuple(drawn.randrange(32, 127) for _ in range(limit)), Finish.LENGTH
        answer = self._options.answer
        text = (answer if answer is not None else "ABCD"[digest[0] % 4]).encode()
        return tuple(text[:limit]), Finish.STOP if len(text) < limit else Finish.LENGTH

    @property
    def _is_changed(self) -> bool:
        return self._has_run_out and self._options.changed_after_oom

    def _times_ns(self, prompts: Sequence[tuple[int, ...]], steps: int) -> tuple[int, ...]:
        options = self._options
        prefill_ms = options.prefill_ms_per_token * sum(len(prompt) for prompt in prompts)
        gaps_ms = [prefill_ms] + [options.step_ms + options.row_ms * len(prompts)] * (steps - 1)
        now_ms, times_ns = 0.0, []
        for gap_ms in gaps_ms[:steps]:
            now_ms += gap_ms * (1 + options.noise * self._random.uniform(-1, 1))
            times_ns.append(round(now_ms * 1e6))
        return tuple(times_ns)


def _chosen(request: Request, prompt: tuple[int, ...]) -> Completion:
    """Return made-up log-probabilities: of texts by their place, of token ids by what stands before each."""
    choices = tuple(map(_choice_tokens, request.choices))
    of_tokens = [
        (_made_up(prompt, place),)
        if isinstance(choice, str)
        else tuple(_made_up(prompt + choice[:at], token) for at, token in enumerate(choice))
        for place, choice in enumerate(request.choices)
    ]
    logprobs = tuple(map(sum, of_tokens))
    return Completion(
        request.id,
        prompt_tokens=prompt,
        choice_tokens=choices,
        choice_logprobs=logprobs,
        choice_is_greedy=tuple(logprob == max(logprobs) for logprob in logprobs),
        token_logprobs=tuple(of_tokens) if request.each_token else (),
    )


def _made_up(before: tuple[int, ...], at: int) -> float:
    digest = _digest(before)
    return -1.0 - digest[at % len(digest)] / 32


def _digest(tokens: tuple[int, ...]) -> bytes:
    return hashlib.sha256(bytes(token % 256 for token in tokens)).digest()


def _tokens_of(request: Request) -> tuple[int, ...]:
    if isinstance(request.prompt, TextPrompt):
        return tuple(request.prompt.text.encode())
    if isinstance(request.prompt, ChatPrompt):
        return tuple("".join(turn.content for turn in request.prompt.turns).encode())
    if not request.prompt.ids:
        raise EngineError(f"request {request.id!r} has no tokens")
    return request.prompt.ids


def _choice_tokens(choice: str | tuple[int, ...]) -> tuple[int, ...]:
    return tuple(choice.encode()) if isinstance(choice, str) else choice


def _is_nth(count: int, every: int) -> bool:
    return every > 0 and count % every == 0
