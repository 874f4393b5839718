"""Where the prompts of timed batches come from: random token ids, rows of a dataset, or a list of the user's.

All are pure and deterministic: the same trial of the same run submits the same token ids, also when a journal
is replayed into its task.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from statistics import median
from typing import Protocol

from modeltest.api import (
    Case,
    CasePrompts,
    EngineInfo,
    ModelTestError,
    PromptSource,
    Request,
    RunSpec,
    SpecError,
    TokenPrompt,
    TrialPrompts,
)
from modeltest.tasks.inputs import ordinary_token_ids, random_requests, timed_requests
from modeltest.tasks.shapes import Combination, describe

TokenIds = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What one trial submits; `prompts` is `None` for random token ids."""

    requests: tuple[Request, ...]
    prompts: TrialPrompts | None = None


@dataclass(frozen=True, slots=True)
class CaseInputs:
    """The inputs of one case at one batch size.

    `of_trial` takes the number of the trial and its turn: 0, 1, ... for measured trials, -1, -2, ... for all
    others, which so leave the measured ones as many rows as there are.
    """

    of_trial: Callable[[int, int], Inputs]
    available: int | None = None
    """How many prompts there are to choose from; `None`: as many as anyone wants."""


class Prompts(Protocol):
    """A source of prompts."""

    def inputs_of(self, combination: Combination) -> CaseInputs:
        """Return the inputs of every trial of `combination`.

        Raises: SpecError when there are not enough prompts, or not of the right length.
        """


def choose_prompts(spec: RunSpec, engine: EngineInfo, given: Sequence[TokenPrompt] | None) -> Prompts:
    """Return the source that `spec` names; `given` are the prompts that were read for it.

    Raises: SpecError for token ids outside the vocabulary; EngineError when there are no ordinary ones.
    """
    options = spec.options
    if options.prompt_source is None and options.prompt_input is None:
        return RandomPrompts(spec.seed, ordinary_token_ids(engine))
    if given is None:
        raise ModelTestError(f"task {spec.task!r} was not handed the prompts it is to measure")
    rows = tuple(prompt.ids for prompt in given)
    _check_token_ids(rows, engine)
    if options.prompt_source is None:
        return GivenPrompts(rows)
    return DatasetPrompts(options.prompt_source, rows, frozenset(engine.special_token_ids), spec.seed)


def least_trials(source: PromptSource | None, available: int | None, batch_size: int) -> int:
    """Return how many trials must be measured for the batches asked for: at most every row once."""
    if source is None or available is None:
        return 0
    whole_dataset = math.ceil(available / batch_size)
    return whole_dataset if source.batch_group is None else min(source.batch_group, whole_dataset)


def summarize_prompts(trials: Iterable[TrialPrompts | None]) -> CasePrompts | None:
    """Return what is to be said of the prompts of some trials; `None` where they were random token ids."""
    known = [prompts for prompts in trials if prompts is not None]
    lengths = [length for prompts in known for length in prompts.lengths]
    if not lengths:
        return None
    return CasePrompts(
        shortest=min(lengths),
        median=median(lengths),
        longest=max(lengths),
        available=known[0].available,
        notes=tuple(dict.fromkeys(note for prompts in known for note in prompts.notes)),
    )


def check_lengths(rows: Iterable[TokenIds], cases: Iterable[Case]) -> None:
    """Refuse prompts that are longer than a case they are measured in: they are never cut.

    Raises: SpecError.
    """
    longest = max(map(len, rows), default=0)
    for case in cases:
        if longest > case.input_tokens:
            raise SpecError(
                f"a prompt has {longest} tokens, case {describe(case)} has room for {case.input_tokens}; "
                f"give a case of {longest} input tokens or a shorter prompt"
            )


@dataclass(frozen=True, slots=True)
class RandomPrompts:
    """Fresh random token ids for every row of every trial, exactly as long as the case."""

    seed: int
    token_ids: Sequence[int]

    def inputs_of(self, combination: Combination) -> CaseInputs:
        """Return inputs without end."""

        def of_trial(trial: int, _turn: int) -> Inputs:
            case, batch_size = combination.case, combination.batch_size
            return Inputs(random_requests(case, batch_size, trial, seed=self.seed, token_ids=self.token_ids))

        return CaseInputs(of_trial)


