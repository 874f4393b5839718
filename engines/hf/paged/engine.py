"""The `hf_paged` engine: transformers' own models with a paged KV cache and continuous batching."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.hf.engine import HFEngine
from engines.hf.paged.continuous_batching import obstacle
from engines.hf.paged.open_attention import closed_attention
from modeltest.api import (
    Capability,
    EngineUsage,
    ModelInfo,
    PrerequisiteError,
    RunSpec,
)

if TYPE_CHECKING:
    from engines.hf.answering.model_answers import Answering


class HFPagedEngine(HFEngine):
    """Completes requests as `HFEngine` does; only what runs together, and where keys are kept, differs."""

    name = "hf_paged"
    capabilities = HFEngine.capabilities - {Capability.SAMPLE}

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
        return EngineUsage() if self._answers is None else self._answers.usage()

    def _prepare(self, spec: RunSpec, model: ModelInfo) -> Answering:
        from engines.hf.paged.answers import PagedModelAnswers
        from engines.hf.paged.probe import paged_rows

        assert self._loaded is not None
        paged, choosing = paged_rows(
            self._loaded, self._device, block_tokens=model.block_size, seed=spec.seed
        )
        return PagedModelAnswers(
            self._loaded, paged, choosing, device=self._device, block_tokens=model.block_size
        )
