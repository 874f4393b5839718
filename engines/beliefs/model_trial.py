"""Trying ways of feeding a model against the plain one: `model(ids)`, nothing padded, nothing cached.

Whatever is wrong with a way shows in float32, where two right computations differ by a ten-thousandth of what
bfloat16 rounds away. So a way is tried in float32 first, whatever the dtype of the weights, and the yardstick
is measured beside it: how far one rounding of its input takes the model. Then the same is asked in the
model's own dtype, where other kernels may run: there a way may be about as far from the float32 answers as a
plain pass is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from engines.beliefs.distance import distance, rounding_of
from engines.beliefs.float32 import in_float32, is_float32
from engines.beliefs.output_matrix import in_float32_with_output_matrix
from engines.beliefs.probe_tree import ProbeTree, probe_tree
from engines.device import empty_cache, is_out_of_memory
from engines.forward import forget
from engines.logits import LogitsAt
from engines.ranks import ALONE, Ranks

EXACT_FACTOR = 8.0
"""In float32 a way may be so many times as far from the plain pass as one rounding of its input takes it."""

ROUNDED_FACTOR = 4.0
"""In the model's own dtype: so many times as far from float32 as the plain pass is."""


@dataclass(frozen=True, slots=True)
class Part:
    """Logits `[positions, vocabulary]` of a row of a tree from position `start` on."""

    row: int
    start: int
    logits: Any


Way = Callable[[ProbeTree, Any], Sequence[Part]]
"""Feeds the rows of a tree in its own manner; returns logits of their ends. Also told the dtype in force."""


@dataclass(frozen=True, slots=True)
class Plain:
    """What the plain pass says of a tree's rows, and how far from it a right way may be, stage by stage.

    `ends` are logits `[tokens of the end, vocabulary]` of each row, of the first stage.
    """

    tree: ProbeTree
    ends: tuple[Any, ...]
    limits: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Distance:
    """How far a way is from the plain pass in one dtype, and how far a right one may be; both in nats."""

    dtype: str
    value: float
    limit: float

    @property
    def is_rounding(self) -> bool:
        """Whether rounding alone may be what tells both apart."""
        return self.value <= self.limit

    def __str__(self) -> str:
        return f"{self.value:.2g} nats in {self.dtype} where rounding makes {self.limit:.2g} at most"


class NotCausal(Exception):
    """A later token changes what the model says of an earlier one."""


@dataclass(frozen=True, slots=True)
class _Stage:
    """A dtype in which ways are tried; the first is what all are compared with."""

    dtype: str
    factor: float
    context: Callable[[], AbstractContextManager[None]]


