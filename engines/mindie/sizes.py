"""How large a runner of MindIE must be, and which requests it prefills together. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modeltest.api import EngineError, ModelInfo, RunSpec

ANSWER_TOKENS = (3072, 512)
"""Longest prompt and answer of the first runner when questions are asked, as the predecessor had it."""


@dataclass(frozen=True, slots=True)
class RunnerSize:
    """What a runner is built for: the longest prompt and answer in tokens, and rows run together."""

    input_tokens: int
    output_tokens: int
    rows: int

    def holds(self, other: RunnerSize) -> bool:
        """Say whether a runner of this size can do what `other` asks for."""
        return (
            self.input_tokens >= other.input_tokens
            and self.output_tokens >= other.output_tokens
            and self.rows >= other.rows
        )

    def joined(self, other: RunnerSize) -> RunnerSize:
        """Return the smallest size that holds both."""
        return RunnerSize(
            max(self.input_tokens, other.input_tokens),
            max(self.output_tokens, other.output_tokens),
            max(self.rows, other.rows),
        )

    def __str__(self) -> str:
        return f"{self.rows} rows of {self.input_tokens}+{self.output_tokens} tokens"


def prefill_groups(lengths: Sequence[int], *, rows: int, tokens: int) -> list[int]:
    """Return how many requests each prefill takes: in their order, as long as rows and tokens last.

    Raises: EngineError for a prompt longer than a whole prefill.
    """
    groups: list[int] = []
    room = 0
    for length in lengths:
        if length > tokens:
            raise EngineError(f"a prompt of {length} tokens is longer than a prefill of {tokens}")
        if not groups or length > room or groups[-1] == rows:
            groups.append(0)
            room = tokens
        groups[-1] += 1
        room -= length
    return groups


def first_size(spec: RunSpec, model: ModelInfo) -> RunnerSize:
    """Return the size of the runner that will be asked for first, as far as the spec tells."""
    sizes = spec.batch_sizes_of(0) if spec.batch_sizes else ()
    rows = sizes[0] if sizes else 1
    if spec.cases:
        return RunnerSize(spec.cases[0].input_tokens, spec.cases[0].output_tokens, rows)
    context = spec.max_position_embeddings or model.max_position_embeddings
    prompt, answer = (min(tokens, context or tokens) for tokens in ANSWER_TOKENS)
    if spec.options.generation is not None:
        asked = spec.options.generation.max_new_tokens
        answer = min(asked, context or asked)
    return RunnerSize(prompt, answer, rows)
