"""Requests to completions: how each is asked of this server, and what all of them took."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from engines.common.encoding import Encoded, encode_window
from engines.endpoint.choices import CannotTellError, choose
from engines.endpoint.generations import Drawing, generate
from engines.endpoint.loading import Loaded
from engines.endpoint.model_watch import ModelWatch
from engines.endpoint.routes.replies import ReplyError, Usage
from engines.endpoint.timed import Lags, run_timed
from engines.endpoint.transport.client import Unanswered
from modeltest.api import ChatPrompt, ClientUse, Completion, Request, RunSpec

Asked = Encoded | Request
"""As token ids, or as it is: a text or a conversation that the server cuts itself."""

_NS_PER_MS = 1e6


@dataclass(slots=True)
class Sums:
    """What was asked for and the server counted; `None` until it says something."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    thinking_answers: int = 0
    requests: int = 0
    """Of connections before the present ones; so `retries`."""

    retries: int = 0

    def add(self, usage: Usage) -> None:
        """Count in what the server says of one answer."""
        for name in ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens"):
            count = getattr(usage, name)
            if count is not None:
                setattr(self, name, (getattr(self, name) or 0) + count)


class Answering:
    """Asks one looked-at server."""

    def __init__(self, loaded: Loaded, spec: RunSpec, sums: Sums | None = None) -> None:
        self._loaded, self._server = loaded, loaded.server
        self.watch = ModelWatch(loaded.server, loaded.fingerprint)
        self._sums = sums or Sums()
        self.begin(spec)

    def begin(self, spec: RunSpec) -> None:
        """Get ready for a run: what is drawn begins anew, and so do delays; counts go on."""
        generation = spec.options.generation
        sampling = generation.sampling if generation else None
        self._drawing = Drawing(sampling, spec.seed) if sampling is not None else None
        reads = self._server.route_of("token_prompts")
        self._takes_ids = reads is not None and reads.takes_ids
        self._lags = Lags()

    def prepare(self, window: Sequence[Request]) -> tuple[list[Asked], list[Completion]]:
        """Return requests as they are asked, those with tokens encoded, and those that cannot be."""
        side = self._loaded.text_side
        if side is None:
            told = [(one, self._impossible(one)) for one in window]
            failed = [Completion(one.id, error=error) for one, error in told if error]
            return [one for one, error in told if not error], failed
        as_they_are = [one for one in window if self._is_laid_out_there(one)]
        known = {one.id for one in as_they_are}
        encoded, failed = encode_window(side.encoder, [one for one in window if one.id not in known])
        return [*encoded, *as_they_are], failed

    def is_timed(self, asked: Asked) -> bool:
        """Say whether a request is one of a timed batch."""
        return isinstance(asked, Encoded) and asked.request.ignore_eos and not asked.choice_ids

    async def time(self, batch: Sequence[Encoded]) -> list[Completion]:
        """Return the completions of one timed batch, behind which the model was seen to be the same.

        Raises: EngineError when it is another one.
        """
        done = await run_timed(self._server, batch, self._lags)
        for _, usage in done:
            self._sums.add(usage)
        completions = [completion for completion, _ in done]
        await self.vouch(completions)
        return completions

    async def vouch(self, completions: Sequence[Completion]) -> None:
        """See that answers are of the model that was looked at, if there are any that have not failed.

        Raises: EngineError when it is another one by now; ServerGone.
        """
        if not all(completion.error for completion in completions):
            await self.watch.look()

    def work(self, asked: Asked) -> Callable[[], Coroutine[Any, Any, Completion]]:
        """Return what asks for one completion."""
        return partial(self._answer, asked)

    def use(self) -> ClientUse:
        """Return what was asked for so far."""
        sums, lags, client = self._sums, self._lags, self._server.client
        return ClientUse(
            requests=sums.requests + client.requests,
            retries=sums.retries + client.retries,
            prompt_tokens=sums.prompt_tokens,
            completion_tokens=sums.completion_tokens,
            cached_prompt_tokens=sums.cached_tokens,
            reasoning_tokens=sums.reasoning_tokens,
            thinking_answers=sums.thinking_answers,
            shared_chunks=lags.shared_chunks,
            send_lag_ms=lags.send_ns / _NS_PER_MS if lags.is_timed else None,
            loop_lag_ms=lags.loop_ns / _NS_PER_MS if lags.is_timed else None,
        )

    def counted(self) -> Sums:
        """Return all counts so far, for whoever asks the server anew in the place of this."""
        client = self._server.client
        return replace(
            self._sums,
            requests=self._sums.requests + client.requests,
            retries=self._sums.retries + client.retries,
        )

    def _impossible(self, request: Request) -> str | None:
        """Return why a request cannot be asked as text."""
        context = self._loaded.context_tokens
        if request.choices:
            return "choices need token ids"
        if context is not None and request.max_new_tokens >= context:
            return f"{request.max_new_tokens} new tokens do not fit in a context of {context}"
        return None

    def _is_laid_out_there(self, request: Request) -> bool:
        side = self._loaded.text_side
        has_template = side is not None and side.has_template and self._takes_ids
        return isinstance(request.prompt, ChatPrompt) and not has_template and not request.choices

    async def _answer(self, asked: Asked) -> Completion:
        async with self.watch.asking():
            return await self._asked(asked)

    async def _asked(self, asked: Asked) -> Completion:
        name = asked.request.id if isinstance(asked, Encoded) else asked.id
        try:
            if isinstance(asked, Encoded) and asked.choice_ids:
                completion, usages = await choose(self._server, asked)
                for usage in usages:
                    self._sums.add(usage)
                return completion
            return await self._generated(asked)
        except (Unanswered, ReplyError, CannotTellError) as problem:
            return Completion(name, error=str(problem))

    async def _generated(self, asked: Asked) -> Completion:
        completion, reply = await generate(
            self._server,
            asked,
            drawing=self._drawing,
            tokenizer=self._loaded.tokenizer,
            retokenize=self._server.client.options.retokenize,
        )
        self._sums.add(reply.usage)
        self._sums.thinking_answers += bool(reply.thoughts)
        tokens = (reply.usage.prompt_tokens or 0) + (reply.usage.completion_tokens or 0)
        context = self._loaded.context_tokens
        if context is not None and tokens > context:
            error = f"prompt and answer have {tokens} tokens, more than the context of {context}"
            return Completion(completion.request_id, error=error)
        return completion
