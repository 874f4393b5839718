"""The headline numbers of an accuracy run, from its samples in one pass."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from modeltest.api import AccuracySummary, FrequentFailure, Proportion, Sample
from modeltest.statistics import proportion

_MOST_REASONS = 1000
"""So many different reasons of failure are counted: where every failure is another, none is frequent."""
_FREQUENT_ANSWERS = 5

_NO_GROUPS: Mapping[str, str] = MappingProxyType({})


def summarize_accuracy(
    samples: Iterable[Sample],
    subjects: Mapping[str, Mapping[str, str]],
    *,
    groups: Mapping[str, str] = _NO_GROUPS,
    choices: int | None = None,
) -> AccuracySummary:
    """Return accuracy over all questions, by subject, by category and by group.

    `groups` maps the title of a group to the field of `subjects` that is "true" for its members. Failed
    requests stay in every denominator. `choices` is how many answers every question offers, where scores do
    not say so of each, nor completions by a log-probability for each. The result does not depend on the
    samples' order.
    `prompts_sha256` is the sum modulo 2^256 of the sha256 of every line `<id> <prompt_sha256>`: it needs no
    order, so that nothing is kept of a sample. Near-ties are left out: which margins are near depends on the
    dtype that was computed in, which no task knows (`modeltest.near_ties`).
    """
    counts = _Counts(choices)
    for sample in samples:
        counts.add(sample)
    by_subject = counts.subjects
    categories = [row["category"] for row in subjects.values() if row.get("category")]
    return AccuracySummary(
        micro=_total(by_subject.values()),
        macro=_macro(by_subject.values()),
        subjects=_proportions(by_subject, subjects),
        categories=_proportions(counts.categories, categories),
        groups={
            title: _total(tallies)
            for title, flag in groups.items()
            if (tallies := [by_subject[key] for key in by_subject if _has_flag(subjects, key, flag)])
        },
        failed=counts.failed,
        no_answer=counts.no_answer,
        truncated=counts.truncated,
        dropped_shots=counts.dropped_shots,
        cut_prompts=counts.cut_prompts,
        near_ties=(),
        near_tie_margin=0.0,
        prompts_sha256=f"{counts.prompts_digest % 2**256:064x}",
        frequent_failure=counts.frequent_failure(),
        guess_rate=counts.guess_rate(),
        answers=(frequent := dict(counts.answers.most_common(_FREQUENT_ANSWERS))),
        expected_answers={answer: counts.expected[answer] for answer in frequent},
    )


@dataclass(slots=True)
class _Tally:
    correct: int = 0
    total: int = 0

    def add(self, is_correct: bool) -> None:
        self.correct += is_correct
        self.total += 1


@dataclass(slots=True)
class _Counts:
    choices: int | None
    subjects: dict[str, _Tally] = field(default_factory=dict)
    categories: dict[str, _Tally] = field(default_factory=dict)
    failed: int = 0
    no_answer: int = 0
    truncated: int = 0
    dropped_shots: int = 0
    cut_prompts: int = 0
    prompts_digest: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    expected: Counter[str] = field(default_factory=Counter)
    by_choices: Counter[int] = field(default_factory=Counter)
    """How many answered questions offer so many choices; 0: unknown."""

    def add(self, sample: Sample) -> None:
        score = sample.score
        line = f"{score.request_id} {sample.prompt_sha256}".encode()
        self.prompts_digest += int.from_bytes(hashlib.sha256(line).digest(), "big")
        self.subjects.setdefault(score.subject, _Tally()).add(score.correct is True)
        if score.category:
            self.categories.setdefault(score.category, _Tally()).add(score.correct is True)
        if score.correct is None:
            # Nothing else in a failed completion may be trusted.
            self.failed += 1
            reason = score.error or "no reason was given"
            if reason in self.failures or len(self.failures) < _MOST_REASONS:
                self.failures[reason] += 1
            return
        offered = self.choices or score.choices or len(sample.completion.choice_logprobs)
        self.by_choices[offered] += 1
        self.expected[score.expected] += 1
        if score.predicted is not None:
            self.answers[score.predicted] += 1
        self.no_answer += score.no_answer
        self.truncated += score.truncated
        self.dropped_shots += sample.completion.dropped_shots
        self.cut_prompts += sample.completion.cut_prompt_tokens > 0

    def frequent_failure(self) -> FrequentFailure | None:
        """Return the most frequent reason of failure, of equally frequent ones the first by the alphabet."""
        if not self.failures:
            return None
        reason, count = min(self.failures.items(), key=lambda item: (-item[1], item[0]))
        return FrequentFailure(reason, count)

    def guess_rate(self) -> float | None:
        """Return how often guessing is right, on average over the answered questions."""
        answered = self.by_choices.total()
        if not answered or self.by_choices[0]:
            return None
        return math.fsum(count / choices for choices, count in self.by_choices.items() if count) / answered


def _total(tallies: Iterable[_Tally]) -> Proportion:
    counted = list(tallies)
    return proportion(sum(tally.correct for tally in counted), sum(tally.total for tally in counted))


def _macro(tallies: Iterable[_Tally]) -> float | None:
    accuracies = [tally.correct / tally.total for tally in tallies]
    return math.fsum(accuracies) / len(accuracies) if accuracies else None


def _proportions(tallies: Mapping[str, _Tally], order: Iterable[str]) -> dict[str, Proportion]:
    """Proportions in the order of the dataset card, then by name, whatever was completed first."""
    names: Sequence[str] = [*dict.fromkeys(name for name in order if name in tallies)]
    names = [*names, *sorted(set(tallies) - set(names))]
    return {name: proportion(tallies[name].correct, tallies[name].total) for name in names}


def _has_flag(subjects: Mapping[str, Mapping[str, str]], subject: str, flag: str) -> bool:
    return subjects.get(subject, {}).get(flag) == "true"
