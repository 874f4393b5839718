"""From encoded requests to completions: choices and generations, over rows fed in any order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
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


@dataclass(slots=True)
class _Choices:
    """The choices of one request, scored as their rows come in."""

    encoded: Encoded
    waiting: int
    logprobs: list[float] = field(default_factory=list)
    is_greedy: list[bool] = field(default_factory=list)
    error: str | None = None


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
                logprob, is_greedy = next(scores)
                choices.logprobs[reading.choice] += reading.sign * logprob
                choices.is_greedy[reading.choice] &= is_greedy or reading.sign < 0
            choices.waiting -= 1
            if not choices.waiting:
                finished.append(_chosen(choices))
        if finished:
            yield finished


def _scores(logits: Sequence[Any], readings: Sequence[Sequence[Reading]]) -> Iterator[tuple[float, bool]]:
    """Yield log-probability and greediness of every reading, row by row: float32 log-softmax, summed.

    One transfer to the host for all of them.
    """
    import torch

    places: list[tuple[int, int]] = []
    lengths: list[int] = []
    begin = 0
    for row, of_row in zip(logits, readings, strict=True):
        for reading in of_row:
            first = begin + reading.first
            places += [(first + at, token) for at, token in enumerate(reading.tokens)]
            lengths.append(len(reading.tokens))
        begin += len(row)
    with torch.inference_mode():
        together = torch.cat(list(logits)).float()
        index = torch.tensor(places, device=together.device)
        values = together[index[:, 0], index[:, 1]] - together.logsumexp(dim=-1)[index[:, 0]]
        greedy = together.argmax(dim=-1)[index[:, 0]] == index[:, 1]
        pairs = torch.stack([values.double(), greedy.double()]).tolist()
    begin = 0
    for length in lengths:
        part = slice(begin, begin + length)
        yield sum(pairs[0][part]), all(pairs[1][part])
        begin += length


def _chosen(choices: _Choices) -> Completion:
    if choices.error:
        return completion(choices.encoded, error=choices.error)
    return completion(
        choices.encoded,
        choice_logprobs=tuple(choices.logprobs),
        choice_is_greedy=tuple(choices.is_greedy),
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
