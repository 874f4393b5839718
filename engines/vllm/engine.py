"""The `vllm` engine: vLLM's own engine core in the worker's process, stepped by this engine's loop.

Prompts are the same token ids that every other engine gets, and texts are made of ids by the same tokenizer.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from engines.common.device_errors import naming_device_errors
from engines.vllm.installed import installed, obstacle
from engines.vllm.lora import adapters_of
from engines.vllm.options import Options
from engines.vllm.splitting import check_split
from engines.vllm.variables import variables
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

if TYPE_CHECKING:
    from engines.common.encoding import Encoded
    from engines.vllm.loading import Loaded

WINDOW_REQUESTS = 1024
"""How many requests are looked at together for common prefixes."""


class VLLMEngine:
    """Completes requests with vLLM."""

    name = "vllm"
    capabilities = frozenset(
        {
            Capability.GENERATE,
            Capability.CHOICE_LOGPROBS,
            Capability.TOKEN_TIMES,
            Capability.IGNORE_EOS,
            Capability.SAMPLE,
            Capability.LORA,
        }
    )
    needs_weights = True
    starts_ranks: Literal[True] = True

    def __init__(self) -> None:
        self._loaded: Loaded | None = None
        self._peak_bytes: int | None = 0

    def obstacle(self, spec: RunSpec | None = None) -> str | None:
        """Return why this engine can run no model here, or not `spec`; see `modeltest.api.Demanding`."""
        return obstacle(spec)

    def check(self, spec: RunSpec, model: ModelInfo) -> None:
        """Refuse what vLLM cannot run here, and options it does not have."""
        if reason := obstacle(spec):
            raise PrerequisiteError(f"engine {self.name} cannot run here: {reason}")
        check_split(spec, model)
        if spec.kw_args:
            raise PrerequisiteError(f"engine {self.name} does not take encryption words; leave them out")
        Options.parse(spec.engine_options)
        adapters_of(spec, model)
        generation = spec.options.generation
        if generation is not None and generation.sampling is not None:
            keep = generation.sampling.min_tokens_to_keep
            if keep is not None and keep > 1:
                raise SpecError(f"engine {self.name} cannot keep {keep} tokens at least; leave that out")

    def environment(self, spec: RunSpec, model: ModelInfo) -> Mapping[str, str]:
        """Return what vLLM reads when it is imported, and the profile's variables."""
        here = installed()
        return {**variables(spec, here.device if here else "cpu"), **model.environment}

    def load(self, spec: RunSpec, model: ModelInfo) -> EngineInfo:
        """Load the model; see `modeltest.api.Engine.load`."""
        from engines.vllm.loading import load

        begin = time.perf_counter()
        with naming_device_errors():
            self._loaded = load(spec, model)
        self._peak_bytes = 0
        return replace(self._described(spec), load_s=time.perf_counter() - begin)

    def begin(self, spec: RunSpec, model: ModelInfo) -> EngineInfo:
        """Get ready for another run with the loaded model; see `modeltest.api.Reusable`."""
        loaded = self._require()
        if not loaded.serves(spec):
            raise DeviceError("vLLM was loaded for another size of runs: a fresh process loads it anew")
        loaded.clear(spec)
        gc.collect()
        self.peak_memory_bytes()
        self._peak_bytes = 0
        return self._described(spec)

    def complete(self, requests: Iterable[Request], *, batch_size: int) -> Iterator[Sequence[Completion]]:
        """Yield completions as they are computed; see `modeltest.api.Engine.complete`.

        Requests are taken in windows whose size does not depend on the batch size, so that what is shared
        does not either.
        """
        from engines.common.encoding import by_kind, encode_window

        loaded = self._require()
        remaining = iter(requests)
        with naming_device_errors():
            while window := list(islice(remaining, WINDOW_REQUESTS)):
                encoded, failed = encode_window(loaded.encoder, window)
                for begin in range(0, len(failed), batch_size):
                    yield failed[begin : begin + batch_size]
                for same_kind in by_kind(encoded):
                    yield from self._answer(same_kind, batch_size)

    def peak_memory_bytes(self) -> int | None:
        """Return the peak memory since the last call: the device's, or the process's on the cpu.

        Of several ranks, which are other processes, it is not known.
        """
        from engines.common.device import peak_memory_bytes

        loaded = self._require()
        peak = peak_memory_bytes(loaded.device) if loaded.ranks is None else None
        known = self._peak_bytes is not None and peak is not None
        self._peak_bytes = max(self._peak_bytes or 0, peak or 0) if known else None
        return peak

    def usage(self) -> EngineUsage:
        """Return what was computed so far; a token read from the cache is reused."""
        if self._loaded is None:
            return EngineUsage()
        self.peak_memory_bytes()
        counts = self._loaded.loop.counts
        return EngineUsage(
            forward_calls=counts.steps,
            computed_tokens=counts.computed_tokens,
            reused_tokens=counts.reused_tokens,
            padding_tokens=None,
            split_batches=counts.split_batches,
            peak_memory_bytes=self._peak_bytes,
        )

    def tokenizer(self) -> Tokenizer:
        """Return the tokenizer of the checkpoint."""
        from engines.common.tokenizing import CheckpointTokenizer

        return CheckpointTokenizer(self._require().texts)

    def traced(self, work: Callable[[], None], folder: Path, name: str) -> Path:
        """Record what is computed in `work`; see `modeltest.api.Traceable`."""
        from engines.common.profiling import traced

        loaded = self._require()
        if loaded.ranks is not None:
            raise PrerequisiteError("vLLM's ranks are processes of its own, and not traced: give 1 chip")
        return traced(loaded.device, work, folder, name)

    def close(self) -> None:
        """Free the model."""
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            loaded.close()
        gc.collect()
        logging.getLogger(__name__).debug("vLLM's engine is closed")

    def _require(self) -> Loaded:
        if self._loaded is None:
            raise EngineError(f"engine {self.name} is asked before it has loaded a model")
        return self._loaded

    def _answer(self, same_kind: Sequence[Encoded], batch_size: int) -> Iterator[list[Completion]]:
        from engines.vllm.choosing import choose
        from engines.vllm.generating import generate, generate_timed

        loaded = self._require()
        if same_kind[0].choice_ids:
            yield from choose(same_kind, loaded.loop, batch_size)
        elif same_kind[0].request.ignore_eos:
            for begin in range(0, len(same_kind), batch_size):
                batch = same_kind[begin : begin + batch_size]
                yield generate_timed(
                    batch, loaded.loop, loaded.checkpoint, sizes=loaded.sizes, room=loaded.room
                )
        else:
            yield from generate(
                same_kind, loaded.loop, loaded.checkpoint, batch_size=batch_size, draw=loaded.draw
            )

    def _described(self, spec: RunSpec) -> EngineInfo:
        from engines.vllm.describing import described

        return described(self.name, spec, self._require())
