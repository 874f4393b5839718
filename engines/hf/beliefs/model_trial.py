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
from functools import cached_property, partial
from typing import Any

from engines.common.device import empty_cache, is_out_of_memory
from engines.hf.beliefs.distance import distance, rounding_of
from engines.hf.beliefs.float32 import in_float32, in_float32_with_output_matrix, is_float32
from engines.hf.beliefs.limits import limits_of
from engines.hf.beliefs.probe_tree import ProbeTree, probe_tree
from engines.hf.model.forward import forget
from engines.hf.packed.logits import LogitsAt
from engines.hf.ranks.operations import ALONE, Ranks

EXACT_FACTOR = 8.0
"""In float32 a way may be so many times as far from the plain pass as one rounding of its input takes it."""

ROUNDED_FACTOR = 4.0
"""In the model's own dtype: so many times as far from float32 as the plain pass is."""

OTHER_TEXTS = 3
"""With so many further texts a way is tried that is too far in the model's own dtype, but not in float32.

A model of experts asks another expert where rounding turns a near-tie, and then says something else by far
more than rounding does. That strikes one text and not the next; a fault strikes every text.
"""


@dataclass(frozen=True, slots=True)
class Part:
    """Logits `[positions, vocabulary]` of a row of a tree from position `start` on."""

    row: int
    start: int
    logits: Any


Way = Callable[[ProbeTree, Any], Sequence[Part]]
"""Feeds the rows of a tree in its own manner; returns logits of their ends. Also told the dtype in force."""


@dataclass(frozen=True)
class Limit:
    """How far a right way may be in one stage, in nats.

    It is `least` at any rate, since storing the logits makes as much of a difference. What it is in `full`
    takes a pass of the model, which is fed only for a way that is farther than `least`.
    """

    least: float
    measure: Callable[[], float]

    @cached_property
    def full(self) -> float:
        """The limit, measured when it is asked for first."""
        return max(self.least, self.measure())


@dataclass(frozen=True, slots=True)
class Plain:
    """What the plain pass says of a tree's rows, and how far from it a right way may be, stage by stage.

    `ends` are logits `[tokens of the end, vocabulary]` of each row, of the first stage.
    """

    tree: ProbeTree
    ends: tuple[Any, ...]
    limits: tuple[Limit, ...]


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


def _distance_of(parts: Sequence[Part], plain: Plain) -> float:
    """Return how far the parts of rows are from what the plain pass says of them."""
    places = [part.start - plain.tree.starts[part.row] for part in parts]
    truth = [plain.ends[part.row][at : at + len(part.logits)] for part, at in zip(parts, places, strict=True)]
    return distance([part.logits for part in parts], truth)