class ModelTrial:
    """Compares ways of feeding one model with the plain one."""

    def __init__(self, model: Any, text_ids: Sequence[int], device: str, ranks: Ranks = ALONE) -> None:
        self._model = model
        self._text_ids = text_ids
        self._device = device
        self._ranks = ranks
        self._logits_at = LogitsAt(model)
        own = str(model.dtype).removeprefix("torch.")
        self._stages = [_Stage("float32", EXACT_FACTOR, lambda: in_float32(model))]
        if not is_float32(model):
            self._stages.append(_Stage(own, ROUNDED_FACTOR, nullcontext))
        self._further_exact = [lambda: in_float32_with_output_matrix(model)]

    def plain_at_load(self) -> Plain:
        """Return what the plain pass says of rows of a few tokens.

        Raises: NotCausal.
        """
        tree = probe_tree(self._text_ids)
        # All rows are equally long, so that nothing is padded; the last is row 0 again, its input disturbed.
        truth = self._exact(lambda: self._batch((*tree.rows, tree.rows[0]), disturbs_last=True))
        limit = self._limit(truth[-1], truth[0])
        shared = {row: tree.starts[row] for row in (1, 2)}
        early = distance(
            [truth[row][:end] for row, end in shared.items()], [truth[0][:end] for end in shared.values()]
        )
        if not self._ranks.least(int(early <= limit)):
            raise NotCausal(str(Distance(self._stages[0].dtype, early, limit)))
        ends = tuple(truth[row][start:] for row, start in enumerate(tree.starts))

        def own() -> list[Any]:
            return [each[start:] for each, start in zip(self._batch(tree.rows), tree.starts, strict=True)]

        return Plain(tree, ends, (limit, *self._own_limits(ends, own)))

    def plain_beyond(self, limit: int) -> Plain:
        """Return what the plain pass says of rows on both sides of `limit` tokens, each alone."""
        tree = probe_tree(self._text_ids, limit)
        starts = tree.starts

        def alone() -> list[Any]:
            return [self._alone(row, start) for row, start in zip(tree.rows, starts, strict=True)]

        ends = tuple(self._exact(alone))
        disturbed = self._exact(lambda: [self._alone(tree.rows[0], starts[0], is_disturbed=True)])
        return Plain(tree, ends, (self._limit(disturbed[0], ends[0]), *self._own_limits(ends, alone)))

    def end(self) -> None:
        """Let the model forget the rows of a trial."""
        forget(self._model, self._device)

    def distances(self, plain: Plain, way: Way) -> tuple[Distance, ...]:
        """Return how far `way` is from the plain pass, by stage, up to the first that is not rounding."""
        import torch

        found: list[Distance] = []
        for stage, limit in zip(self._stages, plain.limits, strict=True):
            with stage.context():
                parts = self._ranks.attempt(partial(way, plain.tree, getattr(torch, stage.dtype)))
            places = [part.start - plain.tree.starts[part.row] for part in parts]
            truth = [
                plain.ends[part.row][at : at + len(part.logits)]
                for part, at in zip(parts, places, strict=True)
            ]
            found.append(Distance(stage.dtype, distance([part.logits for part in parts], truth), limit))
            if not found[-1].is_rounding:
                break
        return tuple(found)

    def objection(self, plain: Plain, way: Way) -> str | None:
        """Return why `way` is not right on this model, or `None`; all ranks say the same.

        Raises: what is out of memory. Any other failure is a reason: the way does not work on this model.
        """
        reason: str | None = None
        try:
            worst = self.distances(plain, way)[-1]
            reason = None if worst.is_rounding else f"it differs from a plain pass by {worst}"
        except Exception as problem:
            if is_out_of_memory(problem):
                raise
            reason = f"{type(problem).__name__}: {' '.join(str(problem).split()):.200}"
        if self._ranks.least(int(reason is None)):
            return None
        return reason or "it fails on another rank"

    def _exact(self, work: Callable[[], list[Any]]) -> list[Any]:
        """Return what `work` computes in float32; where that cannot be had, in the model's own dtype."""
        while True:
            try:
                with self._stages[0].context():
                    return self._ranks.attempt(work)
            except Exception as problem:
                if is_out_of_memory(problem) or len(self._stages) == 1:
                    raise
            if self._further_exact:
                self._stages[0] = replace(self._stages[0], context=self._further_exact.pop())
                continue
            # Some kernels exist in 16 bits only: then the model's own dtype, with its rounding, is all.
            del self._stages[0]

    def _limit(self, disturbed: Any, plain: Any) -> float:
        """Return how far a right way may be in the first stage."""
        noise = max(distance([disturbed], [plain]), rounding_of(plain))
        return self._stages[0].factor * noise

    def _own_limits(self, truth: Sequence[Any], plain: Callable[[], list[Any]]) -> list[float]:
        """Return how far a right way may be in the further stages."""
        limits = []
        for stage in self._stages[1:]:
            with stage.context():
                ends = self._ranks.attempt(plain)
            noise = max(distance(ends, truth), *map(rounding_of, ends))
            limits.append(stage.factor * noise)
        return limits

    def _batch(self, rows: Sequence[tuple[int, ...]], *, disturbs_last: bool = False) -> list[Any]:
        """Return the logits `[tokens, vocabulary]` of rows of one length, together where memory allows."""
        try:
            return self._together(rows, disturbs_last=disturbs_last)
        except Exception as problem:
            if not is_out_of_memory(problem) or len(rows) == 1:
                raise
        # Outside the handler: the traceback it holds would keep the tensors alive.
        empty_cache(self._device)
        *others, last = rows
        alone = [self._together([row], disturbs_last=False)[0] for row in others]
        return [*alone, *self._together([last], disturbs_last=disturbs_last)]

    def _together(self, rows: Sequence[tuple[int, ...]], *, disturbs_last: bool) -> list[Any]:
        import torch

        with torch.inference_mode(), self._disturbed(disturbs_last):
            ids = torch.tensor(rows, device=self._device)
            return list(self._model(input_ids=ids, use_cache=False).logits)

    def _alone(self, row: tuple[int, ...], start: int, *, is_disturbed: bool = False) -> Any:
        import torch

        self.end()  # or dynamic NTK would scale by the longest row so far
        with torch.inference_mode(), self._disturbed(is_disturbed):
            ids = torch.tensor([row], device=self._device)
            return self._logits_at(range(start, len(row)), input_ids=ids, use_cache=False)

    @contextmanager
    def _disturbed(self, wanted: bool) -> Iterator[None]:
        """Change the embedding of each token of the last row by about one rounding."""
        import torch

        def disturb(_: Any, __: Any, output: Any) -> Any:
            # Drawn on the host by a generator of its own: the same on all ranks, and no other seed moves.
            draws = torch.randn(output[-1].shape, generator=torch.Generator().manual_seed(0))
            factors = 1 + torch.finfo(output.dtype).eps * draws.to(output.device)
            changed = output.clone()
            changed[-1] = (output[-1].float() * factors).to(output.dtype)
            return changed

        if not wanted:
            yield
            return
        handle = self._model.get_input_embeddings().register_forward_hook(disturb)
        try:
            yield
        finally:
            handle.remove()
