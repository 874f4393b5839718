"""The log-probabilities that choices need of one row, and the asks that bring them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from engines.common.token_rows import ChoiceRow
from engines.vllm.asks import Answer, Ask

MOST_PIECES = 4
"""So many positions that the cache kept to itself are asked one by one; for more the row is fed whole."""


@dataclass(frozen=True, slots=True)
class Score:
    """Of a token at one position: its log-probability, and whether it is the likeliest there."""

    logprob: float
    is_greedy: bool


@dataclass(slots=True)
class RowScores:
    """What the readings of a row need, as it comes in.

    A row whose end is all that is read is asked for the tokens behind it. Else the engine scores the row's
    own tokens, of which it knows those it computed: what an earlier row left in the cache is asked again,
    behind the tokens before it.
    """

    row: ChoiceRow
    is_in_pieces: bool = False
    """Whether the engine scores no rows, so that each position is asked by itself."""

    _found: dict[tuple[int, int], Score] = field(default_factory=dict)
    _asked_whole: bool = False

    def first_ask(self) -> Ask:
        """Return the ask that begins."""
        ids = self.row.row.ids
        needs = list(self._needs())
        # Of a row in pieces the last position comes first: it leaves the others in the cache.
        last = max(position for position, _ in needs) if self.is_in_pieces else len(ids) - 1
        wanted = tuple(dict.fromkeys(token for position, token in needs if position == last))
        scores_row = not self.is_in_pieces and any(position < last for position, _ in needs)
        return Ask(ids[: last + 1], wanted=wanted, scores_row=scores_row)

    def next_asks(self) -> list[Ask]:
        """Return asks for what is still missing; none when all is there."""
        ids = self.row.row.ids
        missing: dict[int, list[int]] = {}
        for position, token in self._needs():
            if (position, token) not in self._found:
                missing.setdefault(position, []).append(token)
        if not missing:
            return []
        if self.is_in_pieces or len(missing) <= MOST_PIECES or self._asked_whole:
            return [
                Ask(ids[: position + 1], wanted=tuple(dict.fromkeys(tokens)))
                for position, tokens in missing.items()
            ]
        self._asked_whole = True
        wanted = tuple(missing.get(len(ids) - 1, ()))
        return [Ask(ids, wanted=wanted, scores_row=True, may_reuse=False)]

    def take(self, ask: Ask, answer: Answer) -> None:
        """Take in what came of one of the asks."""
        last = len(ask.ids) - 1
        for token in ask.wanted:
            self._found[last, token] = Score(answer.logprobs[token], token == answer.tokens[0])
        for position, there in answer.row_logprobs.items():
            token = ask.ids[position + 1]
            self._found[position, token] = Score(there[token], there[token] >= max(there.values()))

    def readings(self) -> Iterator[tuple[int, list[float], bool]]:
        """Yield each reading's choice, its tokens' signed log-probabilities, whether it speaks for greed."""
        start = self.row.row.read_from
        for reading in self.row.readings:
            scores = [
                self._found[start + reading.first + at, token] for at, token in enumerate(reading.tokens)
            ]
            is_greedy = reading.sign < 0 or all(score.is_greedy for score in scores)
            yield reading.choice, [reading.sign * score.logprob for score in scores], is_greedy

    def _needs(self) -> Iterator[tuple[int, int]]:
        start = self.row.row.read_from
        for reading in self.row.readings:
            for at, token in enumerate(reading.tokens):
                yield start + reading.first + at, token
