"""Requests with choices for an engine that tells the logits behind a prompt and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from engines.common.completions import completion
from engines.common.encoding import Encoded
from engines.common.token_rows import choice_rows
from modeltest.api import Completion, EngineError


@dataclass(slots=True)
class ChoiceQuestion:
    """A request with choices.

    `wanted` maps each prompt that is still to be asked to what is to be scored behind it: the choice, the
    token, and whether its log-probability is added to the choice's (1) or taken away (-1).
    """

    encoded: Encoded
    wanted: dict[tuple[int, ...], list[tuple[int, int, int]]]
    logprobs: list[float]
    is_greedy: list[bool]
    errors: list[str] = field(default_factory=list)

    @staticmethod
    def of(encoded: Encoded) -> ChoiceQuestion:
        """Return what is to be asked for `encoded`."""
        wanted: dict[tuple[int, ...], list[tuple[int, int, int]]] = {}
        for each in choice_rows(encoded):
            for reading in each.readings:
                for at, token in enumerate(reading.tokens, each.row.read_from + reading.first + 1):
                    wanted.setdefault(each.row.ids[:at], []).append((reading.choice, token, reading.sign))
        count = len(encoded.choice_ids)
        return ChoiceQuestion(encoded, wanted, [0.0] * count, [True] * count)

    def take(self, prefix: tuple[int, ...], logprobs: Any, likeliest: int) -> None:
        """Score what was wanted behind `prefix`, given the log-probability of every token there."""
        for choice, token, sign in self.wanted.pop(prefix):
            self.logprobs[choice] += sign * float(logprobs[token])
            self.is_greedy[choice] &= token == likeliest or sign < 0

    def fail(self, prefix: tuple[int, ...], error: str) -> None:
        """Note that `prefix` could not be asked."""
        del self.wanted[prefix]
        self.errors.append(error)

    def completion(self) -> Completion:
        """Return the completion of a request of which nothing is wanted any more."""
        if self.errors:
            return completion(self.encoded, error=self.errors[0])
        return completion(
            self.encoded, choice_logprobs=tuple(self.logprobs), choice_is_greedy=tuple(self.is_greedy)
        )


def rows_to_try(prompts: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Return the rows that would be at another place if requests were turned round or sorted by length."""
    by_length = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
    return tuple(sorted({0, len(prompts) - 1, by_length[0], by_length[-1]}))


def check_order(prompts: Sequence[Sequence[int]], together: Any, row: int, alone: Any) -> None:
    """Refuse logits `[rows, vocabulary]` whose row `row` is not the one nearest to the same request `alone`.

    Raises: EngineError.
    """
    nearest = int((together - alone).abs().nan_to_num(0.0).sum(dim=-1).argmin())
    if tuple(prompts[nearest]) != tuple(prompts[row]):
        raise EngineError(
            f"row {nearest} of logits_0.pth is that of request {row}: MindIE has reordered the requests"
        )
