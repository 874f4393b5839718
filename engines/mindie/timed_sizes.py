"""Which runner serves the timed batches of a run, so that the model is loaded as seldom as possible. Pure.

PARunner makes its KV cache for a number of rows and keeps it, so a runner for more rows serves every smaller
batch. One is made for the most rows that the words may ask of a case, as far as memory is known to allow.
That cache takes memory from the batch at hand: what runs out of memory in a roomy runner is run again in one
of exactly its rows before it counts as out of memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engines.common.rows_asked import rows_asked
from engines.mindie.sizes import RunnerSize
from modeltest.api import Case, RunSpec

USABLE_SHARE = 0.8
"""Of the memory beside the weights that a KV cache may take beforehand: the rest is for what is computed."""

_LAYERS = ("num_hidden_layers", "n_layer", "num_layers")
_HEADS = ("num_attention_heads", "n_head")
_KEY_HEADS = ("num_key_value_heads", "multi_query_group_num", *_HEADS)
_WIDTHS = ("hidden_size", "n_embd")
_BYTES = 2
"""Of a key or value in float16 or bfloat16."""


@dataclass(frozen=True, slots=True)
class KeyValueMemory:
    """What is known of the memory for keys and values on one device, and what a token takes of it."""

    usable_bytes: float
    bytes_of_token: float

    @staticmethod
    def of(
        config: Mapping[str, Any], *, free_bytes: int, weights_bytes: int, split: int
    ) -> KeyValueMemory | None:
        """Return it for a model split over `split` devices; `None` when its config does not tell."""
        layers, heads, key_heads, width = (
            _count(config, names) for names in (_LAYERS, _HEADS, _KEY_HEADS, _WIDTHS)
        )
        if not (layers and heads and key_heads and width):
            return None
        head_width = _count(config, ("head_dim",)) or width // heads
        bytes_of_token = 2 * layers * max(key_heads / split, 1) * head_width * _BYTES
        return KeyValueMemory(USABLE_SHARE * (free_bytes - weights_bytes / split), bytes_of_token)

    def rows(self, case: Case) -> int:
        """Return how many rows of `case` fit by this count."""
        return int(self.usable_bytes / (self.bytes_of_token * (case.input_tokens + case.output_tokens)))


@dataclass(slots=True)
class TimedSizes:
    """The sizes of the runners for timed batches, from what is asked and what ran out of memory so far."""

    most_rows: Mapping[Case, int]
    """The largest batch that the words may ask of each case."""

    memory: KeyValueMemory | None = None
    _too_large: dict[Case, int] = field(default_factory=dict)
    """The smallest batch that ran out of memory in a runner of its own."""

    _ceilings: dict[Case, int] = field(default_factory=dict)
    """The most rows a runner may have where a roomier one left too little for a batch that fits."""

    _was_crowded: bool = False

    @staticmethod
    def of(spec: RunSpec, memory: KeyValueMemory | None = None) -> TimedSizes:
        """Return the sizes for the cases of `spec`."""
        most: dict[Case, int] = {}
        for index, case in enumerate(spec.cases):
            _, highest = rows_asked(spec, index)
            most[case] = max(highest, most.get(case, 0))
        return TimedSizes(most, memory)

    def size_for(self, asked: RunnerSize, current: RunnerSize | None) -> RunnerSize:
        """Return the size of the runner to run `asked` in: `current` wherever it serves."""
        case = self._case_of(asked)
        is_of_case = current is not None and (
            current.input_tokens == case.input_tokens or asked.input_tokens != case.input_tokens
        )
        if current is not None and is_of_case and current.holds(asked):
            return current
        known = [self.most_rows.get(case, asked.rows)]
        if self.memory is not None:
            known.append(self.memory.rows(case))
        if case in self._too_large:
            known.append(self._too_large[case] - 1)
        if case in self._ceilings:
            known.append(self._ceilings[case])
        return RunnerSize(case.input_tokens, case.output_tokens, max(asked.rows, min(known)))

    def worked(self, asked: RunnerSize, made: RunnerSize) -> None:
        """Take in that `asked` fitted in a runner of the size `made`."""
        case = self._case_of(asked)
        if self._was_crowded or made.rows > self._ceilings.get(case, made.rows):
            self._ceilings[case] = made.rows
        self._was_crowded = False

    def ran_out(self, asked: RunnerSize, made: RunnerSize) -> RunnerSize | None:
        """Take in that `asked` ran out of memory in `made`; return what to try instead, if anything."""
        case = self._case_of(asked)
        if made.rows > asked.rows:
            self._was_crowded = True
            return RunnerSize(case.input_tokens, case.output_tokens, asked.rows)
        self._was_crowded = False
        self._too_large[case] = min(asked.rows, self._too_large.get(case, asked.rows))
        return None

    def _case_of(self, asked: RunnerSize) -> Case:
        """Return the case that `asked` belongs to: a batch may be shorter than that, and generate less."""
        holding = [
            case
            for case in self.most_rows
            if case.input_tokens >= asked.input_tokens and case.output_tokens >= asked.output_tokens
        ]
        own = [case for case in holding if case.input_tokens == asked.input_tokens]
        found = min(own or holding, key=lambda case: (case.input_tokens, case.output_tokens), default=None)
        return found or Case(asked.input_tokens, asked.output_tokens)


def _count(config: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    return next((config[name] for name in names if type(config.get(name)) is int and config[name] > 0), None)