class ModelTrial:
    """Compares ways of feeding one model with the plain one."""

    def __init__(self, model: Any, text_ids: Sequence[int], device: str, ranks: Ranks = ALONE) -> None:
        self._model = model
        self._text_ids = text_ids
        self._device = device
        self._ranks = ranks
        self._logits_at = LogitsAt(model)
        self._limits = limits_of(model.config)
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
        starts = tree.starts

        def own_ends() -> list[Any]:
            return [each[start:] for each, start in zip(self._batch(tree.rows), starts, strict=True)]

        # All rows are equally long, so that nothing is padded.
        truth = self._exact(lambda: self._batch(tree.rows))
        limit = self._exact_limit(truth[0], lambda: self._together(tree.rows[:1], is_disturbed=True))
        shared = {row: starts[row] for row in (1, 2)}
        early = distance(
            [truth[row][:end] for row, end in shared.items()], [truth[0][:end] for end in shared.values()]
        )
        most = self._as_far_as_needed(limit, early)
        if not self._ranks.least(int(early <= most)):
            raise NotCausal(str(Distance(self._stages[0].dtype, early, most)))
        ends = tuple(each[start:] for each, start in zip(truth, starts, strict=True))
        return Plain(tree, ends, (limit, *self._own_limits(ends, own_ends)))

    def plain_beyond(self, limit: int, *, text: int = 0) -> Plain:
        """Return what the plain pass says of rows on both sides of `limit` tokens, each alone.

        The rows of each `text` are others.
        """
        ids = self._text_ids
        begin = text * len(ids) // (OTHER_TEXTS + 1)
        tree = probe_tree((*ids[begin:], *ids[:begin]), limit)
        starts = tree.starts

        def alone() -> list[Any]:
            return [self._alone(row, start) for row, start in zip(tree.rows, starts, strict=True)]

        def disturbed() -> list[Any]:
            return [self._alone(tree.rows[0], starts[0], is_disturbed=True)]

        ends = tuple(self._exact(alone))
        return Plain(tree, ends, (self._exact_limit(ends[0], disturbed), *self._own_limits(ends, alone)))

    def end(self, plain: Plain) -> None:
        """Let the model forget the rows of a trial.

        What it remembers are rows beyond a length that its config names; with none as long nothing is fed.
        """
        longest = max(map(len, plain.tree.rows))
        if any(limit < longest for limit in self._limits):
            forget(self._model, self._device)

    def distances(self, plain: Plain, way: Way, *, in_full: bool = True) -> tuple[Distance, ...]:
        """Return how far `way` is from the plain pass, by stage, up to the first that is not rounding.

        Unless limits are wanted `in_full`, they are measured no further than it takes to say which that is.
        """
        import torch

        found: list[Distance] = []
        for stage, limit in zip(self._stages, plain.limits, strict=True):
            with stage.context():
                parts = self._ranks.attempt(partial(way, plain.tree, getattr(torch, stage.dtype)))
            value = self._ranks.attempt(partial(_distance_of, parts, plain))
            most = limit.full if in_full else self._as_far_as_needed(limit, value)
            found.append(Distance(stage.dtype, value, most))
            if not self._ranks.least(int(found[-1].is_rounding)):
                break
        return tuple(found)

    def objection(self, plain: Plain, way: Way) -> str | None:
        """Return why `way` is not right on this model, or `None`; all ranks say the same.

        Raises: what is out of memory. Any other failure is a reason: the way does not work on this model.
        """
        reason: str | None = None
        try:
            worst = self._worst(plain, way)
            reason = None if worst.is_rounding else f"it differs from a plain pass by {worst}"
        except Exception as problem:
            if is_out_of_memory(problem):
                raise
            reason = f"{type(problem).__name__}: {' '.join(str(problem).split()):.200}"
        if self._ranks.least(int(reason is None)):
            return None
        return reason or "it fails on another rank"

    def _worst(self, plain: Plain, way: Way) -> Distance:
        """Return the distance that decides: with the first text where it is rounding, else with the last."""
        worst = self.distances(plain, way, in_full=False)[-1]
        for text in range(1, OTHER_TEXTS + 1):
            is_decided = worst.is_rounding or worst.dtype == "float32"
            if self._ranks.least(int(is_decided)):
                break
            other = self.plain_beyond(plain.tree.limit, text=text)
            latest = self.distances(other, way, in_full=False)[-1]
            # Experts may have changed in a plain pass with one text, and in the way with another.
            most = max(latest.limit, worst.limit) if latest.dtype == worst.dtype else latest.limit
            worst = replace(latest, limit=most)
        return worst

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

    def _as_far_as_needed(self, limit: Limit, value: float) -> float:
        """Return the limit, measured only where `value` is farther than it is at least; as all ranks do."""
        return limit.least if self._ranks.least(int(value <= limit.least)) else limit.full

    def _exact_limit(self, plain: Any, disturbed: Callable[[], list[Any]]) -> Limit:
        """Return how far a right way may be in the first stage, told by what a disturbed row says there."""
        stage = self._stages[0]

        def measured() -> float:
            with stage.context():
                return stage.factor * distance(self._ranks.attempt(disturbed), [plain])

        return Limit(stage.factor * rounding_of(plain), measured)

    def _own_limits(self, truth: Sequence[Any], plain: Callable[[], list[Any]]) -> list[Limit]:
        """Return how far a right way may be in the further stages, each told by what `plain` says there."""
        import torch

        def measured(stage: _Stage) -> float:
            with stage.context():
                return stage.factor * distance(self._ranks.attempt(plain), truth)

        return [
            Limit(
                stage.factor * max(rounding_of(each, getattr(torch, stage.dtype)) for each in truth),
                partial(measured, stage),
            )
            for stage in self._stages[1:]
        ]

    def _batch(self, rows: Sequence[tuple[int, ...]]) -> list[Any]:
        """Return the logits `[tokens, vocabulary]` of rows of one length, together where memory allows."""
        try:
            return self._together(rows)
        except Exception as problem:
            if not is_out_of_memory(problem) or len(rows) == 1:
                raise
        # Outside the handler: the traceback it holds would keep the tensors alive.
        empty_cache(self._device)
        return [self._together([row])[0] for row in rows]

    def _together(self, rows: Sequence[tuple[int, ...]], *, is_disturbed: bool = False) -> list[Any]:
        import torch

        with torch.inference_mode(), self._disturbed(is_disturbed):
            ids = torch.tensor(rows, device=self._device)
            return list(self._model(input_ids=ids, use_cache=False).logits)

    def _alone(self, row: tuple[int, ...], start: int, *, is_disturbed: bool = False) -> Any:
        import torch

        forget(self._model, self._device)  # or dynamic NTK would scale by the longest row so far
        with torch.inference_mode(), self._disturbed(is_disturbed):
            ids = torch.tensor([row], device=self._device)
            return self._logits_at(range(start, len(row)), input_ids=ids, use_cache=False)

    @contextmanager
    def _disturbed(self, wanted: bool) -> Iterator[None]:
        """Change the embedding of each token by about one rounding."""
        import torch

        def disturb(_: Any, __: Any, output: Any) -> Any:
            # Drawn on the host by a generator of its own: the same on all ranks, and torch's own is left as
            # it is.
            draws = torch.randn(output.shape, generator=torch.Generator().manual_seed(0))
            factors = 1 + torch.finfo(output.dtype).eps * draws.to(output.device)
            return (output.float() * factors).to(output.dtype)

        if not wanted:
            yield
            return
        handle = self._model.get_input_embeddings().register_forward_hook(disturb)
        try:
            yield
        finally:
            handle.remove()
