"""From encoded requests to completions: choices and generations, over rows fed in any order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from engines.common.completions import completion
from engines.common.completions import generated as said
from engines.common.encoding import Encoded
from engines.common.endings import ends_of
from engines.common.token_rows import ChoiceRow, Reading, choice_rows
from engines.hf.answering.rows import RowFeeder
from engines.hf.model.forward import NOT_A_NUMBER, Forward, Generation
from modeltest.api import Completion

if TYPE_CHECKING:
    from engines.hf.model.checkpoint_loading import Loaded

MOST_VALUES = 1 << 25
"""Logits that are put into float32 together: 128 MiB. A continuation of a hundred tokens has millions."""


@dataclass(slots=True)
class _Choices:
    """The choices of one request, scored as their rows come in."""

    encoded: Encoded
    waiting: int
    logprobs: list[float] = field(default_factory=list)
    is_greedy: list[bool] = field(default_factory=list)
    tokens: dict[int, tuple[float, ...]] = field(default_factory=dict)
    """By choice, the log-probability of each of its tokens, where the request wants them."""

    error: str | None = None

    def take(self, reading: Reading, score: _Score) -> None:
        """Take in what was read of a row."""
        self.logprobs[reading.choice] += reading.sign * sum(score.logprobs)
        self.is_greedy[reading.choice] &= score.is_greedy or reading.sign < 0
        if self.encoded.request.each_token:
            self.tokens[reading.choice] = score.logprobs  # the only reading: token ids never merge


@dataclass(frozen=True, slots=True)
class _Score:
    """Of the tokens of a reading: their log-probabilities, and whether each is the likeliest in its place."""

    logprobs: tuple[float, ...]
    is_greedy: bool


def choose(batch: Sequence[Encoded], feeder: RowFeeder, batch_size: int) -> Iterator[list[Completion]]:
    """Yield the completions of requests with choices as their rows are fed."""
    rows: list[ChoiceRow] = []
    owners: list[_Choices] = []
    for encoded in batch:
        new_rows = choice_rows(encoded)
        count = len(encoded.choice_ids)
        choices = _Choices(encoded, len(new_rows), [0.0] * count, [True] * count)
        rows += new_rows
        owners += [choices] * len(new_rows)
    for fed in feeder.feed([each.row for each in rows], max_rows=batch_size):
        finished = []
        readings = [rows[index].readings for index in fed.rows]
        scores = iter(()) if fed.error else _scores(fed.logits, readings)
        for index in fed.rows:
            choices = owners[index]
            choices.error = choices.error or fed.error
            for reading in () if fed.error else rows[index].readings:
                choices.take(reading, next(scores))
            choices.waiting -= 1
            if not choices.waiting:
                finished.append(_chosen(choices))
        if finished:
            yield finished


def _scores(logits: Sequence[Any], readings: Sequence[Sequence[Reading]]) -> Iterator[_Score]:
    """Yield the scores of every reading, row by row: float32 log-softmax.

    One transfer to the host for all of them.
    """
    import torch

    with torch.inference_mode():
        told = [
            _read(logits[begin:end], readings[begin:end])
            for begin, end in _parts([table.numel() for table in logits])
        ]
        logprobs, greedy = torch.cat(told, dim=1).tolist()
    begin = 0
    for reading in chain.from_iterable(readings):
        own = slice(begin, begin + len(reading.tokens))
        yield _Score(tuple(logprobs[own]), all(greedy[own]))
        begin = own.stop


def _parts(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield begin and end of runs of `sizes` that are `MOST_VALUES` together, or one that is more."""
    begin, held = 0, 0
    for at, size in enumerate(sizes):
        if held and held + size > MOST_VALUES:
            yield begin, at
            begin, held = at, 0
        held += size
    yield begin, len(sizes)


def _read(logits: Sequence[Any], readings: Sequence[Sequence[Reading]]) -> Any:
    """Return `[2, tokens]` of all tokens that are read: log-probabilities, and 1 for the likeliest."""
    import torch

    together = torch.cat(list(logits)).float()
    places = torch.tensor(_places(logits, readings), dtype=torch.long, device=together.device)
    row, token = places.reshape(-1, 2).unbind(1)
    values = together[row, token] - together.logsumexp(dim=-1)[row]
    greedy = together.argmax(dim=-1)[row] == token
    return torch.stack([values.double(), greedy.double()])


def _places(logits: Sequence[Any], readings: Sequence[Sequence[Reading]]) -> list[tuple[int, int]]:
    """Return row and column, in the tables of `logits` below each other, of every token that is read."""
    places: list[tuple[int, int]] = []
    begin = 0
    for table, of_row in zip(logits, readings, strict=True):
        for reading in of_row:
            first = begin + reading.first
            places += [(first + at, token) for at, token in enumerate(reading.tokens)]
        begin += len(table)
    return places


def _chosen(choices: _Choices) -> Completion:
    if choices.error:
        return completion(choices.encoded, error=choices.error)
    return completion(
        choices.encoded,
        choice_logprobs=tuple(choices.logprobs),
        choice_is_greedy=tuple(choices.is_greedy),
        token_logprobs=tuple(choices.tokens[choice] for choice in sorted(choices.tokens)),
    )


def generate_padded(batch: Sequence[Encoded], forward: Forward, loaded: Loaded) -> list[Completion]:
    """Return generations of one padded batch; with `ignore_eos`, timed."""
    request = batch[0].request
    timed = request.ignore_eos
    generation: Generation = forward.ranks.attempt(
        lambda: forward.generate(
            [encoded.prompt_ids for encoded in batch],
            max_new_tokens=request.max_new_tokens,
            ends=None if timed else ends_of(batch, loaded),
            only_end_timed=timed and request.only_end_timed,
        )
    )
    times_ns = () if generation.end_ns is not None else generation.times_ns
    return [
        replace(
            generated(encoded, generation.tokens[row], generation.ended[row], loaded, times_ns=times_ns),
            end_ns=generation.end_ns,
        )
        for row, encoded in enumerate(batch)
    ]


def generated(
    encoded: Encoded, tokens: tuple[int, ...], ended: bool, loaded: Loaded, *, times_ns: tuple[int, ...] = ()
) -> Completion:
    """Return the completion of a generation."""
    if NOT_A_NUMBER in tokens:
        return completion(encoded, error="the model's logits are not numbers (NaN)")
    return said(encoded, tokens, ended, loaded, times_ns=times_ns)
