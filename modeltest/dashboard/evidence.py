"""What two runs are compared by, in few bytes: the outcome of every question, the value of every trial."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modeltest.api import AccuracySummary, Case, PerformanceSummary, RunResult
from modeltest.compare.performance import Shape, TrialValues, read_session
from modeltest.run.record.directory import recorded_of
from modeltest.run.record.journal import FILE_NAME as JOURNAL
from modeltest.run.record.journal import read_outcomes

RIGHT, WRONG, FAILED = "R", "W", "F"


@dataclass(frozen=True, slots=True)
class Answers:
    """The outcome of each question: one of `RIGHT`, `WRONG` and `FAILED`, in the order of the questions."""

    questions: tuple[str, ...]
    """Their ids, sorted."""

    outcomes: str

    @property
    def questions_sha256(self) -> str:
        """Digest of the ids: most runs of a history ask the same questions, which are kept once."""
        return hashlib.sha256("\n".join(self.questions).encode(errors="surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class ShapeTrials:
    """The values of each metric over the measured trials of one case and batch size."""

    case: Case
    batch_size: int
    values: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Of an accuracy run its answers, of a performance run its trials."""

    answers: Answers | None = None
    trials: tuple[ShapeTrials, ...] = ()

    def session(self) -> Mapping[Shape, TrialValues]:
        """Return the trials as `modeltest.compare` takes them."""
        return {(each.case, each.batch_size): each.values for each in self.trials}


def evidence_of(result: RunResult, directory: Path) -> Evidence | None:
    """Return what the journal of the complete run in `directory` says; `None` where it is of no use.

    Raises: ModelTestError when the journal is damaged.
    """
    if isinstance(result.summary, AccuracySummary):
        return Evidence(answers=_answers(read_outcomes(directory / JOURNAL, recorded_of(result))))
    if isinstance(result.summary, PerformanceSummary):
        return Evidence(trials=tuple(_trials(read_session(result))))
    return None


def _answers(outcomes: Iterable[tuple[str, bool | None]]) -> Answers:
    found = {question: _outcome(correct) for question, correct in outcomes}
    questions = tuple(sorted(found))
    return Answers(questions, "".join(found[question] for question in questions))


def _outcome(correct: bool | None) -> str:
    if correct is None:
        return FAILED
    return RIGHT if correct else WRONG


def _trials(session: Mapping[Shape, Mapping[str, Sequence[float]]]) -> Iterable[ShapeTrials]:
    for (case, batch_size), values in session.items():
        yield ShapeTrials(case, batch_size, {name: tuple(found) for name, found in values.items()})
