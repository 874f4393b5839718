"""vLLM with a model in this process, as the engine asks it."""

from __future__ import annotations

import gc
from collections.abc import Iterator

from engines.common.device import peak_memory_bytes
from engines.common.encoding import Encoder
from engines.common.text_tokens import TextTokens
from engines.vllm.asks import Draw
from engines.vllm.choosing import choose
from engines.vllm.describing import described
from engines.vllm.generating import generate, generate_timed
from engines.vllm.loading import load
from engines.vllm.replicas.words import Rows
from modeltest.api import Completion, DeviceError, EngineInfo, EngineUsage, ModelInfo, RunSpec


class OneModel:
    """One loaded model."""

    def __init__(self, spec: RunSpec, model: ModelInfo, *, host_bytes: int | None = None) -> None:
        """Load the model; see `loading.load`."""
        self._loaded = load(spec, model, host_bytes=host_bytes)
        self._peak_bytes: int | None = 0
        self.info = self._described(spec)
        """What is told of it, without the time of loading."""

    @property
    def texts(self) -> TextTokens:
        """The checkpoint's way from texts to tokens and back."""
        return self._loaded.texts

    @property
    def encoder(self) -> Encoder:
        """Makes rows of requests that fit in the context."""
        return self._loaded.encoder

    def begin(self, spec: RunSpec) -> EngineInfo:
        """Get ready for another run; see `modeltest.api.Reusable`."""
        if not self._loaded.serves(spec):
            raise DeviceError("vLLM was loaded for another size of runs: a fresh process loads it anew")
        self._loaded.clear(spec)
        gc.collect()
        self.peak_memory_bytes()
        self._peak_bytes = 0
        return self._described(spec)

    def answer(self, rows: Rows) -> Iterator[list[Completion]]:
        """Yield the completions of rows of one kind as they are computed."""
        loaded, encoded = self._loaded, rows.encoded
        if encoded[0].choice_ids:
            yield from choose(encoded, loaded.loop, rows.batch_size)
        elif encoded[0].request.ignore_eos:
            for begin in range(0, len(encoded), rows.batch_size):
                batch = encoded[begin : begin + rows.batch_size]
                yield generate_timed(
                    batch, loaded.loop, loaded.checkpoint, sizes=loaded.sizes, room=loaded.room
                )
        else:
            drawn = [] if loaded.sampling is None else [Draw(loaded.sampling, seed) for seed in rows.seeds]
            yield from generate(
                encoded, loaded.loop, loaded.checkpoint, batch_size=rows.batch_size, draws=drawn
            )

    def peak_memory_bytes(self) -> int | None:
        """Return the peak memory since the last call: the device's, or the process's on the cpu.

        Of several ranks, which are other processes, it is not known.
        """
        loaded = self._loaded
        peak = peak_memory_bytes(loaded.device) if loaded.ranks is None else None
        known = self._peak_bytes is not None and peak is not None
        self._peak_bytes = max(self._peak_bytes or 0, peak or 0) if known else None
        return peak

    def usage(self) -> EngineUsage:
        """Return what was computed so far; a token read from the cache is reused."""
        self.peak_memory_bytes()
        counts = self._loaded.loop.counts
        return EngineUsage(
            forward_calls=counts.steps,
            computed_tokens=counts.computed_tokens,
            reused_tokens=counts.reused_tokens,
            padding_tokens=None,
            split_batches=counts.split_batches,
            held_times=counts.held_times or None,
            differing_times=counts.differing_times if counts.held_times else None,
            peak_memory_bytes=self._peak_bytes,
        )

    def close(self) -> None:
        """Free the model."""
        self._loaded.close()

    def _described(self, spec: RunSpec) -> EngineInfo:
        return described(spec, self._loaded)