@dataclass(frozen=True, slots=True)
class GivenPrompts:
    """The prompts of the user as they are: row r has prompt r modulo their number, in every trial alike."""

    rows: tuple[TokenIds, ...]

    def inputs_of(self, combination: Combination) -> CaseInputs:
        """Return the same inputs for every trial.

        Raises: SpecError for a prompt longer than the case and for more prompts than rows.
        """
        check_lengths(self.rows, [combination.case])
        if len(self.rows) > combination.batch_size:
            raise SpecError(
                f"{len(self.rows)} prompts do not fit into a batch of {combination.batch_size}; "
                f"give a batch size of {len(self.rows)} or more, or fewer prompts"
            )
        rows = tuple(islice(cycle(self.rows), combination.batch_size))
        prompts = TrialPrompts(tuple(map(len, rows)), len(self.rows), self._notes(combination.case))
        return CaseInputs(
            lambda trial, _turn: Inputs(timed_requests(combination.case, trial, rows), prompts),
            len(self.rows),
        )

    def _notes(self, case: Case) -> tuple[str, ...]:
        notes = ["every trial asks the same prompts: a cache of earlier prompts would make it faster"]
        lengths = sorted({len(row) for row in self.rows})
        if lengths != [case.input_tokens]:
            notes.append(
                f"prompts of {_span(lengths[0], lengths[-1])} tokens stand for the {case.input_tokens} "
                "of the case"
            )
        return tuple(notes)


@dataclass(frozen=True, slots=True)
class DatasetPrompts:
    """Rows of a dataset, in an order drawn from the seed: distinct in a trial, and other ones in the next.

    A row longer than the case is cut at its end. With padding a shorter one is repeated, its special tokens
    only once, until it is as long; without, it stays as it is. Rows that are then equal count as one. When
    all rows were asked, the first ones follow again. Trials that are not measured begin at the end.
    """

    source: PromptSource
    rows: tuple[TokenIds, ...]
    special_token_ids: frozenset[int]
    seed: int

    def inputs_of(self, combination: Combination) -> CaseInputs:
        """Return inputs for any trial.

        Raises: SpecError when the dataset has fewer distinct rows than the batch.
        """
        length, size = combination.case.input_tokens, combination.batch_size
        order = self._order(combination)
        if len(order) < size:
            raise SpecError(
                f"dataset {self.source.dataset!r} gives {len(order)} distinct prompts of at most {length} "
                f"tokens, fewer than the batch size {size}; ask for a smaller batch or more input tokens"
            )
        notes = self._notes(length, len(order))

        def of_trial(trial: int, turn: int) -> Inputs:
            begin = turn * size
            numbers = [order[(begin + place) % len(order)] for place in range(size)]
            rows = tuple(self._shaped(self.rows[number], length) for number in numbers)
            is_again = max(begin + size, -begin) > len(order)
            again = (self._again(len(order)),) if is_again else ()
            prompts = TrialPrompts(tuple(map(len, rows)), len(order), notes + again)
            return Inputs(timed_requests(combination.case, trial, rows), prompts)

        return CaseInputs(of_trial, len(order))

    def _order(self, combination: Combination) -> list[int]:
        case = combination.case
        distinct: dict[bytes, int] = {}
        for number, row in enumerate(self.rows):
            distinct.setdefault(_digest(self._shaped(row, case.input_tokens)), number)
        shape = f"{case.shape}/b{combination.batch_size}"
        key = f"{self.seed}/{self.source.dataset}/{shape}"
        return sorted(
            distinct.values(), key=lambda number: hashlib.sha256(f"{key}/{number}".encode()).digest()
        )

    def _shaped(self, row: TokenIds, length: int) -> TokenIds:
        if len(row) >= length or not self.source.padding:
            return row[:length]
        repeated = tuple(token for token in row if token not in self.special_token_ids) or row
        return row + tuple(islice(cycle(repeated), length - len(row)))

    def _notes(self, length: int, distinct: int) -> tuple[str, ...]:
        cut = sum(len(row) > length for row in self.rows)
        short = sum(len(row) < length for row in self.rows)
        counts = [
            (cut, f"are longer than {length} tokens: cut at the end"),
            (short if self.source.padding else 0, f"are shorter than {length} tokens: repeated"),
            (len(self.rows) - distinct, "are then equal to another: left out"),
        ]
        whole = f"of {len(self.rows)} rows of {self.source.dataset}"
        return tuple(f"{count} {whole} {what}" for count, what in counts if count)

    def _again(self, distinct: int) -> str:
        return (
            f"rows were asked again: {self.source.dataset} gives {distinct} distinct prompts, "
            "fewer than all trials need"
        )


def _check_token_ids(rows: Iterable[TokenIds], engine: EngineInfo) -> None:
    size = engine.vocabulary_size
    for index, row in enumerate(rows):
        if outside := [token for token in row if not 0 <= token < size]:
            raise SpecError(
                f"token id {outside[0]} of prompt {index} is outside the vocabulary of the model: "
                f"0 to {size - 1} are in it"
            )


def _digest(ids: TokenIds) -> bytes:
    return hashlib.sha256(array("q", ids).tobytes()).digest()


def _span(lowest: int, highest: int) -> str:
    return str(lowest) if lowest == highest else f"{lowest} to {highest}"
