"""Answers of one loaded model, whichever way of feeding it suits a request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from engines.answers import choose, generate_packed, generate_padded
from engines.completions import completion
from engines.device import empty_cache, is_out_of_memory
from engines.forward import Forward
from engines.rows import PaddedRows, tree_feeder
from modeltest.api import Completion, EngineUsage, OutOfMemory

if TYPE_CHECKING:
    from engines.checkpoint_loading import Loaded
    from engines.encoding import Encoded
    from engines.packed import PackedRows
    from engines.ranks import Ranks
    from engines.sampling import Sampler

SAMPLING_NOTE = "tokens are drawn at random, in padded batches"


class Answering(Protocol):
    """What makes completions of encoded requests with a loaded model."""

    note: str
    """How it feeds the model."""

    def answer(self, same_kind: Sequence[Encoded], batch_size: int) -> Iterator[list[Completion]]:
        """Yield the completions of requests that ask for the same, at most `batch_size` together."""

    def usage(self) -> EngineUsage:
        """Return what was computed so far; nothing of memory."""

    def clear(self) -> None:
        """Drop what earlier requests left beside the model."""

    def close(self) -> None:
        """Free what it holds beside the model."""


class ModelAnswers:
    """Packs rows that share prefixes where the model's attention can be taken apart; else, pads them.

    Timed batches are padded always, and take the likeliest token: they measure what everybody measures.
    Sampled ones are padded too.
    """

    def __init__(self, loaded: Loaded, device: str, ranks: Ranks, *, sampler: Sampler | None = None) -> None:
        self.loaded = loaded
        self._device = device
        self._forward = Forward(loaded.model, device, loaded.pad_token_id, ranks)
        self._sampler = sampler
        self._padded = PaddedRows(self._forward)
        self._tree: PackedRows | None = None
        if sampler is None:
            self._tree, self.note = tree_feeder(loaded.model, device, loaded.dtype, ranks)
        else:
            self._forward.choose = sampler
            self.note = SAMPLING_NOTE

    def answer(self, same_kind: Sequence[Encoded], batch_size: int) -> Iterator[list[Completion]]:
        """Yield the completions of requests that ask for the same, at most `batch_size` together."""
        request = same_kind[0].request
        if same_kind[0].choice_ids:
            yield from choose(same_kind, self._tree or self._padded, batch_size)
        elif self._tree is not None and not request.ignore_eos:
            yield from generate_packed(same_kind, self._tree, self._forward, self.loaded, batch_size)
        else:
            longest_first = sorted(same_kind, key=lambda one: -len(one.prompt_ids))
            for begin in range(0, len(longest_first), batch_size):
                yield from self._generate_padded(longest_first[begin : begin + batch_size])

    def usage(self) -> EngineUsage:
        """Return what was computed so far; nothing of memory."""
        padded = EngineUsage(
            forward_s=self._forward.forward_s,
            forward_calls=self._forward.forward_calls,
            computed_tokens=self._forward.computed_tokens,
            reused_tokens=0,
            padding_tokens=self._forward.padding_tokens,
            split_batches=self._padded.split_batches,
        )
        return self._tree.add_usage(padded) if self._tree else padded

    def clear(self) -> None:
        """Draw from the beginning again; the keys and values of a batch go with it."""
        if self._sampler is not None:
            self._sampler.restart()

    def close(self) -> None:
        """Free nothing: the model is all there is."""

    def _generate_padded(self, batch: Sequence[Encoded]) -> Iterator[list[Completion]]:
        """Yield one padded batch; if it does not fit, halves of it, but never of a timed one."""
        try:
            done = generate_padded(batch, self._forward, self.loaded)
        except Exception as problem:
            if not is_out_of_memory(problem):
                raise
            longest = max(len(encoded.prompt_ids) for encoded in batch)
            text = f"out of memory with {len(batch)} rows of up to {longest} prompt tokens: {problem}"
            text = " ".join(text.split())[:400]
        else:
            yield done
            return
        # Outside the handler: the traceback it holds would keep the tensors alive.
        empty_cache(self._device)
        if batch[0].request.ignore_eos:
            raise OutOfMemory(text)
        self._padded.split_batches += 1
        if len(batch) == 1:
            yield [completion(batch[0], error=text)]
            return
        for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
            yield from self._generate_padded(half)
