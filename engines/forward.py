"""Batched forward passes: choice log-probabilities and greedy decoding with a contiguous KV cache.

Rows are padded on the left, so that the last position of every row is its newest token and only those
logits are asked for. Padding is masked and positions are counted without it: a row's numbers are those of
the row alone, up to the rounding of the dtype.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from engines.device import StepClock


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    """One row of a batch: `ids` is fed, and each of `targets` is scored at the end of it.

    Targets of one token are read from the same position; a longer target stands alone and all but its
    last token are the end of `ids`.
    """

    ids: tuple[int, ...]
    targets: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Generation:
    """New tokens of each row, when each arrived, and whether the row ended by itself."""

    tokens: tuple[tuple[int, ...], ...]
    times_ns: tuple[int, ...]
    stopped: tuple[bool, ...]


@dataclass(slots=True)
class Forward:
    """Runs a causal language model of transformers on batches of token ids."""

    model: Any
    device: str
    pad_token_id: int
    _parameters: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self._parameters = frozenset(inspect.signature(self.model.forward).parameters)

    def choice_logprobs(self, rows: Sequence[ChoiceRow]) -> list[list[float]]:
        """Return, for each row, the log-probability of each target: float32 log-softmax, summed."""
        import torch

        keep = max(len(target) for row in rows for target in row.targets)
        with torch.inference_mode():
            ids, mask = self._pad([row.ids for row in rows])
            logits = self._call(ids, mask, keep=keep).logits[:, -keep:]
            logprobs = torch.log_softmax(logits.float(), dim=-1).cpu()
        return [
            [_sum_of(logprobs[index], target) for target in row.targets] for index, row in enumerate(rows)
        ]

    def generate(
        self,
        prompts: Sequence[tuple[int, ...]],
        *,
        max_new_tokens: int,
        eos_token_ids: frozenset[int],
        stops: Any = None,
    ) -> Generation:
        """Continue every prompt greedily until it ends or has `max_new_tokens` more.

        `stops(row, tokens)` may end a row early. A row that ended is fed on but not extended.
        """
        import torch

        tokens: list[list[int]] = [[] for _ in prompts]
        stopped = [False] * len(prompts)
        with torch.inference_mode():
            ids, mask = self._pad(prompts)
            clock = StepClock(self.device)
            output = self._call(ids, mask, keep=1, use_cache=True)
            free_running = not eos_token_ids and stops is None
            steps = []
            for step in range(max_new_tokens):
                newest = output.logits[:, -1].argmax(dim=-1)
                if free_running:
                    # Nothing depends on the values yet: on an accelerator the host runs ahead.
                    steps.append(newest if self.device != "cpu" else newest.tolist())
                else:
                    _extend(tokens, stopped, newest.tolist(), eos_token_ids, stops)
                clock.mark()
                if step == max_new_tokens - 1 or all(stopped):
                    break
                mask = _one_longer(mask)
                output = self._call(
                    newest[:, None], mask, keep=1, use_cache=True, past_key_values=output.past_key_values
                )
            times_ns = clock.times_ns()
        if free_running:
            columns = [step if isinstance(step, list) else step.tolist() for step in steps]
            tokens = [list(row) for row in zip(*columns, strict=True)] if columns else tokens
        return Generation(tuple(tuple(row) for row in tokens), times_ns, tuple(stopped))

    def _pad(self, rows: Sequence[tuple[int, ...]]) -> tuple[Any, Any]:
        """Return ids `[rows, longest]` and their mask, or no mask when no row needs padding."""
        import torch

        longest = max(len(row) for row in rows)
        ids = torch.tensor(
            [[self.pad_token_id] * (longest - len(row)) + list(row) for row in rows], device=self.device
        )
        if all(len(row) == longest for row in rows):
            return ids, None
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=self.device)
        return ids, mask

    def _call(self, ids: Any, mask: Any, *, keep: int, use_cache: bool = False, **more: Any) -> Any:
        arguments: dict[str, Any] = {"input_ids": ids, "use_cache": use_cache, **more}
        if mask is not None:
            arguments["attention_mask"] = mask
            if "position_ids" in self._parameters:
                positions = (mask.cumsum(-1) - 1).clamp(min=0)
                arguments["position_ids"] = positions[:, -ids.shape[1] :]
        if "logits_to_keep" in self._parameters:
            arguments["logits_to_keep"] = keep
        return self.model(**arguments)


def _extend(
    tokens: list[list[int]], stopped: list[bool], newest: list[int], eos: frozenset[int], stops: Any
) -> None:
    for row, token in enumerate(newest):
        if stopped[row]:
            continue
        tokens[row].append(token)
        stopped[row] = token in eos or (stops is not None and stops(row, tokens[row]))


def _one_longer(mask: Any) -> Any:
    import torch

    if mask is None:
        return None
    return torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)


def _sum_of(logprobs: Any, target: tuple[int, ...]) -> float:
    rows = logprobs[len(logprobs) - len(target) :]
    return float(sum(float(row[token]) for row, token in zip(rows, target, strict=True)))
