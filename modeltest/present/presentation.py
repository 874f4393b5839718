"""The contract of a presentation, and what its tables, lines and checks are made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Generic, TypeVar

from modeltest.api import CaseSummary, Distribution, Finding, FlatMetric, Proportion, RunResult, Verdict


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; `is_brief` columns are those of a table that must be short."""

    name: str
    is_brief: bool = True


@dataclass(frozen=True, slots=True)
class Said:
    """A cell with what a model or a user wrote: nothing in it may be taken for markup."""

    text: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """A cell with the median of a metric over trials and its 95 % interval; `None` is shown as a dash."""

    found: Distribution | None
    is_secondary: bool = False
    """Whether a line of characters has room for the median alone."""


@dataclass(frozen=True, slots=True)
class IntervalCell:
    """A cell with the 95 % interval of an accuracy, empty where there is none."""

    of: Proportion


Cell = str | Said | Estimate | IntervalCell


class Level(Enum):
    """What a row of a table is about; a reader with little room leaves parts out."""

    WHOLE = "whole"
    GROUP = "group"
    PART = "part"
    COUNT = "count"
    """How many questions have something about them that a reader should know."""


@dataclass(frozen=True, slots=True)
class Row:
    """The cells under `Presentation.columns`."""

    cells: tuple[Cell, ...]
    level: Level = Level.PART


@dataclass(frozen=True, slots=True)
class Phrase:
    """A piece of a line; what `is_key` is what the line is read for."""

    text: str
    is_key: bool = False
    is_foreign: bool = False
    """Whether it has names that others gave, which may be taken for markup."""


@dataclass(frozen=True, slots=True)
class Check:
    """A part of a result as a test case: its name, what it says, and what is wrong with it."""

    name: str
    output: str = ""
    failure: str | None = None
    """Why its numbers may not be used."""

    error: str | None = None
    """What went wrong, so that there are none."""

    skipped: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A further table of a result."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run decided, which says more than that its numbers may be used."""

    word: str
    tone: Verdict
    """As which verdict it is coloured and marked."""

    reasons: tuple[str, ...]
    """In English; `reason_codes` are the same as values."""

    reason_codes: tuple[Finding, ...]


S = TypeVar("S")


class Presentation(ABC, Generic[S]):
    """What is shown of summaries of one type."""

    kind: ClassVar[str]
    """One word, which also names the page of such a run."""

    summary: ClassVar[type]
    columns: ClassVar[tuple[Column, ...]]
    unit: ClassVar[str] = "trial"
    """What is given up where it ended a worker twice."""

    is_timed: ClassVar[bool] = False
    """Whether times of tokens are what such a run is about."""

    @abstractmethod
    def headline(self, summary: S) -> str:
        """Return the most telling numbers in one line that stands for itself."""

    @abstractmethod
    def gist(self, summary: S) -> Sequence[Phrase]:
        """Return what the table below comes to, in one line."""

    @abstractmethod
    def rows(self, summary: S) -> Iterable[Row]:
        """Yield the rows of the table: the parts, then the whole, then counts."""

    @abstractmethod
    def checks(self, summary: S, result: RunResult) -> Iterable[Check]:
        """Yield every part of `result` that a reader may want to see pass or fail."""

    @abstractmethod
    def metrics(self, summary: S, *, is_usable: bool) -> Iterable[FlatMetric]:
        """Yield every number by its name; unless the run `is_usable`, what is measured is `None`."""

    @abstractmethod
    def judgement(
        self, summary: S, *, expected_questions: int | None, findings: frozenset[str]
    ) -> tuple[Verdict, tuple[Finding, ...]]:
        """Return whether the numbers may be used, and why not.

        `expected_questions` is how many an accuracy run was to ask, if that is known; `findings` are the
        codes of what is odd about the answers.
        """

    def outcome(self, summary: S) -> Outcome | None:
        """Return what was decided, of a run that decides something; it is shown in place of VALID."""
        return None

    def timed_cases(self, summary: S) -> Iterable[CaseSummary]:
        """Yield each case at each batch size measured at full length, in the order asked for or tried."""
        return ()

    def failed_questions(self, summary: S) -> int:
        """Return how many questions failed, which `samples.jsonl` has with their errors."""
        return 0

    def remarks(self, summary: S) -> Iterable[str]:
        """Yield lines that stand between the table and the verdict."""
        return ()

    def tables(self, summary: S) -> Iterable[Table]:
        """Yield further tables, for a reader with much room."""
        return ()


WORST_FIRST = (Verdict.INVALID, Verdict.SUSPECT, Verdict.NOISY, Verdict.VALID)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of `verdicts`, INVALID where there is none."""
    return min(verdicts, key=WORST_FIRST.index, default=Verdict.INVALID)
