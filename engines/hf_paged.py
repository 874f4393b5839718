"""The `hf_paged` engine: transformers' own models with a paged KV cache and continuous batching."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from engines.continuous_batching import obstacle
from engines.hf import HFEngine
from engines.open_attention import closed_attention
from modeltest.api import (
    Capability,
    Completion,
    EngineInfo,
    EngineUsage,
    ModelInfo,
    PrerequisiteError,
    RunSpec,
)

if TYPE_CHECKING:
    from engines.encoding import Encoded
    from engines.paged_rows import PagedRows


class HFPagedEngine(HFEngine):
    """Completes requests as `HFEngine` does; only what runs together, and where keys are kept, differs."""

    name = "hf_paged"
    capabilities = HFEngine.capabilities - {Capability.SAMPLE}

    def __init__(self) -> None:
        super().__init__()
        self._paged: PagedRows | None = None

    def obstacle(self, spec: RunSpec | None = None) -> str | None:
        """Return why this engine can run no model here, or `None`."""
        return obstacle()

    def check(self, spec: RunSpec, model: ModelInfo) -> None:
        """Refuse what `hf` refuses, other versions of transformers and models with a closed attention."""
        reason = obstacle() or closed_attention(spec, model)
        if reason:
            raise PrerequisiteError(f"engine {self.name} cannot run {model.name}: {reason}; use an hf word")
        if spec.world_size != 1 or spec.cluster is not None:
            raise PrerequisiteError(
                f"engine {self.name} runs on one device; the words ask for {spec.world_size}: "
                "give 1, or use an hf word"
            )
        super().check(spec, model)

    def usage(self) -> EngineUsage:
        """Return what was computed so far."""
        if self._paged is None:
            return EngineUsage()
        loop = self._paged.loop
        return EngineUsage(
            forward_s=loop.forward_s,
            forward_calls=loop.forward_calls,
            computed_tokens=loop.computed_tokens,
            reused_tokens=loop.reused_tokens,
            padding_tokens=0,
            split_batches=self._paged.split_batches,
        )

    def close(self) -> None:
        """Free the cache and the model."""
        if self._paged is not None:
            self._paged.loop.close()
            self._paged = None
        super().close()

    def _cleared(self, spec: RunSpec) -> EngineInfo:
        if self._paged is not None:
            self._paged.loop.drop()
        return super()._cleared(spec)

    def _prepare(self, spec: RunSpec, model: ModelInfo) -> str:
        from engines.paged_probe import paged_rows

        assert self._loaded is not None
        self._paged = paged_rows(self._loaded, self._device, block_tokens=model.block_size, seed=spec.seed)
        return (
            f"paged KV cache: blocks of {model.block_size} tokens, as many as the rows in flight need; "
            f"at most {self._paged.step_tokens} tokens a step, of a timed batch the whole prefill; "
            "prefixes are shared but in timed batches"
        )

    def _answer(self, same_kind: Sequence[Encoded], batch_size: int) -> Iterator[list[Completion]]:
        from engines.answers import choose
        from engines.paged_rows import generate_paged, generate_timed

        assert self._loaded is not None
        assert self._paged is not None
        if same_kind[0].choice_ids:
            yield from choose(same_kind, self._paged, batch_size)
        elif same_kind[0].request.ignore_eos:
            for begin in range(0, len(same_kind), batch_size):
                yield generate_timed(same_kind[begin : begin + batch_size], self._paged, self._loaded)
        else:
            yield from generate_paged(same_kind, self._paged, self._loaded, batch_size)
