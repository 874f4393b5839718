"""The `vllm` engine: vLLM's own engine core, stepped by a loop of this engine in the worker or in replicas.

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
from engines.vllm.splitting import check_split, degrees
from engines.vllm.variables import variables
from modeltest.api import (
    Capability,
    Completion,
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
    from engines.vllm.generating import Seeds
    from engines.vllm.one_model import OneModel
    from engines.vllm.replicas.dealing import Replicas
    from engines.vllm.replicas.words import Rows

WINDOW_REQUESTS = 1024
"""How many requests are looked at together for common prefixes."""


class VLLMEngine:
    """Completes requests with vLLM."""

    name = "vllm"
    capabilities = frozenset(
        {
            Capability.GENERATE,
            Capability.CHOICE_LOGPROBS,
            Capability.TOKEN_LOGPROBS,
            Capability.TOKEN_TIMES,
            Capability.IGNORE_EOS,
            Capability.SAMPLE,
            Capability.LORA,
        }
    )
    needs_weights = True
    starts_ranks: Literal[True] = True

    def __init__(self) -> None:
        self._model: OneModel | Replicas | None = None
        self._seeds: Seeds | None = None
        self._replicas = 1

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
        """Load the model, or replicas of it; see `modeltest.api.Engine.load`."""
        begin = time.perf_counter()
        with naming_device_errors():
            self._model = loaded = _loaded(spec, model)
        self._draw_anew(spec)
        return replace(loaded.info, load_s=time.perf_counter() - begin)

    def begin(self, spec: RunSpec, model: ModelInfo) -> EngineInfo:
        """Get ready for another run with the loaded model; see `modeltest.api.Reusable`."""
        info = self._require().begin(spec)
        self._draw_anew(spec)
        return info

    def complete(self, requests: Iterable[Request], *, batch_size: int) -> Iterator[Sequence[Completion]]:
        """Yield completions as they are computed; see `modeltest.api.Engine.complete`.

        Requests are taken in windows whose size does not depend on the batch size, so that what is shared
        does not either. Replicas have `batch_size` rows in flight each.
        """
        from engines.common.encoding import by_kind, encode_window

        model = self._require()
        remaining = iter(requests)
        with naming_device_errors():
            while window := list(islice(remaining, WINDOW_REQUESTS * self._replicas)):
                encoded, failed = encode_window(model.encoder, window)
                for begin in range(0, len(failed), batch_size):
                    yield failed[begin : begin + batch_size]
                for same_kind in by_kind(encoded):
                    yield from model.answer(self._rows(same_kind, batch_size))

    def peak_memory_bytes(self) -> int | None:
        """Return the peak memory since the last call: the device's, or the process's on the cpu.

        Of several replicas, that of the one that needed most; of a split model it is not known.
        """
        return self._require().peak_memory_bytes()

    def usage(self) -> EngineUsage:
        """Return what was computed so far; a token read from the cache is reused."""
        return EngineUsage() if self._model is None else self._model.usage()

    def tokenizer(self) -> Tokenizer:
        """Return the tokenizer of the checkpoint."""
        from engines.common.tokenizing import CheckpointTokenizer

        return CheckpointTokenizer(self._require().texts)

    def traced(self, work: Callable[[], None], folder: Path, name: str) -> Path:
        """Record what is computed in `work`; see `modeltest.api.Traceable`."""
        from engines.common.profiling import traced

        info = self._require().info
        if info.ranks is not None:
            raise PrerequisiteError("vLLM's ranks are processes of its own, and not traced: give 1 chip")
        return traced(info.device, work, folder, name)

    def close(self) -> None:
        """Free the model."""
        model, self._model = self._model, None
        if model is not None:
            model.close()
        gc.collect()
        logging.getLogger(__name__).debug("vLLM's engine is closed")

    def _require(self) -> OneModel | Replicas:
        if self._model is None:
            raise EngineError(f"engine {self.name} is asked before it has loaded a model")
        return self._model

    def _draw_anew(self, spec: RunSpec) -> None:
        from engines.vllm.generating import Seeds

        generation = spec.options.generation
        is_drawn = generation is not None and generation.sampling is not None
        self._seeds = Seeds(spec.seed) if is_drawn else None
        self._replicas = degrees(spec).replicas

    def _rows(self, same_kind: Sequence[Encoded], batch_size: int) -> Rows:
        from engines.vllm.replicas.words import Rows

        is_drawn = not same_kind[0].choice_ids and not same_kind[0].request.ignore_eos
        seeds = [self._seeds.next() for _ in same_kind] if self._seeds is not None and is_drawn else ()
        return Rows(same_kind, batch_size, seeds)


def _loaded(spec: RunSpec, model: ModelInfo) -> OneModel | Replicas:
    """Return the loaded model: in this process, or replicas of it in processes of their own."""
    from engines.vllm.one_model import OneModel
    from engines.vllm.replicas.dealing import Replicas

    found, here = degrees(spec), installed()
    if found.replicas == 1:
        return OneModel(spec, model)
    return Replicas(spec, model, found, device=here.device if here else "cpu")
