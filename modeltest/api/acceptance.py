"""Whether a port may go out: the decision, and each test that it rests on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from modeltest.api.findings import Finding

CERTAIN = 1000.0
"""Stands for infinite evidence, and its negative for none that could come: JSON has neither."""


class Decision(str, Enum):
    """What an acceptance test says of a candidate."""

    ACCEPT = "ACCEPT"
    """Every test that was asked for excludes what it is there to exclude."""

    REJECT = "REJECT"
    """A test shows a difference that no correct port has."""

    UNDECIDED = "UNDECIDED"
    """Neither: questions, log-probabilities or power are lacking."""

    def exit_status(self, *, undecided_passes: bool) -> int:
        """Return the exit status of a command that ends with it."""
        passes = {Decision.ACCEPT, Decision.UNDECIDED} if undecided_passes else {Decision.ACCEPT}
        return 0 if self in passes else 1


class Leaning(str, Enum):
    """How far one test has come."""

    PASSED = "passed"
    FAILED = "failed"
    OPEN = "open"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class TestEvidence:
    """One sequential test: what it has seen, and what that is worth."""

    __test__ = False  # it is no test of pytest

    name: str
    """accuracy, answers, or that of a statistic: shift, spread, divergence, ..."""

    of: str
    """What it looks at: `questions`, `texts`, or a task's name."""

    leaning: Leaning
    value: float | None
    """The statistic over what was asked."""

    limit: float | None
    """What a correct port keeps to, in the same unit."""

    unit: str
    log_evidence_against: float
    """Natural logarithm of the e-value against a correct port; REJECT wants `log(1 / risk)` of the whole.

    `CERTAIN` where it is known without any risk, as when all questions were asked.
    """

    log_evidence_for: float
    """The same against a faulty one; the test has passed at `log(1 / risk)`."""

    asked: int
    """Questions or texts it has seen."""

    population: int
    """How many there are."""

    decided_at: int | None
    """How many of them it took; `None` while it is open."""

    statement: str
    statement_code: Finding | None = None


@dataclass(frozen=True, slots=True)
class AcceptanceCost:
    """What the verdict took: up to the answer that decided, though a window is asked whole."""

    questions: int
    questions_of: int
    texts: int
    texts_of: int
    prompt_tokens: int
    scored_tokens: int
    """Tokens of texts that were told one by one."""


@dataclass(frozen=True, slots=True)
class AcceptanceSummary:
    """The verdict on a candidate with its evidence."""

    decision: Decision
    reasons: tuple[str, ...]
    tests: tuple[TestEvidence, ...]
    not_run: tuple[str, ...]
    """Tests the engine lacks something for, with what is lost by that, in English."""

    risk_of_wrong_accept: float
    """Of each test: the probability to pass a candidate that is at its limit, at any stopping time."""

    risk_of_wrong_reject: float
    """Of all tests together."""

    max_drop: float
    pack_sha256: str
    order_seed: int
    cost: AcceptanceCost
    failed: int
    """Questions the engine did not answer."""

    reason_codes: tuple[Finding, ...] = ()
    not_run_codes: tuple[Finding, ...] = ()
    locate: tuple[str, ...] = ()
    """Of a rejected port: the words of the command that says in which layer it departs; see `locate`."""


@dataclass(frozen=True, slots=True)
class AnswersSummary:
    """The answers of one computation to a pack: nothing is judged."""

    answered: int
    expected: int
    failed: int
