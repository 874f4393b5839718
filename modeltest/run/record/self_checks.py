"""What the lines of a journal must not say against themselves, each other and `run.json`.

This is all that can be held against a journal of an older version, whose lines have no digests; it holds of
the others too. Pure, but for looking up the task whose rule a score follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from modeltest import registry
from modeltest.api import (
    JournalEnd,
    Measurement,
    PrerequisiteError,
    RunSpec,
    Sample,
    Score,
    SelfChecking,
    SpecError,
)
from modeltest.run.record.identity import trial_name

Rule = Callable[[Score, Sequence[float]], "str | None"]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is known of a journal from elsewhere, above all from `run.json`; nothing, of one just read."""

    end: JournalEnd | None = None
    """How long it was when the run ended, and its last digest."""

    spec: RunSpec | None = None
    """What was asked for: it decides which rule the scores follow, and which cases there are."""

    task_files: Mapping[str, str] = field(default_factory=dict)
    """The digest of the file with that rule, if it is in none of a package."""


class LineChecks:
    """Holds one journal's lines against each other, in their order."""

    def __init__(self, recorded: Recorded) -> None:
        spec = recorded.spec
        self._rule = _rule_of(recorded)
        self._cases = len(spec.cases) if spec is not None and spec.cases else None
        self._questions: set[str] = set()
        self._trials: set[str] = set()

    def take(self, entry: Sample | Measurement) -> None:
        """Check the next entry.

        Raises: ValueError saying what is wrong with it.
        """
        if isinstance(entry, Measurement):
            self._take_measurement(entry)
        else:
            completion = entry.completion
            self.take_score(entry.score, completion.request_id, completion.choice_logprobs)

    def take_score(self, score: Score, answered: str, choice_logprobs: Sequence[float]) -> None:
        """Check the next question by its score, the id of its completion and the choices in it.

        Raises: ValueError saying what is wrong with it.
        """
        name = score.request_id
        if name in self._questions:
            raise ValueError(f"question {name!r} is answered a second time")
        self._questions.add(name)
        if answered != name:
            raise ValueError(f"the score is of question {name!r}, the completion of {answered!r}")
        if score.error is not None:
            if score.correct is not None or score.predicted is not None:
                raise ValueError(f"question {name!r} has an answer, and an error that says it has none")
        elif self._rule and score.correct is not None and (wrong := self._rule(score, choice_logprobs)):
            raise ValueError(f"question {name!r}: {wrong}")

    def _take_measurement(self, entry: Measurement) -> None:
        name = trial_name(entry)
        if name in self._trials:
            raise ValueError(f"trial {name} (case/batch size/number) was measured a second time")
        self._trials.add(name)
        if self._cases is not None and not 0 <= entry.case_index < self._cases:
            raise ValueError(f"trial {name} is of case {entry.case_index}, but the run has {self._cases}")
        # A trial that asks for the probability of what was said has a row for each token instead.
        rows = sum(not (one.choice_tokens or one.choice_logprobs) for one in entry.completions)
        if rows > entry.batch_size:
            raise ValueError(f"trial {name} has {rows} rows, more than its batch size")


def _rule_of(recorded: Recorded) -> Rule | None:
    """Return the rule by which the task of a run checks a score; `None` where there is none, or no task.

    A task file that is gone, has changed or is code that nobody has trusted is none.
    """
    spec = recorded.spec
    if spec is None:
        return None
    with suppress(PrerequisiteError, SpecError):
        task = registry.task_of_run(spec, recorded.task_files)
        if isinstance(task, SelfChecking):
            return partial(task.contradiction, spec)
    return None
