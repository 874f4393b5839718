"""What a verdict says of itself: its tests, reasons and cost. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from modeltest.acceptance.judging import Judging
from modeltest.acceptance.shift_tests import ShiftTests
from modeltest.api import (
    CERTAIN,
    AcceptanceCost,
    AcceptanceSummary,
    Decision,
    Finding,
    FindingCode,
    Leaning,
    TestEvidence,
)
from modeltest.findings import sentence, sentences
from modeltest.sequential import Stratum

_NAMED = 4
_UNIT = "deviations"


def summary_of(judging: Judging, *, pack_sha256: str, answers_alone: bool) -> AcceptanceSummary:
    """Return what the verdict says."""
    tests = tuple(_tests(judging))
    lost = tuple(_not_run(judging))
    decision, reasons = _decided(judging, tests, lost, answers_alone=answers_alone)
    asked = judging.asked
    return AcceptanceSummary(
        decision=decision,
        reasons=sentences(reasons),
        reason_codes=reasons,
        tests=tests,
        not_run=sentences(lost),
        not_run_codes=lost,
        risk_of_wrong_accept=asked.risks.accept,
        risk_of_wrong_reject=asked.risks.reject,
        max_drop=asked.max_drop,
        pack_sha256=pack_sha256,
        order_seed=asked.seed,
        cost=_cost(judging),
        failed=judging.failed,
    )


def _decided(
    judging: Judging, tests: tuple[TestEvidence, ...], lost: tuple[Finding, ...], *, answers_alone: bool
) -> tuple[Decision, tuple[Finding, ...]]:
    risks, max_drop = judging.asked.risks, judging.asked.max_drop
    decision = judging.decision or Decision.UNDECIDED
    if decision is Decision.REJECT:
        return decision, tuple(_against(judging, tests))
    if decision is Decision.UNDECIDED:
        names = tuple(f"{each.name} of {each.of}" for each in tests if each.leaning is not Leaning.PASSED)
        found = Finding(FindingCode.TESTS_OPEN, {"names": names[:_NAMED], "asked": judging.questions})
        return decision, (found,)
    if judging.tokens is None and not answers_alone:
        return Decision.UNDECIDED, (Finding(FindingCode.TESTS_NOT_RUN, {"names": ("texts",)}),)
    accepted = Finding(FindingCode.PORT_ACCEPTED, {"allowed": max_drop, "risk": risks.accept})
    return decision, (accepted, *([Finding(FindingCode.ANSWERS_ALONE)] if lost else []))


def _against(judging: Judging, tests: tuple[TestEvidence, ...]) -> Iterator[Finding]:
    if judging.drop.leaning is Leaning.FAILED:
        yield Finding(
            FindingCode.ACCURACY_LOST, {"drop": judging.asked.max_drop, "allowed": judging.asked.max_drop}
        )
    if judging.rejecting.decided_at is not None:
        worst = sorted(tests, key=lambda each: -each.log_evidence_against)
        names = tuple(f"{each.name} of {each.of}" for each in worst if each.log_evidence_against > 0)
        yield Finding(FindingCode.PORT_DIFFERS, {"names": names[:_NAMED], "risk": judging.asked.risks.reject})


def _tests(judging: Judging) -> Iterator[TestEvidence]:
    drop, strata = judging.drop, judging.drop.strata
    asked = sum(drop.taken.values())
    lost = -sum(drop.sums.values()) / strata.population if asked else None
    yield _evidence(
        judging,
        ("accuracy", "questions", "of all answers lost"),
        leaning=drop.leaning,
        numbers=(lost, judging.asked.max_drop, asked, strata.population),
        evidence=(0.0, drop.path.log_maximum),
        decided_at=drop.path.decided_at,
    )
    if (flips := judging.flips) is not None:
        yield _evidence(
            judging,
            ("wide flips", "questions", "of the answers"),
            leaning=flips.leaning,
            numbers=(flips.rate, flips.limits.failing, drop.taken[Stratum.REST], strata.rest),
            evidence=(flips.failing.path.log_evidence, flips.passing.path.log_maximum),
            decided_at=flips.passing.path.decided_at or flips.failing.path.decided_at,
        )
    for of, tests in (("questions", judging.choices), ("texts", judging.tokens)):
        if tests is not None:
            yield from _of_shifts(judging, of, tests)


def _of_shifts(judging: Judging, of: str, tests: ShiftTests) -> Iterator[TestEvidence]:
    for name, test in tests.tests.items():
        yield _evidence(
            judging,
            (name, of, _UNIT),
            leaning=test.leaning,
            numbers=(test.mean, tests.bound, tests.taken, tests.population),
            evidence=(test.failing.log_evidence, test.passing.log_maximum),
            decided_at=test.passing.decided_at or test.failing.decided_at,
        )


def _evidence(
    judging: Judging,
    names: tuple[str, str, str],
    *,
    leaning: Leaning,
    numbers: tuple[float | None, float, int, int],
    evidence: tuple[float, float],
    decided_at: int | None,
) -> TestEvidence:
    name, of, unit = names
    value, limit, asked, population = numbers
    if leaning is Leaning.PASSED:
        statement = Finding(
            FindingCode.TEST_PASSES,
            {
                "name": f"{name} of {of}",
                "value": value,
                "limit": limit,
                "unit": unit,
                "asked": asked,
                "population": population,
                "risk": judging.asked.risks.accept,
            },
        )
    elif leaning is Leaning.FAILED:
        statement = Finding(
            FindingCode.TEST_FAILS,
            {
                "name": f"{name} of {of}",
                "value": value,
                "limit": limit,
                "unit": unit,
                "asked": asked,
                "population": population,
            },
        )
    else:
        statement = Finding(
            FindingCode.TEST_OPEN,
            {
                "name": f"{name} of {of}",
                "value": value,
                "limit": limit,
                "unit": unit,
                "asked": asked,
                "population": population,
            },
        )
    return TestEvidence(
        name=name,
        of=of,
        leaning=leaning,
        value=value,
        limit=limit,
        unit=unit,
        log_evidence_against=max(-CERTAIN, min(CERTAIN, evidence[0])),
        log_evidence_for=max(-CERTAIN, min(CERTAIN, evidence[1])),
        asked=asked,
        population=population,
        decided_at=decided_at,
        statement=sentence(statement),
        statement_code=statement,
    )


def _not_run(judging: Judging) -> Iterator[Finding]:
    if judging.tokens is None:
        texts = len(judging.pack.texts)
        if not texts:
            yield Finding(FindingCode.NO_TEXTS_IN_PACK)
        elif not judging.asked.tells_tokens:
            yield Finding(FindingCode.NO_TOKENS_TOLD, {"texts": texts})
        else:
            yield Finding(FindingCode.NO_TWIN_TO_JUDGE_BY, {"of": "texts"})
    if judging.flips is None:
        yield Finding(FindingCode.NO_MARGINS)
    elif judging.choices is None:
        yield Finding(FindingCode.NO_TWIN_TO_JUDGE_BY, {"of": "questions"})


def _cost(judging: Judging) -> AcceptanceCost:
    return AcceptanceCost(
        questions=judging.questions,
        questions_of=len(judging.pack.questions),
        texts=judging.texts,
        texts_of=len(judging.pack.texts),
        prompt_tokens=judging.prompt_tokens,
        scored_tokens=judging.scored_tokens,
    )
