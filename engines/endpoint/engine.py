"""The engine `openai`: asks a model behind an OpenAI-compatible endpoint; the weights word is its URL."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any

from engines.endpoint.transport.address import read_address, refuse_open_http
from engines.endpoint.transport.options import EndpointOptions
from modeltest.api import (
    Capability,
    Completion,
    DeviceError,
    EngineError,
    EngineInfo,
    EngineUsage,
    ModelInfo,
    PrerequisiteError,
    Request,
    RunSpec,
    SpecError,
    Tokenizer,
)
from modeltest.installation import install_command

if TYPE_CHECKING:
    from engines.endpoint.answering import Answering
    from engines.endpoint.loading import Loaded
    from engines.endpoint.transport.loop import LoopThread

_WORKER_VARIABLES = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
_WINDOW_REQUESTS = 256
"""How many requests are cut into tokens together."""


class OpenAIEngine:
    """Completes requests by asking a server; `engines/endpoint/transport/options.py` has its options."""

    name = "openai"
    capabilities = frozenset(
        {
            Capability.GENERATE,
            Capability.CHOICE_LOGPROBS,
            Capability.TOKEN_LOGPROBS,
            Capability.TOKEN_TIMES,
            Capability.IGNORE_EOS,
            Capability.SAMPLE,
        }
    )
    """The most that a server can; loading takes away what the one at hand lacks (`EngineInfo.lacking`)."""

    needs_weights = False

    def __init__(self) -> None:
        self._loop: LoopThread | None = None
        self._loaded: Loaded | None = None
        self._answers: Answering | None = None

    def obstacle(self, spec: RunSpec | None = None) -> str | None:
        """Return why no server can be asked from here, or `None`; see `modeltest.api.Demanding`."""
        if find_spec("aiohttp") is None:
            return f"aiohttp is not installed: {install_command('endpoint')}"
        return None

    def served_model(self, spec: RunSpec) -> ModelInfo:
        """Return what is known of the model before its server is asked; see `modeltest.api.NamingModel`."""
        address = read_address(spec.weights)
        name = EndpointOptions.of(spec).served_model or address.label
        return ModelInfo(
            key=spec.model,
            name="-".join(name.replace("/", " ").split()),
            path=address.base,
            model_type="",
            dtype=None,
            quantize=None,
            max_position_embeddings=spec.max_position_embeddings,
            block_size=128,
            chips=1,
            fingerprint=None,
            identity=spec.known_as or "",
        )

    def check(self, spec: RunSpec, model: ModelInfo) -> None:
        """Refuse addresses and options that cannot be used, and words about a machine that is not asked."""
        if reason := self.obstacle(spec):
            raise PrerequisiteError(f"engine {self.name} cannot run here: {reason}")
        address, options = read_address(spec.weights), EndpointOptions.of(spec)
        if not options.allow_http:
            refuse_open_http(address)
        if spec.kw_args:
            raise PrerequisiteError(f"engine {self.name} does not take encryption words; leave them out")
        if spec.device is not None:
            raise SpecError(
                f"engine {self.name} asks a server and uses no device; leave out --device (MODELTEST_DEVICE)"
            )
        sampling = spec.options.generation.sampling if spec.options.generation else None
        if sampling is not None and (sampling.min_tokens_to_keep or 1) > 1:
            raise SpecError(
                f"engine {self.name} cannot keep more tokens than one; leave out min-tokens-to-keep"
            )

    def environment(self, spec: RunSpec, model: ModelInfo) -> Mapping[str, str]:
        """Return the variables of the worker: no hub is asked for a tokenizer."""
        return _WORKER_VARIABLES

    def load(self, spec: RunSpec, model: ModelInfo) -> EngineInfo:
        """Look at the server, and find out what it can; see `modeltest.api.Engine.load`."""
        from engines.endpoint.answering import Answering
        from engines.endpoint.loading import load
        from engines.endpoint.transport.loop import LoopThread

        begin = time.perf_counter()
        before = self._answers.counted() if self._answers is not None else None
        self.close()
        self._loop = LoopThread()
        address, options = read_address(spec.weights), EndpointOptions.of(spec)
        self._loaded = load(self._loop, address, options, spec, model)
        self._answers = Answering(self._loaded, spec, before)
        info = self._described(spec, time.perf_counter() - begin)
        self.capabilities = type(self).capabilities - {Capability(name) for name in info.lacking}
        return info

    def begin(self, spec: RunSpec, model: ModelInfo) -> EngineInfo:
        """Get ready for another run of the same server; see `modeltest.api.Reusable`.

        Which server it is and what it serves is asked anew, by all fixed texts; what it can only where it may
        have been restarted since.
        """
        from engines.endpoint.loading import is_as_it_was

        loop, loaded, answers = self._require()
        if not is_as_it_was(loop, loaded):
            return self.load(spec, model)
        try:
            loop.run(loaded.server.client.look_again())
        except EngineError as problem:
            raise DeviceError(f"{problem}; a fresh process looks at it anew") from problem
        if loaded.server.client.has_changed:
            return self.load(spec, model)
        answers.begin(spec)
        return self._described(spec)

    def complete(self, requests: Iterable[Request], *, batch_size: int) -> Iterator[Sequence[Completion]]:
        """Yield completions as they come, `batch_size` requests in flight; see `modeltest.api.Engine`."""
        loop, _, answers = self._require()
        held: list[Completion] = []
        """Answers behind which the model was not yet seen to be the same."""

        remaining = iter(requests)
        while window := list(islice(remaining, max(_WINDOW_REQUESTS, batch_size))):
            ready, failed = answers.prepare(window)
            if failed:
                yield from _in_parts(failed, batch_size)
            timed = [each for each in ready if answers.is_timed(each)]
            for batch in _in_parts(timed, batch_size):
                yield loop.run(answers.time(batch))
            works: list[Callable[[], Coroutine[Any, Any, Completion]]] = [
                answers.work(each) for each in ready if not answers.is_timed(each)
            ]
            for done in loop.as_done(works, limit=batch_size):
                held += done
                if answers.watch.is_due():
                    loop.run(answers.vouch(held))
                    yield from _in_parts(held, batch_size)
                    held = []
        loop.run(answers.vouch(held))
        yield from _in_parts(held, batch_size)

    def tokenizer(self) -> Tokenizer:
        """Return the tokenizer whose files were given.

        Raises: PrerequisiteError without any.
        """
        from engines.common.tokenizing import CheckpointTokenizer

        side = self._loaded.text_side if self._loaded else None
        if side is None or side.raw is None:
            raise PrerequisiteError(
                f"engine {self.name} has no tokenizer to cut texts with: give its files with --tokenizer DIR"
            )
        return CheckpointTokenizer(side.texts)

    def peak_memory_bytes(self) -> int | None:
        """Return `None`: the memory is the server's."""
        return None

    def usage(self) -> EngineUsage:
        """Return what was asked for so far."""
        return EngineUsage() if self._answers is None else EngineUsage(client=self._answers.use())

    def close(self) -> None:
        """Close all connections."""
        if self._loop is None:
            return
        if self._loaded is not None:
            self._loop.run(self._loaded.server.client.close())
            if self._loaded.text_side is not None:
                self._loaded.text_side.texts.template.close()
        self._loop.close()
        self._loop = self._loaded = self._answers = None

    def _require(self) -> tuple[LoopThread, Loaded, Answering]:
        if self._loop is None or self._loaded is None or self._answers is None:
            raise EngineError(f"engine {self.name} is asked before it has looked at a server")
        return self._loop, self._loaded, self._answers

    def _described(self, spec: RunSpec, load_s: float | None = None) -> EngineInfo:
        from engines.endpoint.discovery import lacking
        from engines.endpoint.timed import timed_route

        _, loaded, _ = self._require()
        server = loaded.server
        seen, side = server.seen, loaded.text_side
        return EngineInfo(
            engine=self.name,
            device="server",
            dtype=spec.dtype or "unknown",
            vocabulary_size=loaded.vocabulary_size or 1,
            special_token_ids=loaded.special_ids,
            context_tokens=loaded.context_tokens,
            versions={seen.dialect.name: seen.version or "unknown", "aiohttp": metadata.version("aiohttp")},
            load_s=load_s,
            notes=(
                "times are the client's: from submitting a batch, over the network, to "
                + ("a token's arrival at this machine" if server.has_arrivals else "reading a token"),
                *(side.texts.notes if side is not None else ("the server is asked with texts alone",)),
                *(("the dtype is what was stated of the server",) if spec.dtype else ()),
            ),
            times_end_alone=(route := timed_route(server)) is not None and route.name in server.counting,
            served=loaded.fingerprint.whole,
            abilities=tuple(server.abilities.values()),
            lacking=lacking(server, is_chat=spec.chat),
        )


def _in_parts(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    for begin in range(0, len(items), size):
        yield list(items[begin : begin + size])
