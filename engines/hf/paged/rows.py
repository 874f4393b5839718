"""Requests over a paged cache: choices and generations, whatever memory allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from engines.common.completions import completion
from engines.common.device import empty_cache, is_out_of_memory
from engines.common.encoding import Encoded
from engines.common.endings import ends_of
from engines.common.memory import out_of_memory_text
from engines.common.token_rows import Row
from engines.hf.answering.answers import generated
from engines.hf.packed.packed import MIN_PACK_TOKENS, Fed
from engines.hf.paged.continuous_batching import Room
from engines.hf.paged.loop import Answered, Asked, PagedLoop
from modeltest.api import Completion, OutOfMemory

if TYPE_CHECKING:
    from engines.hf.model.checkpoint_loading import Loaded


@dataclass(slots=True)
class PagedRows:
    """Feeds rows through a paged loop; what runs out of memory is fed again, half as much at once."""

    loop: PagedLoop
    device: str
    step_tokens: int
    split_batches: int = 0

    def feed(self, rows: Sequence[Row], *, max_rows: int) -> Iterator[Fed]:
        """Yield every row once, at most `max_rows` together; rows that begin alike in turn."""
        order = sorted(range(len(rows)), key=lambda index: rows[index].ids)
        asked = [Asked(rows[index].ids, rows[index].read_from, keeps_logits=True) for index in order]
        for answers in self.answer(asked, max_rows=max_rows):
            error = answers[0].error
            names = tuple(order[answer.row] for answer in answers)
            yield Fed(names, tuple(answer.logits for answer in answers) if error is None else (), error=error)

    def answer(self, asked: Sequence[Asked], *, max_rows: int) -> Iterator[list[Answered]]:
        """Yield the answers to all of `asked`; one that does not fit even alone has an `error`, alone too."""
        left = dict(enumerate(asked))
        step_tokens = self.step_tokens
        while left:
            names, rows = list(left), list(left.values())
            room = Room(min(max_rows, len(rows)), _longest(rows), step_tokens, is_timed=False)
            try:
                self.loop.open(room)
                for answers in self.loop.run(rows):
                    named = [replace(answer, row=names[answer.row]) for answer in answers]
                    for answer in named:
                        del left[answer.row]
                    yield named
                return
            except Exception as problem:
                if not is_out_of_memory(problem):
                    raise
                text = _out_of_memory(rows[: room.rows], problem)
                flying = [names[row] for row in self.loop.flying]
            # Outside the handler: the traceback it holds would keep the tensors alive.
            self._start_anew()
            self.split_batches += 1
            if room.rows == 1 and step_tokens <= MIN_PACK_TOKENS:
                lost = flying[0] if flying else max(left, key=lambda name: left[name].fed_tokens)
                del left[lost]
                yield [Answered(lost, error=text)]
            max_rows, step_tokens = max(room.rows // 2, 1), max(step_tokens // 2, MIN_PACK_TOKENS)

    def answer_together(self, asked: Sequence[Asked]) -> list[Answered]:
        """Return the answers to rows that are submitted together and timed, in their order.

        The prompts are fed in one step.

        Raises: OutOfMemory, after which the next batch finds everything freed.
        """
        room = Room(len(asked), _longest(asked), sum(len(row.ids) for row in asked), is_timed=True)
        try:
            self.loop.open(room)
            answered = [answer for answers in self.loop.run(asked) for answer in answers]
            return sorted(answered, key=lambda answer: answer.row)
        except Exception as problem:
            if not is_out_of_memory(problem):
                raise
            text = _out_of_memory(asked, problem)
        self._start_anew()
        raise OutOfMemory(text)

    def _start_anew(self) -> None:
        self.loop.drop()
        empty_cache(self.device)


def generate_paged(
    batch: Sequence[Encoded], paged: PagedRows, loaded: Loaded, batch_size: int
) -> Iterator[list[Completion]]:
    """Yield generations as they end; another prompt takes the place of each."""
    ends = ends_of(batch, loaded)
    order = sorted(range(len(batch)), key=lambda index: batch[index].prompt_ids)
    asked = [_generation(batch[index], ends=partial(ends, index)) for index in order]
    for answers in paged.answer(asked, max_rows=batch_size):
        yield [_completion(batch[order[answer.row]], answer, loaded) for answer in answers]


def generate_timed(batch: Sequence[Encoded], paged: PagedRows, loaded: Loaded) -> list[Completion]:
    """Return generations of one batch with the times of their tokens.

    Raises: OutOfMemory.
    """
    is_end_alone = batch[0].request.only_end_timed
    answers = paged.answer_together(
        [_generation(encoded, records_times=not is_end_alone) for encoded in batch]
    )
    return [
        replace(
            generated(encoded, answer.tokens, answer.ended, loaded, times_ns=answer.times_ns),
            end_ns=answer.end_ns if is_end_alone else None,
        )
        for encoded, answer in zip(batch, answers, strict=True)
    ]


def _generation(encoded: Encoded, **more: Any) -> Asked:
    return Asked(
        encoded.prompt_ids,
        read_from=len(encoded.prompt_ids) - 1,
        new_tokens=encoded.request.max_new_tokens,
        **more,
    )


def _completion(encoded: Encoded, answer: Answered, loaded: Loaded) -> Completion:
    if answer.error is not None:
        return completion(encoded, error=answer.error)
    return generated(encoded, answer.tokens, answer.ended, loaded)


def _longest(asked: Sequence[Asked]) -> int:
    return max(row.fed_tokens for row in asked)


def _out_of_memory(asked: Sequence[Asked], problem: Exception) -> str:
    longest = max(len(row.ids) for row in asked)
    return out_of_memory_text(f"{len(asked)} rows of up to {longest} prompt tokens", problem)
