"""What a verdict says of itself: its tests, reasons and cost. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from modeltest.acceptance.judging import Judging
from modeltest.acceptance.prompt_test import PromptTest
from modeltest.api import (
    CERTAIN,
    AcceptanceCost,
    AcceptanceSummary,
    Decision,
    Finding,
    FindingCode,
    FindingValue,
    Leaning,
    Role,
    TestEvidence,
)
from modeltest.findings import sentence, sentences
from modeltest.sequential import RateTest, Stratum

_NAMED = 4

TOKEN_IDS, ENDS = "token ids", "ends"
"""Tests of what a port does before and behind its model."""


def summary_of(
    judging: Judging,
    *,
    pack_sha256: str,
    answers_alone: bool,
    tokenizer_sha256: str | None,
    locate: tuple[str, ...] = (),
) -> AcceptanceSummary:
    """Return what the verdict says.

    `tokenizer_sha256` is of the port's tokenizer, by `tokenizer_digest`; `locate` are the words that say
    where the port departs if it does.
    """
    tests = tuple(test.evidence(judging.asked.risks.accept) for test in _tests(judging))
    lost = (*_not_run(judging), *_tokenizer(judging, tokenizer_sha256))
    decision, reasons = _decided(judging, tests, answers_alone=answers_alone)
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
        max_drop=asked.drop.passing,
        pack_sha256=pack_sha256,
        order_seed=asked.seed,
        cost=_cost(judging),
        failed=judging.failed,
        locate=locate if decision is Decision.REJECT and _is_of_model(judging, tests) else (),
    )


def _decided(
    judging: Judging, tests: tuple[TestEvidence, ...], *, answers_alone: bool
) -> tuple[Decision, tuple[Finding, ...]]:
    risks, limits = judging.asked.risks, judging.asked.drop
    decision = judging.decision or Decision.UNDECIDED
    if decision is Decision.REJECT:
        return decision, tuple(_against(judging, tests))
    if decision is Decision.UNDECIDED:
        names = tuple(f"{each.name} of {each.of}" for each in tests if each.leaning is not Leaning.PASSED)
        found = Finding(FindingCode.TESTS_OPEN, {"names": names[:_NAMED], "asked": judging.questions})
        return decision, (found, *_like_rounding(judging))
    if judging.tokens is None and not answers_alone:
        return Decision.UNDECIDED, (Finding(FindingCode.TESTS_NOT_RUN, {"names": ("texts",)}),)
    accepted = Finding(FindingCode.PORT_ACCEPTED, {"allowed": limits.passing, "risk": risks.accept})
    return decision, (accepted, *([Finding(FindingCode.ANSWERS_ALONE)] if judging.tokens is None else []))


def _like_rounding(judging: Judging) -> Iterator[Finding]:
    """Say where the drop that was not excluded is no larger than what rounding may do."""
    limits = judging.asked.drop
    if limits.is_wide and judging.drop.leaning is Leaning.OPEN:
        values: dict[str, FindingValue] = {
            "about": None,
            "allowed": limits.passing,
            "told": limits.failing,
            "needed": limits.needed,
        }
        yield Finding(FindingCode.DROP_LIKE_ROUNDING, values)


def _is_of_model(judging: Judging, tests: tuple[TestEvidence, ...]) -> bool:
    """Whether answers show that the model departs: not its prompts alone, nor where its answers end."""
    others = (each for each in tests if each.name not in (TOKEN_IDS, ENDS))
    return judging.drop.leaning is Leaning.FAILED or any(each.log_evidence_against > 0 for each in others)


def _against(judging: Judging, tests: tuple[TestEvidence, ...]) -> Iterator[Finding]:
    if judging.prompts.leaning is Leaning.FAILED:
        yield _prompts_differ(judging.prompts)
    if judging.drop.leaning is Leaning.FAILED:
        yield Finding(FindingCode.ACCURACY_LOST, {"allowed": judging.asked.drop.failing})
    if judging.rejecting.decided_at is not None:
        worst = sorted(tests, key=lambda each: -each.log_evidence_against)
        names = tuple(f"{each.name} of {each.of}" for each in worst if each.log_evidence_against > 0)
        yield Finding(FindingCode.PORT_DIFFERS, {"names": names[:_NAMED], "risk": judging.asked.risks.reject})


@dataclass(frozen=True, slots=True)
class _Test:
    """One test as it stands, whichever kind it is."""

    name: str
    of: str
    unit: str
    leaning: Leaning
    value: float | None
    limit: float
    asked: int
    population: int
    against: float
    """Log-evidence against a correct port, now."""

    log_passing: float
    """The most log-evidence so far that it is right."""

    decided_at: int | None
    said: Finding | None = None
    """What it says; `None`: by its numbers."""

    def evidence(self, risk: float) -> TestEvidence:
        """Return it with its statement; `risk` is that of passing wrongly."""
        values: dict[str, FindingValue] = {
            "name": f"{self.name} of {self.of}",
            "value": self.value,
            "limit": self.limit,
            "unit": self.unit,
            "asked": self.asked,
            "population": self.population,
        }
        if self.said is not None:
            statement = self.said
        elif self.leaning is Leaning.PASSED:
            statement = Finding(FindingCode.TEST_PASSES, {**values, "risk": risk})
        elif self.leaning is Leaning.FAILED:
            statement = Finding(FindingCode.TEST_FAILS, values)
        else:
            statement = Finding(FindingCode.TEST_OPEN, values)
        return TestEvidence(
            name=self.name,
            of=self.of,
            leaning=self.leaning,
            value=self.value,
            limit=self.limit,
            unit=self.unit,
            log_evidence_against=_bounded(self.against),
            log_evidence_for=_bounded(self.log_passing),
            asked=self.asked,
            population=self.population,
            decided_at=self.decided_at,
            statement=sentence(statement),
            statement_code=statement,
        )


def _tests(judging: Judging) -> Iterator[_Test]:
    drop, strata = judging.drop, judging.drop.strata
    asked = sum(drop.taken.values())
    if (prompts := judging.prompts).leaning is not Leaning.NOT_RUN:
        yield _of_prompts(prompts)
    yield _Test(
        name="accuracy",
        of="questions",
        unit="of all answers lost",
        leaning=drop.leaning,
        value=-sum(drop.sums.values()) / strata.population if asked else None,
        limit=judging.asked.drop.passing,
        asked=asked,
        population=strata.population,
        against=0.0,
        log_passing=drop.path.log_maximum,
        decided_at=drop.path.decided_at,
    )
    if (flips := judging.flips) is not None:
        yield _of_rate("wide flips", "questions", flips, drop.taken[Stratum.REST], strata.rest)
    if (ends := judging.ends) is not None and not ends.is_untold:
        yield _of_rate(ENDS, "generated answers", ends.rate, ends.taken, len(ends.expected))
    for of, tests in (("questions", judging.choices), ("texts", judging.tokens)):
        if tests is None:
            continue
        yield _of_rate("outliers", of, tests.outliers, tests.taken, tests.population)
        for name, test in tests.tests.items():
            yield _Test(
                name=name,
                of=of,
                unit="deviations",
                leaning=test.leaning,
                value=test.mean,
                limit=tests.bound,
                asked=tests.taken,
                population=tests.population,
                against=test.failing.log_evidence,
                log_passing=test.passing.log_maximum,
                decided_at=test.passing.decided_at or test.failing.decided_at,
            )


def _of_prompts(test: PromptTest) -> _Test:
    """Return it; a limit of none, and no risk: what it says is certain."""
    is_decided = test.leaning is not Leaning.OPEN
    said = {
        Leaning.PASSED: Finding(FindingCode.PROMPTS_AGREE, {"asked": test.taken}),
        Leaning.FAILED: _prompts_differ(test),
    }
    return _Test(
        name=TOKEN_IDS,
        of="prompts",
        unit="of them",
        leaning=test.leaning,
        value=test.rate,
        limit=0.0,
        asked=test.taken,
        population=test.population,
        against=CERTAIN if test.others else 0.0,
        log_passing=CERTAIN if test.leaning is Leaning.PASSED else 0.0,
        decided_at=test.taken if is_decided else None,
        said=said.get(test.leaning),
    )


def _prompts_differ(test: PromptTest) -> Finding:
    return Finding(FindingCode.PROMPTS_DIFFER, {"count": test.others, "asked": test.taken})


def _of_rate(name: str, of: str, test: RateTest, asked: int, population: int) -> _Test:
    return _Test(
        name=name,
        of=of,
        unit="of them",
        leaning=test.leaning,
        value=test.rate,
        limit=test.limits.failing,
        asked=asked,
        population=population,
        against=test.failing.path.log_evidence,
        log_passing=test.passing.path.log_maximum,
        decided_at=test.passing.path.decided_at or test.failing.path.decided_at,
    )


def _bounded(log_evidence: float) -> float:
    return max(-CERTAIN, min(CERTAIN, log_evidence))


def _not_run(judging: Judging) -> Iterator[Finding]:
    if judging.tokens is None:
        texts = len(judging.pack.texts)
        if not texts:
            yield Finding(FindingCode.NO_TEXTS_IN_PACK)
        elif not judging.asked.tells_tokens:
            yield Finding(FindingCode.NO_TOKENS_TOLD, {"texts": texts})
        else:
            yield Finding(FindingCode.NO_TWIN_TO_JUDGE_BY, {"of": "texts"})
    yield from _other_twins(judging)
    if judging.prompts.leaning is Leaning.NOT_RUN:
        yield Finding(
            FindingCode.PROMPTS_NOT_TOLD if judging.prompts.population else FindingCode.NO_PROMPTS_IN_PACK
        )
    if judging.ends is not None and judging.ends.is_untold:
        yield Finding(FindingCode.ENDS_NOT_TOLD, {"answers": len(judging.ends.expected)})
    if judging.flips is None:
        yield Finding(FindingCode.NO_MARGINS)
    elif judging.choices is None:
        yield Finding(FindingCode.NO_TWIN_TO_JUDGE_BY, {"of": "questions"})


def _other_twins(judging: Judging) -> Iterator[Finding]:
    """Say where rounding is that of another dtype than the port's, which may hide what its own would not."""
    dtype = judging.asked.dtype
    twins = tuple(sorted({each.dtype for each in judging.pack.of_role(Role.TWIN)}))
    if not twins or dtype in twins:
        return
    if dtype is None:
        yield Finding(FindingCode.UNKNOWN_DTYPE, {"twins": twins})
    else:
        yield Finding(FindingCode.NO_TWIN_IN_DTYPE, {"dtype": dtype, "twins": twins})


def _tokenizer(judging: Judging, port: str | None) -> Iterator[Finding]:
    """Say where prompts as text may become something else than those that were asked."""
    reference, prompts = judging.pack.manifest.model.tokenizer_sha256, judging.prompts
    if reference is None or reference == port:
        return
    if port is not None:
        told = prompts.taken - prompts.untold - prompts.others
        yield Finding(FindingCode.OTHER_TOKENIZER, {"told": told})
    elif prompts.leaning is not Leaning.PASSED:
        yield Finding(FindingCode.UNKNOWN_TOKENIZER)


def _cost(judging: Judging) -> AcceptanceCost:
    return AcceptanceCost(
        questions=judging.questions,
        questions_of=len(judging.pack.questions),
        texts=judging.texts,
        texts_of=len(judging.pack.texts),
        prompt_tokens=judging.prompt_tokens,
        scored_tokens=judging.scored_tokens,
    )
