"""Requests to calls of PARunner and back: choices, generations and timed batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engines.common.completions import completion
from engines.common.encoding import Encoded
from engines.common.stops import cut_at, stop_ids, up_to_stop
from engines.mindie.benchmark import token_times_ns
from engines.mindie.files import RunnerFiles
from engines.mindie.library import plain_ids
from engines.mindie.questions import ChoiceQuestion, check_order, rows_to_try
from engines.mindie.runner import Inferred, RunnerRow
from engines.mindie.sizes import RunnerSize, prefill_groups
from engines.mindie.team import LedRunner
from engines.mindie.timed_sizes import TimedSizes
from modeltest.api import Completion, EngineError, Finish, OutOfMemory


@dataclass(slots=True)
class WorkDone:
    """What was computed so far."""

    seconds: float = 0.0
    calls: int = 0
    """Of the model: a prefill or a step of decoding."""

    tokens: int = 0
    split_batches: int = 0


class PagedAnswers:
    """Answers requests with one runner, which it sizes as they need it."""

    def __init__(
        self, runner: LedRunner, files: RunnerFiles, tokenizer: Any, timed_sizes: TimedSizes
    ) -> None:
        self._timed_sizes = timed_sizes
        self._runner = runner
        self._files = files
        self._tokenizer = tokenizer
        self._vocabulary_size: int = runner.raw.model.config.vocab_size
        self._dtype = runner.raw.dtype
        self._ends = frozenset(plain_ids(runner.raw.model.postprocessor.eos_token_id))
        self._most_rows: int | None = None
        self._is_order_known = False
        self.work = WorkDone()

    def choose(self, requests: Sequence[Encoded], batch_size: int) -> Iterator[list[Completion]]:
        """Yield the completions of requests with choices.

        PARunner tells the logits behind a prompt and nowhere else, so a choice of several tokens takes one
        row for each of them: the prompt and the tokens before it.

        Raises: EngineError.
        """
        self._require("logits", "choices cannot be scored")
        questions = [ChoiceQuestion.of(encoded) for encoded in requests]
        rows = [(question, prefix) for question in questions for prefix in question.wanted]
        asked = [RunnerRow(prefix, question.encoded.request.adapter) for question, prefix in rows]
        for begin, end, inferred in self._in_groups(asked, batch_size, 1, with_logits=True):
            group = rows[begin:end]
            if isinstance(inferred, str):
                for question, prefix in group:
                    question.fail(prefix, inferred)
            else:
                self._score(group, asked[begin:end], inferred)
            finished = {id(question): question for question, _ in group if not question.wanted}
            if finished:
                yield [question.completion() for question in finished.values()]

    def generate(self, requests: Sequence[Encoded], batch_size: int) -> Iterator[list[Completion]]:
        """Yield generations of requests that agree in everything but the prompt.

        Raises: EngineError.
        """
        limit = requests[0].request.max_new_tokens
        rows = _rows(requests)
        for begin, end, inferred in self._in_groups(rows, batch_size, limit):
            group = requests[begin:end]
            if isinstance(inferred, str):
                yield [completion(encoded, error=inferred) for encoded in group]
            else:
                ids = self._output_ids(inferred, len(group))
                yield [self._generated(*pair) for pair in zip(group, ids, strict=True)]

    def run_timed(self, requests: Sequence[Encoded], asked: RunnerSize) -> list[Completion]:
        """Return generations of one batch of exactly the tokens asked for, with the time of each token.

        Raises: OutOfMemory when the batch does not fit; EngineError.
        """
        inferred = self._infer_timed(requests, asked)
        ids = self._output_ids(inferred, len(requests))
        done = [self._generated(encoded, tokens) for encoded, tokens in zip(requests, ids, strict=True)]
        if "times" not in self._files.records:
            return done
        prompts = [encoded.prompt_ids for encoded in requests]
        times = self._times(prompts, requests[0].request.max_new_tokens, inferred)
        return [replace(one, token_times_ns=times[row]) for row, one in enumerate(done)]

    def _infer_timed(self, requests: Sequence[Encoded], asked: RunnerSize) -> Inferred:
        """Run a timed batch in a runner that may have room for more; if that fails, in one of its own."""
        size: RunnerSize | None = self._timed_sizes.size_for(asked, self._runner.size)
        text = ""
        while size is not None:
            try:
                if self._runner.size != size:
                    self._runner.make(size, prefill_rows=asked.rows)
                inferred = self._infer(_rows(requests), requests[0].request.max_new_tokens, ignore_eos=True)
            except OutOfMemory as problem:
                text = str(problem)
            else:
                self._timed_sizes.worked(asked, size)
                return inferred
            # Outside the handler: what it holds would keep the old runner alive.
            size = self._timed_sizes.ran_out(asked, size)
        raise OutOfMemory(text)

    def _in_groups(
        self, asked: Sequence[RunnerRow], batch_size: int, max_new_tokens: int, *, with_logits: bool = False
    ) -> Iterator[tuple[int, int, Inferred | str]]:
        """Yield `(begin, end, answer)` of the groups that are prefilled together; a text is what went wrong.

        A group that does not fit in memory is run again in a runner for half as many rows; where there is no
        memory for a runner of the longest prompt, it fails alone.
        """
        rows = min(batch_size, len(asked), self._most_rows or batch_size)
        wanted = RunnerSize(max(len(row.ids) for row in asked), max_new_tokens, rows)
        size = self._runner.size.joined(wanted) if self._runner.size else wanted
        too_long, why = wanted.input_tokens + 1, ""
        begin = 0
        while begin < len(asked):
            end, is_ready = begin + 1, False
            if len(asked[begin].ids) >= too_long:
                yield begin, end, why
                begin = end
                continue
            try:
                if self._runner.size is None or not self._runner.size.holds(size):
                    self._runner.make(size)
                tokens, is_ready = self._runner.prefill_tokens(), True
                most = min(batch_size, size.rows)
                lengths = [len(row.ids) for row in asked[begin : begin + most]]
                end = begin + prefill_groups(lengths, rows=size.rows, tokens=tokens)[0]
                answer = self._infer(
                    asked[begin:end], max_new_tokens, ignore_eos=False, with_logits=with_logits
                )
            except OutOfMemory as problem:
                text = str(problem)
            else:
                yield begin, end, answer
                begin = end
                continue
            self.work.split_batches += 1
            self._most_rows = max(size.rows // 2, 1)
            if size.rows > 1:
                size = replace(size, rows=self._most_rows)
            elif is_ready:
                yield begin, end, text
                begin = end
            else:
                exact = RunnerSize(_longest(asked[begin:], too_long), max_new_tokens, 1)
                if size == exact:
                    too_long, why = size.input_tokens, text
                size = replace(exact, input_tokens=_longest(asked[begin:], too_long))

    def _infer(
        self, rows: Sequence[RunnerRow], max_new_tokens: int, *, ignore_eos: bool, with_logits: bool = False
    ) -> Inferred:
        self._runner.warm_up()  # it writes files, too
        self._files.clear()
        inferred = self._runner.infer(
            rows, max_new_tokens=max_new_tokens, ignore_eos=ignore_eos, with_logits=with_logits
        )
        if "ids" in self._files.records and not self._runner.shares_prompts:
            self._files.check_inputs([row.ids for row in rows])
        self.work.calls += max(inferred.counts)
        self.work.seconds += inferred.seconds
        self.work.tokens += sum(len(row.ids) for row in rows) + sum(inferred.counts) - len(rows)
        return inferred

    def _score(
        self,
        group: Sequence[tuple[ChoiceQuestion, tuple[int, ...]]],
        asked: Sequence[RunnerRow],
        inferred: Inferred,
    ) -> None:
        logits = self._read_logits(len(group), inferred)
        if not self._is_order_known and len({row.ids for row in asked}) > 1:
            self._try_order(asked, logits)
            self._is_order_known = True
        logprobs = logits.log_softmax(dim=-1)
        likeliest = logits.argmax(dim=-1).tolist()
        for row, (question, prefix) in enumerate(group):
            question.take(prefix, logprobs[row], likeliest[row])

    def _read_logits(self, rows: int, inferred: Inferred) -> Any:
        """Return the logits behind each prompt, `[rows, vocabulary]`.

        What was said must be a likeliest token of its row. Logits that are not numbers are told as they are:
        they fail their request alone.

        Raises: EngineError.
        """
        logits = self._files.read_last_logits(rows, self._vocabulary_size, self._dtype)
        for row, ids in enumerate(self._output_ids(inferred, rows)):
            if bool(logits[row, ids[0]] < logits[row].max()):
                raise EngineError(
                    f"row {row} of logits_0.pth is not that of request {row}: it puts token "
                    f"{int(logits[row].argmax())} first, the request said {ids[0]}"
                )
        return logits

    def _try_order(self, asked: Sequence[RunnerRow], together: Any) -> None:
        """Run some of the prompts alone: equal first words would hide rows in another order."""
        prompts = [row.ids for row in asked]
        for row in rows_to_try(prompts):
            alone = self._read_logits(1, self._infer([asked[row]], 1, ignore_eos=False, with_logits=True))
            check_order(prompts, together, row, alone[0])

    def _output_ids(self, inferred: Inferred, rows: int) -> list[tuple[int, ...]]:
        if "ids" in self._files.records:
            ids = [self._files.read_output_ids(row) for row in range(rows)]
        else:
            ids = [_ids_of(text) for text in inferred.texts]
        said = [len(tokens) for tokens in ids]
        if said != list(inferred.counts):
            raise EngineError(
                f"PARunner gave {said} tokens per request and counted {list(inferred.counts)}: "
                "the meaning of its token counts has changed"
            )
        beyond = max(map(max, ids))
        if beyond >= self._vocabulary_size:
            raise EngineError(
                f"PARunner said token {beyond} with a vocabulary of {self._vocabulary_size}: "
                "it takes columns that fill the vocabulary up for tokens"
            )
        return ids

    def _generated(self, encoded: Encoded, ids: tuple[int, ...]) -> Completion:
        request = encoded.request
        ended = bool(ids) and ids[-1] in self._ends and not request.ignore_eos
        text: str | None = None
        if (
            not request.ignore_eos
        ):  # text of a timed run is never read, and there are thousands of tokens of it
            special = stop_ids(self._tokenizer, request.stop)
            ids, is_stopped = up_to_stop(ids, request.stop, special, self._text_of)
            ended = ended or is_stopped
            text = cut_at(self._text_of(ids), request.stop)
        if len(ids) < request.max_new_tokens and not ended:
            raise EngineError(
                f"PARunner ended request {encoded.request.id!r} after {len(ids)} of {request.max_new_tokens} "
                f"tokens with token {ids[-1]}, which ends no text"
            )
        return completion(
            encoded, text=text, output_tokens=ids, finish=Finish.STOP if ended else Finish.LENGTH
        )

    def _text_of(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text

    def _times(
        self, prompts: Sequence[Sequence[int]], max_new_tokens: int, inferred: Inferred
    ) -> tuple[tuple[int, ...], ...]:
        row = self._files.read_benchmark()
        asked = (len(prompts), len(prompts[0]), max_new_tokens)
        if (row.batch_size, row.input_tokens, row.output_tokens) != asked:
            raise EngineError(
                f"benchmark.csv tells of {row.batch_size} requests of {row.input_tokens}+{row.output_tokens} "
                f"tokens, sent were {asked[0]} of {asked[1]}+{asked[2]}"
            )
        steps_s = sum(row.prefill_s) + sum(row.decode_s)
        if steps_s > inferred.seconds * 1.02:
            raise EngineError(
                f"benchmark.csv tells of {steps_s:.4f} s in steps of a call that took "
                f"{inferred.seconds:.4f} s: a unit has changed"
            )
        assert self._runner.size is not None
        groups = prefill_groups(
            [len(prompt) for prompt in prompts],
            rows=self._runner.size.rows,
            tokens=self._runner.prefill_tokens(),
        )
        return token_times_ns(row, groups)

    def _require(self, record: str, consequence: str) -> None:
        if not {record, "ids"} <= self._files.records:
            raise EngineError(
                f"this process was not started to record ids and {record}, so that {consequence}: "
                f"give --engine-option record={'+'.join(sorted({'ids', record, *self._files.records}))}"
            )


def _longest(rows: Sequence[RunnerRow], too_long: int) -> int:
    return max((len(row.ids) for row in rows if len(row.ids) < too_long), default=1)


def _rows(requests: Sequence[Encoded]) -> list[RunnerRow]:
    return [RunnerRow(encoded.prompt_ids, encoded.request.adapter) for encoded in requests]


def _ids_of(text: Any) -> tuple[int, ...]:
    """Return the ids of an answer of a runner without tokenizer.

    Raises: EngineError when it is a text all the same.
    """
    if not hasattr(text, "tolist"):
        raise EngineError(
            f"PARunner gave a {type(text).__name__} where token ids were expected; "
            "give --engine-option record=times+ids to read them from its files"
        )
    return tuple(int(token) for token in text.tolist())
