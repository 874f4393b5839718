"""Padded batches with a contiguous KV cache: greedy decoding, and choices where no tree forward serves.

Rows are padded on the left, so that the last position of every row is its newest token and only those
logits are asked for. Padding is masked and positions are counted without it: a row's numbers are those of
the row alone, up to the rounding of the dtype.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from engines.common.device import StepClock, synchronize
from engines.common.endings import Ends
from engines.hf.model.carried_cache import KEYS_VALUES, Carried, Carrying, carrying_of
from engines.hf.model.transformers_versions import keep_argument
from engines.hf.ranks.operations import ALONE, Ranks
from modeltest.api import EngineError

NOT_A_NUMBER = -1
"""Stands for a token where the model's logits are NaN: there is no likeliest one."""


@dataclass(frozen=True, slots=True)
class Generation:
    """New tokens of each row, when each arrived, and whether the row ended by itself.

    `end_ns` is when all were there, where only that was timed.
    """

    tokens: tuple[tuple[int, ...], ...]
    times_ns: tuple[int, ...]
    ended: tuple[bool, ...]
    end_ns: int | None = None


@dataclass(slots=True)
class Forward:
    """Runs a causal language model of transformers on padded batches of token ids."""

    model: Any
    device: str
    pad_token_id: int
    ranks: Ranks = ALONE
    """The processes that compute the model together: each must be called with the same arguments."""

    forward_s: float = 0.0
    forward_calls: int = 0
    computed_tokens: int = 0
    padding_tokens: int = 0
    choose: Callable[[Any], Any] = field(default_factory=lambda: greedy)
    """Returns the next token of each row from logits `[rows, vocabulary]`; timed runs always use `greedy`."""

    _parameters: frozenset[str] = field(init=False)
    _keep_argument: str | None = field(init=False)
    _carrying: Carrying | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._parameters = frozenset(inspect.signature(self.model.forward).parameters)
        self._keep_argument = keep_argument(self._parameters)

    def last_logits(self, rows: Sequence[tuple[int, ...]], counts: Sequence[int]) -> list[Any]:
        """Return, for each row, the logits `[count, vocabulary]` of its last `count` positions."""
        import torch

        keep = max(counts)
        with torch.inference_mode():
            ids, mask = self._pad(rows)
            logits = self._call(ids, mask, keep=keep).logits[:, -keep:]
        return [logits[row, keep - count :] for row, count in enumerate(counts)]

    def forget(self) -> None:
        """Make the model forget the rows it has seen."""
        forget(self.model, self.device)

    def generate(
        self,
        prompts: Sequence[tuple[int, ...]],
        *,
        max_new_tokens: int,
        ends: Ends | None = None,
        only_end_timed: bool = False,
    ) -> Generation:
        """Continue every prompt greedily until `ends` says so or it has `max_new_tokens` more.

        Without `ends` nothing looks at the tokens before all are there: a timed run, and with
        `only_end_timed` not even the clock. A row that ended is fed on but not extended.
        """
        import torch

        with torch.inference_mode():
            ids, mask = self._pad(prompts)
            self.ranks.meet()
            clock = StepClock(self.device)
            logits, carried = self._prefill(ids, mask)
            newest = (greedy if ends is None else self.choose)(logits)
            if ends is None:
                marks = None if only_end_timed else clock
                steps = self._free_run(marks, newest, carried, max_new_tokens)
                end_ns = clock.end_ns() if only_end_timed else None
                rows = tuple(tuple(row) for row in zip(*steps, strict=True))
                return Generation(rows, clock.times_ns(), (False,) * len(prompts), end_ns)
            return self._decode(clock, newest, carried, max_new_tokens=max_new_tokens, ends=ends)

    def _prefill(self, ids: Any, mask: Any) -> tuple[Any, Carried]:
        """Feed prompts; return the logits `[rows, vocabulary]` of their ends and what goes on from there."""
        import torch

        if self._carrying is None:
            self._carrying = carrying_of(self.model, self._parameters, self.device)
        given = self._carrying.arguments(self.model)
        output = self._call(ids, mask, keep=1, use_cache=True, **given)
        cache = self._carrying.cache_in(output, given)
        lengths = torch.full_like(ids[:, :1], ids.shape[1]) if mask is None else mask.sum(-1, keepdim=True)
        return output.logits[:, -1], Carried(cache, mask, lengths - 1, None if cache else ids)

    def _step(self, newest: Any, carried: Carried) -> Any:
        """Feed the newest token of each row; return the logits `[rows, vocabulary]` after it."""
        newest = newest.clamp(min=0)  # of a row without a likeliest token, which has ended
        carried.take_in(newest)
        if carried.ids is not None:
            return self._call(carried.ids, carried.mask, keep=1).logits[:, -1]
        positions = {"position_ids": carried.positions} if "position_ids" in self._parameters else {}
        # A state has padding left out of it; only keys and values are still to be masked.
        mask = carried.mask if KEYS_VALUES in carried.cache else None
        more = {**positions, **carried.cache}
        output = self._call(newest[:, None], mask, keep=None, use_cache=True, **more)
        for name in carried.cache:
            newer = getattr(output, name, None)
            carried.cache[name] = carried.cache[name] if newer is None else newer
        if output.logits.shape[:2] != (len(newest), 1):
            # RWKV of transformers: a row's state is spread over all rows.
            raise EngineError(
                f"{type(self.model).__name__} of transformers mixes up the rows of a batch when it goes on "
                "from them: give batch size 1"
            )
        return output.logits[:, -1]

    def replay(self, rows: Sequence[tuple[int, ...]], steps: int) -> list[Any]:
        """Feed the last `steps` tokens of every row one by one, as if they had been generated.

        Return for each row the logits `[steps + 1, vocabulary]` after its prompt and after each of them.
        """
        import torch

        with torch.inference_mode():
            first, carried = self._prefill(*self._pad([row[:-steps] for row in rows]))
            logits = self._follow([row[-steps:] for row in rows], carried)
            return list(torch.stack([first, *logits], dim=1))

    def _follow(self, steps: Sequence[tuple[int, ...]], carried: Carried) -> list[Any]:
        """Feed one token of every row after the other; return the logits `[rows, vocabulary]` after each."""
        import torch

        return [
            self._step(torch.tensor(tokens, device=self.device), carried)
            for tokens in zip(*steps, strict=True)
        ]

    def _free_run(
        self, clock: StepClock | None, newest: Any, carried: Carried, max_new_tokens: int
    ) -> list[list[int]]:
        # On an accelerator nothing waits for a value until the end; on the cpu the value is there at once.
        on_host = self.device == "cpu" and clock is not None
        steps = []
        for step in range(max_new_tokens):
            steps.append(newest.tolist() if on_host else newest)
            if clock is not None:
                clock.mark()
            if step == max_new_tokens - 1:
                break
            newest = greedy(self._step(newest, carried))
        return steps if on_host else [step.tolist() for step in steps]

    def _decode(
        self, clock: StepClock, newest: Any, carried: Carried, *, max_new_tokens: int, ends: Ends
    ) -> Generation:
        tokens: list[list[int]] = [[] for _ in range(len(newest))]
        ended = [False] * len(tokens)
        for step in range(max_new_tokens):
            newest = self.ranks.same(newest)  # what ends is decided by all ranks alike
            for row, token in enumerate(newest.tolist()):
                if not ended[row]:
                    tokens[row].append(token)
                    ended[row] = token == NOT_A_NUMBER or ends(row, token, tokens[row])
            clock.mark()
            if step == max_new_tokens - 1 or all(ended):
                break
            newest = self.choose(self._step(newest, carried))
        return Generation(tuple(tuple(row) for row in tokens), clock.times_ns(), tuple(ended))

    def _pad(self, rows: Sequence[tuple[int, ...]]) -> tuple[Any, Any]:
        """Return ids `[rows, longest]` and their mask, or no mask when no row needs padding."""
        import torch

        longest = max(len(row) for row in rows)
        ids = torch.tensor(
            [[self.pad_token_id] * (longest - len(row)) + list(row) for row in rows], device=self.device
        )
        if all(len(row) == longest for row in rows):
            return ids, None
        self.padding_tokens += sum(longest - len(row) for row in rows)
        return ids, _left_mask([len(row) for row in rows], self.device)

    def _call(self, ids: Any, mask: Any, *, keep: int | None, use_cache: bool = False, **more: Any) -> Any:
        arguments: dict[str, Any] = {"input_ids": ids, "use_cache": use_cache, **more}
        if mask is not None:
            arguments["attention_mask"] = mask
            if "position_ids" in self._parameters and "position_ids" not in more:
                positions = (mask.cumsum(-1) - 1).clamp(min=0)
                arguments["position_ids"] = positions[:, -ids.shape[1] :]
        if self._keep_argument is not None and keep is not None:
            arguments[self._keep_argument] = keep
        begin = time.perf_counter()
        output = self.model(**arguments)
        if self.device == "cpu" or not use_cache:
            # Decode steps on an accelerator are not waited for: events on the device time them.
            synchronize(self.device)
        self.forward_s += time.perf_counter() - begin
        self.forward_calls += 1
        self.computed_tokens += ids.numel()
        return output


def forget(model: Any, device: str) -> None:
    """Feed two tokens: a model that remembers its longest row, as dynamic NTK does, forgets it."""
    import torch

    with torch.inference_mode():
        model(input_ids=torch.zeros((1, 2), dtype=torch.long, device=device), use_cache=False)


def greedy(logits: Any) -> Any:
    """Return the likeliest token of each row of `[rows, vocabulary]`, `NOT_A_NUMBER` where logits are NaN."""
    import torch

    values, tokens = logits.max(dim=-1)
    return torch.where(values.isnan(), NOT_A_NUMBER, tokens)


def _left_mask(lengths: Sequence[int], device: Any) -> Any:
    import torch

    longest = max(lengths)
    return torch.tensor([[0] * (longest - length) + [1] * length for length in lengths], device=device)
