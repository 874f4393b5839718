"""Answers of one loaded model, whichever way of feeding it suits a request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from engines.common.completions import completion
from engines.common.device import is_out_of_memory
from engines.common.memory import attempt, in_halves, out_of_memory_text
from engines.common.probe_text import probe_ids
from engines.hf.answering.alone import generate_alone
from engines.hf.answering.answers import choose, generate_padded
from engines.hf.answering.generating import generate_packed
from engines.hf.answering.rows import AloneRows, PaddedRows, RowFeeder, tree_feeder
from engines.hf.beliefs import ways
from engines.hf.beliefs.choosing import Choosing, Feeding
from engines.hf.beliefs.model_trial import ModelTrial, NotCausal, Plain
from engines.hf.model.forward import Forward
from engines.hf.packed.tree_forward import TreeForward
from modeltest.api import Completion, EngineError, EngineUsage, OutOfMemory

if TYPE_CHECKING:
    from engines.common.encoding import Encoded
    from engines.hf.model.checkpoint_loading import Loaded
    from engines.hf.model.sampling import Sampler
    from engines.hf.packed.packed import PackedRows
    from engines.hf.ranks.operations import Ranks

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

    def share_nothing(self) -> None:
        """From now on feed rows in ways in which the model computes its own attention.

        Raises: PrerequisiteError where there is none.
        """

    def close(self) -> None:
        """Free what it holds beside the model."""


class ModelAnswers:
    """Packs rows that share prefixes, pads them or feeds them one by one: the fastest that is right.

    Which is right was tried on the model (`engines/hf/beliefs/`). Timed batches are always padded and decoded
    greedily, as other benchmarks do. Sampled ones are padded too.
    """

    def __init__(self, loaded: Loaded, device: str, ranks: Ranks, *, sampler: Sampler | None = None) -> None:
        self.loaded = loaded
        self._device = device
        self._forward = Forward(loaded.model, device, loaded.pad_token_id, ranks)
        self._sampler = sampler
        self._padded = PaddedRows(self._forward)
        self._tree: PackedRows | None = None
        self._alone_rows = 0
        self._tree, closed = (None, SAMPLING_NOTE) if sampler else tree_feeder(loaded.model, device, ranks)
        if sampler is not None:
            self._forward.choose = sampler
        self._choices, self._generations = self._try(loaded, ranks)
        self.note = closed if self._tree is None else self._feeding_note(self._tree)

    def answer(self, same_kind: Sequence[Encoded], batch_size: int) -> Iterator[list[Completion]]:
        """Yield the completions of requests that ask for the same, at most `batch_size` together."""
        if same_kind[0].choice_ids:
            for feeding, batch in by_feeding(same_kind, self._choices):
                self._alone_rows += len(batch) if feeding is Feeding.ALONE else 0
                yield from choose(batch, self._feeder(feeding), batch_size)
        elif same_kind[0].request.ignore_eos:
            yield from self._in_batches(same_kind, batch_size)
        else:
            for feeding, batch in by_feeding(same_kind, self._generations):
                yield from self._generate(feeding, batch, batch_size)

    def usage(self) -> EngineUsage:
        """Return what was computed so far; nothing of memory."""
        padded = EngineUsage(
            forward_s=self._forward.forward_s,
            forward_calls=self._forward.forward_calls,
            computed_tokens=self._forward.computed_tokens,
            reused_tokens=0,
            padding_tokens=self._forward.padding_tokens,
            split_batches=self._padded.split_batches,
            alone_rows=self._alone_rows,
        )
        return self._tree.add_usage(padded) if self._tree else padded

    def clear(self) -> None:
        """Draw from the beginning again; the keys and values of a batch go with it."""
        if self._sampler is not None:
            self._sampler.restart()

    def share_nothing(self) -> None:
        """Pad rows from now on, or feed them one by one where that was found right alone."""
        for choosing in (self._choices, self._generations):
            choosing.leave_out(Feeding.SHARED)
        self.note = "shared prefixes off: the model is to compute its own attention"

    def close(self) -> None:
        """Free nothing: the model is all there is."""

    def _try(self, loaded: Loaded, ranks: Ranks) -> tuple[Choosing, Choosing]:
        """Return what chooses the feeding of choices and of generations on this model.

        Trials run beside what is asked: with a forward of their own, so that they are not counted.
        """
        trial = model_trial(loaded, self._device, ranks)
        at_load = plain_of_causal(trial, loaded)
        forward = Forward(loaded.model, self._device, loaded.pad_token_id, ranks)
        choices, generations = {}, {}
        if self._tree is not None:
            tree = TreeForward(loaded.model, self._device)
            choices[Feeding.SHARED] = ways.packed(tree, loaded.model.dtype)
            generations[Feeding.SHARED] = ways.packed_then_steps(tree, self._device)
        choices[Feeding.PADDED] = ways.padded(forward)
        generations[Feeding.PADDED] = ways.padded_then_steps(forward)
        config = loaded.model.config
        return Choosing(trial, config, choices, at_load), Choosing(trial, config, generations, at_load)

    def _feeding_note(self, tree: PackedRows) -> str:
        usual, reasons = self._choices.usual, "; ".join(self._choices.reasons)
        if usual is Feeding.SHARED:
            return f"shared prefixes on, at most {tree.max_tokens} tokens a pass"
        padded = "" if usual is Feeding.PADDED else "rows are asked one by one; "
        return f"{padded}shared prefixes off: {reasons}"

    def _feeder(self, feeding: Feeding) -> RowFeeder:
        if feeding is Feeding.SHARED and self._tree is not None:
            return self._tree
        return AloneRows(self._padded, self._forward) if feeding is Feeding.ALONE else self._padded

    def _generate(
        self, feeding: Feeding, batch: Sequence[Encoded], batch_size: int
    ) -> Iterator[list[Completion]]:
        if feeding is Feeding.SHARED and self._tree is not None:
            yield from generate_packed(batch, self._tree, self.loaded, batch_size)
        elif feeding is Feeding.PADDED or self._sampler is not None:
            yield from self._in_batches(batch, 1 if feeding is Feeding.ALONE else batch_size)
        else:
            self._alone_rows += len(batch)
            for one in generate_alone(batch, self.loaded, self._forward):
                yield [one]

    def _in_batches(self, batch: Sequence[Encoded], batch_size: int) -> Iterator[list[Completion]]:
        """Yield padded batches; one that does not fit in halves, but never one that is timed."""
        longest_first = sorted(batch, key=lambda one: -len(one.prompt_ids))
        for begin in range(0, len(longest_first), batch_size):
            together = longest_first[begin : begin + batch_size]
            if together[0].request.ignore_eos:
                done, problem = self._generate_padded(together)
                if done is None:
                    raise OutOfMemory(problem)
                yield done
                continue
            for part in in_halves(together, self._generate_padded, self._padded.count_split):
                yield [completion(part.items[0], error=part.error)] if part.result is None else part.result

    def _generate_padded(self, batch: Sequence[Encoded]) -> tuple[list[Completion] | None, str]:
        longest = max(len(encoded.prompt_ids) for encoded in batch)
        return attempt(
            lambda: generate_padded(batch, self._forward, self.loaded),
            device=self._device,
            what=f"{len(batch)} rows of up to {longest} prompt tokens",
        )


def model_trial(loaded: Loaded, device: str, ranks: Ranks) -> ModelTrial:
    """Return the trial of a loaded model, on a text as its tokenizer sees it."""
    embeddings = loaded.model.get_input_embeddings()
    return ModelTrial(loaded.model, probe_ids(loaded.tokenizer, embeddings.num_embeddings), device, ranks)


def plain_of_causal(trial: ModelTrial, loaded: Loaded) -> Plain:
    """Return what a plain pass says of the rows of the trial at load.

    Raises: EngineError when the model is not a causal one, so that its answers would depend on what comes
    later; OutOfMemory when there is room for the weights alone.
    """
    try:
        return trial.plain_at_load()
    except NotCausal as problem:
        raise EngineError(
            f"{loaded.tokenizer.name_or_path} is not a causal language model "
            f"({type(loaded.model).__name__}): what it says of a token depends on later tokens ({problem})"
        ) from None
    except Exception as problem:
        if not is_out_of_memory(problem):
            raise
        text = out_of_memory_text("a row of a few tokens", problem)
    raise OutOfMemory(text)


def by_feeding(batch: Sequence[Encoded], choosing: Choosing) -> Iterator[tuple[Feeding, list[Encoded]]]:
    """Yield requests with how they are fed; the tokens of a row are all that pass through the model."""
    lengths = [
        len(one.prompt_ids) + max(one.request.max_new_tokens, *(len(ids) for ids in one.choice_ids), 1) - 1
        for one in batch
    ]
    for feeding, indices in choosing.by_feeding(lengths).items():
        yield feeding, [batch[index] for index in indices]
