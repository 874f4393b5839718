"""From encoded requests to completions: choices and generations, over rows fed in any order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from engines.choice_rows import ChoiceRow, Reading, choice_rows
from engines.completions import completion
from engines.device import empty_cache, is_out_of_memory
from engines.encoding import Encoded
from engines.forward import NOT_A_NUMBER, Forward, Generation, greedy
from engines.prefix_planning import Row
from engines.rows import RowFeeder
from engines.stops import cut_at, stop_ids
from modeltest.api import Completion, Finish

if TYPE_CHECKING:
    from engines.checkpoint_loading import Loaded
    from engines.packed import Fed, PackedRows

_BROKEN_CHARACTER = "\ufffd"
"""What a tokenizer says for a character whose bytes are not all there yet."""


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


def generate_packed(
    batch: Sequence[Encoded], feeder: PackedRows, forward: Forward, loaded: Loaded, batch_size: int
) -> Iterator[list[Completion]]:
    """Yield generations whose prompts are fed in packs; rows that go on are decoded together.

    Rows that run out of memory then, beside the prompts of their pack, are asked again one by one.
    """
    import torch

    limit = batch[0].request.max_new_tokens
    rows = [Row(encoded.prompt_ids, len(encoded.prompt_ids) - 1) for encoded in batch]
    crowded: list[Encoded] = []
    for fed in feeder.feed(rows, max_rows=batch_size, keep_rows=limit > 1):
        together = [batch[row] for row in fed.rows]
        if fed.error:
            yield [completion(encoded, error=fed.error) for encoded in together]
            continue
        newest = greedy(torch.cat([logits[-1:] for logits in fed.logits]))
        first = forward.ranks.same(newest).tolist()
        ends = ends_of(together, loaded)
        done = [token == NOT_A_NUMBER or ends(row, token, [token]) for row, token in enumerate(first)]
        going = [row for row, ended in enumerate(done) if not ended and limit > 1]
        whole = [
            generated(together[row], (first[row],), done[row], loaded)
            for row in range(len(first))
            if row not in going
        ]
        decode = partial(_decode, together=together, first=first, fed=fed, forward=forward, loaded=loaded)
        for part in _in_parts(going, decode, feeder, forward):
            if part.generation is not None:
                for place, row in enumerate(part.rows):
                    tokens, ended = part.generation.tokens[place], part.generation.ended[place]
                    whole.append(generated(together[row], tokens, ended, loaded))
            elif len(together) > 1:
                crowded += [together[row] for row in part.rows]
            else:
                whole.append(completion(together[0], error=part.error))
        if whole:
            yield whole
    if crowded:
        yield from generate_packed(crowded, feeder, forward, loaded, 1)


@dataclass(frozen=True, slots=True)
class _Decoded:
    """Rows that were decoded together; `error` says why one could not be."""

    rows: Sequence[int]
    generation: Generation | None = None
    error: str | None = None


def _decode(
    rows: Sequence[int],
    *,
    together: Sequence[Encoded],
    first: Sequence[int],
    fed: Fed,
    forward: Forward,
    loaded: Loaded,
) -> Generation:
    """Go on from the prompts of `rows` of a pack and their first tokens."""
    return forward.generate_from(
        [fed.keys_values[row] for row in rows],
        [first[row] for row in rows],
        max_new_tokens=together[0].request.max_new_tokens,
        ends=ends_of([together[row] for row in rows], loaded),
    )


def _in_parts(
    going: Sequence[int],
    decode: Callable[[Sequence[int]], Generation],
    feeder: PackedRows,
    forward: Forward,
) -> Iterator[_Decoded]:
    """Decode the rows `going`; those that run out of memory in halves, down to a row alone."""
    work = [going] if going else []
    while work:
        rows = work.pop()
        try:
            decoded = _Decoded(rows, forward.ranks.attempt(partial(decode, rows)))
        except Exception as problem:
            if not is_out_of_memory(problem):
                raise
            text = f"out of memory with {len(rows)} rows after their prompts: {problem}"
            decoded = _Decoded(rows, error=" ".join(text.split())[:400])
        if decoded.generation is None:
            # Outside the handler: the traceback it holds would keep the tensors alive.
            empty_cache(forward.device)
            feeder.split_batches += 1
            if len(rows) > 1:
                work += [rows[len(rows) // 2 :], rows[: len(rows) // 2]]
                continue
        yield decoded


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


def ends_of(batch: Sequence[Encoded], loaded: Loaded) -> Callable[[int, int, list[int]], bool]:
    """Return the rule that says whether row `row` of `batch` ends with the newest of its new tokens."""

    special = {stops: stop_ids(loaded.tokenizer, stops) for stops in {one.request.stop for one in batch}}

    def ends(row: int, token: int, tokens: list[int]) -> bool:
        request = batch[row].request
        if token in loaded.eos_token_ids or token in special[request.stop]:
            return True
        if not request.stop and not request.first_character_only:
            return False
        text = _text(loaded, tokens)
        if request.first_character_only and _first_character_is_known(text):
            return True
        return any(stop in text for stop in request.stop)

    return ends


def generated(
    encoded: Encoded, tokens: tuple[int, ...], ended: bool, loaded: Loaded, *, times_ns: tuple[int, ...] = ()
) -> Completion:
    """Return the completion of a generation."""
    if NOT_A_NUMBER in tokens:
        return completion(encoded, error="the model's logits are not numbers (NaN)")
    # Text of a timed run is never read, and decoding thousands of rows takes longer than measuring.
    text = None if encoded.request.ignore_eos else _text(loaded, tokens)
    if text is not None:
        text = cut_at(text, encoded.request.stop)
    return completion(
        encoded,
        text=text,
        output_tokens=tokens,
        token_times_ns=times_ns[: len(tokens)],
        finish=Finish.STOP if ended else Finish.LENGTH,
    )


def _first_character_is_known(text: str) -> bool:
    """Say whether more tokens cannot change the first non-blank character.

    They can as long as there is nothing but bytes of a character that may still be completed.
    """
    return bool(text.lstrip().strip(_BROKEN_CHARACTER))


def _text(loaded: Loaded, tokens: Sequence[int]) -> str:
    text: str = loaded.tokenizer.decode(tokens, skip_special_tokens=True)
    return text
