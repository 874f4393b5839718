"""Answers of one loaded model whose keys and values are kept in blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from engines.hf.answering.alone import generate_alone
from engines.hf.answering.answers import choose
from engines.hf.answering.model_answers import by_feeding
from engines.hf.answering.rows import AloneRows, PaddedRows
from engines.hf.beliefs.choosing import Choosing, Feeding
from engines.hf.model.forward import Forward
from engines.hf.paged.rows import PagedRows, generate_paged, generate_timed
from modeltest.api import Completion, EngineUsage, PrerequisiteError

if TYPE_CHECKING:
    from engines.common.encoding import Encoded
    from engines.hf.model.checkpoint_loading import Loaded


class PagedModelAnswers:
    """Answers with rows in flight together, whose keys and values are kept in blocks.

    Rows of a length at which that is not right on the model are asked one by one, as `hf` does.
    """

    def __init__(
        self, loaded: Loaded, paged: PagedRows, choosing: Choosing, *, device: str, block_tokens: int
    ) -> None:
        self.paged = paged
        self._choosing = choosing
        self._forward = Forward(loaded.model, device, loaded.pad_token_id)
        self._alone = AloneRows(PaddedRows(self._forward), self._forward)
        self._alone_rows = 0
        self.note = (
            f"paged KV cache: blocks of {block_tokens} tokens, as many as the rows in flight need; "
            f"at most {paged.step_tokens} tokens a step, of a timed batch the whole prefill; "
            "prefixes are shared but in timed batches"
        )
        self.loaded = loaded

    def answer(self, same_kind: Sequence[Encoded], batch_size: int) -> Iterator[list[Completion]]:
        """Yield the completions of requests that ask for the same, at most `batch_size` together."""
        if not same_kind[0].choice_ids and same_kind[0].request.ignore_eos:
            for begin in range(0, len(same_kind), batch_size):
                yield generate_timed(same_kind[begin : begin + batch_size], self.paged, self.loaded)
            return
        for feeding, batch in by_feeding(same_kind, self._choosing):
            if feeding is Feeding.ALONE:
                yield from self._answer_alone(batch)
            elif batch[0].choice_ids:
                yield from choose(batch, self.paged, batch_size)
            else:
                yield from generate_paged(batch, self.paged, self.loaded, batch_size)

    def _answer_alone(self, batch: Sequence[Encoded]) -> Iterator[list[Completion]]:
        self.paged.loop.close()  # gives the model its own attention back, until the next row in flight
        self._alone_rows += len(batch)
        if batch[0].choice_ids:
            yield from choose(batch, self._alone, 1)
        else:
            for one in generate_alone(batch, self.loaded, self._forward):
                yield [one]

    def usage(self) -> EngineUsage:
        """Return what was computed so far."""
        loop, alone = self.paged.loop, self._forward
        return EngineUsage(
            forward_s=loop.forward_s + alone.forward_s,
            forward_calls=loop.forward_calls + alone.forward_calls,
            computed_tokens=loop.computed_tokens + alone.computed_tokens,
            reused_tokens=loop.reused_tokens,
            padding_tokens=0,
            split_batches=self.paged.split_batches,
            alone_rows=self._alone_rows,
        )

    def clear(self) -> None:
        """Drop the cache of earlier requests."""
        self.paged.loop.drop()

    def share_nothing(self) -> None:
        """Refuse: the cache and its attention are what this engine is.

        Raises: PrerequisiteError.
        """
        raise PrerequisiteError(
            "engine hf_paged computes attention itself and cannot leave it to the model; use engine hf"
        )

    def close(self) -> None:
        """Free the cache, and give the model its own attention back."""
        self.paged.loop.close()
