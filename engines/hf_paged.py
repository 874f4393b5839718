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
    EngineUsage,
    ModelInfo,
    PrerequisiteError,
    RunSpec,
)

if TYPE_CHECKING:
    from engines.checkpoint_loading import Loaded
    from engines.encoding import Encoded
    from engines.model_answers import Answering
    from engines.paged_rows import PagedRows


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
        from engines.paged_probe import paged_rows

        assert self._loaded is not None
        paged = paged_rows(self._loaded, self._device, block_tokens=model.block_size, seed=spec.seed)
        return PagedModelAnswers(self._loaded, paged, block_tokens=model.block_size)


class PagedModelAnswers:
    """Answers with rows in flight together, whose keys and values are kept in blocks."""

    def __init__(self, loaded: Loaded, paged: PagedRows, *, block_tokens: int) -> None:
        self.paged = paged
        self.note = (
            f"paged KV cache: blocks of {block_tokens} tokens, as many as the rows in flight need; "
            f"at most {paged.step_tokens} tokens a step, of a timed batch the whole prefill; "
            "prefixes are shared but in timed batches"
        )
        self.loaded = loaded

    def answer(self, same_kind: Sequence[Encoded], batch_size: int) -> Iterator[list[Completion]]:
        """Yield the completions of requests that ask for the same, at most `batch_size` together."""
        from engines.answers import choose
        from engines.paged_rows import generate_paged, generate_timed

        if same_kind[0].choice_ids:
            yield from choose(same_kind, self.paged, batch_size)
        elif same_kind[0].request.ignore_eos:
            for begin in range(0, len(same_kind), batch_size):
                yield generate_timed(same_kind[begin : begin + batch_size], self.paged, self.loaded)
        else:
            yield from generate_paged(same_kind, self.paged, self.loaded, batch_size)

    def usage(self) -> EngineUsage:
        """Return what was computed so far."""
        loop = self.paged.loop
        return EngineUsage(
            forward_s=loop.forward_s,
            forward_calls=loop.forward_calls,
            computed_tokens=loop.computed_tokens,
            reused_tokens=loop.reused_tokens,
            padding_tokens=0,
            split_batches=self.paged.split_batches,
        )

    def clear(self) -> None:
        """Drop the cache of earlier requests."""
        self.paged.loop.drop()

    def close(self) -> None:
        """Free the cache, and give the model its own attention back."""
        self.paged.loop.close()
