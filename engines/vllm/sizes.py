"""How large the engine is made, so that one load serves the whole run. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from engines.common.rows_asked import rows_asked
from engines.vllm.options import Options
from modeltest.api import RunSpec

ROWS = 8
"""Rows in flight where the words do not say it."""

MOST_PREFILL_TOKENS = {"cpu": 8192}
LARGEST_PREFILL_TOKENS = 32768
"""A timed batch is prefilled in one step up to so many tokens, which vLLM keeps room for and tries at load;
beyond, in chunks of as many."""

STEP_TOKENS = {"cpu": 2048}
LARGEST_STEP_TOKENS = 8192
"""Tokens of a step where nothing is timed."""

ROW_TOKENS = 2048
"""Tokens for which the cache has room in each row of questions, beside one whole context and `KEPT_TOKENS`.
Rows that turn out longer wait for one another."""

KEPT_TOKENS = 8192
"""Tokens that stay in the cache for rows to come."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the engine must hold."""

    rows: int
    """In flight together."""

    step_tokens: int
    longest_row: int
    """Prompt and new tokens of the longest row that is sure to come; of questions any may."""

    cache_tokens: int
    """Tokens whose keys and values are held together at most."""

    is_timed: bool
    chunks_prefill: bool = False
    """Whether the largest timed batch is prefilled in more than one step."""

    def holds(self, other: Sizes) -> bool:
        """Say whether an engine of this size can do what `other` is for, as it would be done there."""
        return self == other or (
            not (self.is_timed or other.is_timed)
            and self.rows >= other.rows
            and self.cache_tokens >= other.cache_tokens
        )


def sizes_of(spec: RunSpec, context_tokens: int, device: str, options: Options) -> Sizes:
    """Return the sizes for `spec` on `device`, with a model that takes `context_tokens`."""
    return (
        _of_cases(spec, device, options)
        if spec.cases
        else _of_questions(spec, context_tokens, device, options)
    )


def _of_cases(spec: RunSpec, device: str, options: Options) -> Sizes:
    most = [rows_asked(spec, index)[1] for index in range(len(spec.cases))]
    rows = max(most)
    prefill = max(count * case.input_tokens for count, case in zip(most, spec.cases, strict=True))
    largest = options.step_tokens or MOST_PREFILL_TOKENS.get(device, LARGEST_PREFILL_TOKENS)
    # Decoding takes a token of every row in one step.
    step = max(min(prefill, largest), rows)
    lengths = [case.input_tokens + case.output_tokens for case in spec.cases]
    return Sizes(
        rows=rows,
        step_tokens=step,
        longest_row=max(lengths),
        cache_tokens=max(count * length for count, length in zip(most, lengths, strict=True)),
        is_timed=True,
        chunks_prefill=prefill > step,
    )


def _of_questions(spec: RunSpec, context_tokens: int, device: str, options: Options) -> Sizes:
    rows = max((size for sizes in spec.batch_sizes for size in sizes), default=ROWS)
    step = options.step_tokens or STEP_TOKENS.get(device, LARGEST_STEP_TOKENS)
    return Sizes(
        rows=rows,
        step_tokens=max(step, rows),
        longest_row=1,
        cache_tokens=context_tokens + KEPT_TOKENS + rows * min(context_tokens, ROW_TOKENS),
        is_timed=False,
    )
