"""Whether two harnesses gave the same answers: questions matched by id, choices by position."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeltest.api import Sample
from modeltest.run.record.journal import JournalReader

NEAR_TIE = 1e-4
"""Below this margin rounding alone may decide an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one harness found for one question."""

    logprobs: tuple[float, ...]
    prompt_sha256: str

    @property
    def choice(self) -> int:
        """The likeliest choice; the first of equal ones."""
        return max(range(len(self.logprobs)), key=self.logprobs.__getitem__)

    @property
    def margin(self) -> float:
        """How far the likeliest choice is ahead of the next."""
        second, first = sorted(self.logprobs)[-2:]
        return first - second


@dataclass(frozen=True, slots=True)
class Agreement:
    """How two sets of answers to the same questions compare."""

    questions: int
    equal_prompts: int
    equal_answers: int
    near_ties: int
    """Questions whose margin rounding alone may overturn."""

    different: tuple[str, ...]
    """The questions with different answers."""

    largest_difference: float
    """Of any two log-probabilities of the same choice."""

    distinct_answers: int
    """How many of the choices were the answer to some question: one would prove little."""


def compare(one: Mapping[str, Answer], other: Mapping[str, Answer]) -> Agreement:
    """Compare the answers of two harnesses by question.

    Raises: ValueError when they were not asked the same questions and choices.
    """
    if one.keys() != other.keys():
        lone = sorted(one.keys() ^ other.keys())
        raise ValueError(f"{len(lone)} questions were asked on one side only, the first is {lone[0]}")
    if not one:
        raise ValueError("no questions were asked")
    differences = []
    for key in one:
        if len(one[key].logprobs) != len(other[key].logprobs):
            raise ValueError(f"{key}: {len(one[key].logprobs)} and {len(other[key].logprobs)} choices")
        pairs = zip(one[key].logprobs, other[key].logprobs, strict=True)
        differences.append(max(abs(left - right) for left, right in pairs))
    return Agreement(
        questions=len(one),
        equal_prompts=sum(one[key].prompt_sha256 == other[key].prompt_sha256 for key in one),
        equal_answers=sum(one[key].choice == other[key].choice for key in one),
        near_ties=sum(min(one[key].margin, other[key].margin) < NEAR_TIE for key in one),
        different=tuple(sorted(key for key in one if one[key].choice != other[key].choice)),
        largest_difference=max(differences),
        distinct_answers=len({answer.choice for answer in one.values()}),
    )


def read_modeltest(path: Path) -> dict[str, Answer]:
    """Read the answers in a journal of ModelTest.

    Raises: ValueError when a question failed.
    """
    answers = {}
    for sample in JournalReader(path, Sample):
        name, problem = sample.score.request_id, sample.score.error
        if problem:
            raise ValueError(f"{path}: ModelTest failed at {name}: {problem}")
        answers[name] = Answer(sample.completion.choice_logprobs, sample.prompt_sha256)
    return answers


def read_lm_eval(path: Path) -> dict[str, Answer]:
    """Read the answers that `lm_eval_side` wrote."""
    return {
        sample["id"]: Answer(tuple(sample["logprobs"]), sample["prompt_sha256"]) for sample in _objects(path)
    }


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
