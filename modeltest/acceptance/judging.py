"""The verdict on a candidate as its answers come in: which questions next, what they show, when it is enough.

Questions and texts are drawn in random orders without replacement, each stratum of questions in its own. The
tests advance in these orders, whatever order an engine is asked in. Pure: equal answers give equal verdicts,
so a run that goes on from its journal ends as it would have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from modeltest.acceptance.asking import Unit
from modeltest.acceptance.end_test import end_test
from modeltest.acceptance.pack_noise import noise_of
from modeltest.acceptance.prompt_test import PromptTest
from modeltest.acceptance.shift_tests import Risks, ShiftTests, rare_test
from modeltest.api import (
    Decision,
    Leaning,
    Pack,
    PackAnswer,
    PackQuestion,
    PackText,
    PackWording,
    Role,
)
from modeltest.sequential import (
    DropTest,
    EvidencePath,
    Known,
    RateTest,
    Stratum,
    any_of,
    draw_order,
    drop_strata,
    stratum_of,
)
from modeltest.shifts.answers import DropLimits, drop_limits, near_tie_cut

PASSING_FLIPS, FAILING_FLIPS = 0.002, 0.015
"""Of the questions that rounding does not flip: what a correct port may, and what no correct port does."""

FEWEST_WIDE = 20
"""With fewer questions that rounding does not flip there is no test of them."""

FIRST_QUESTIONS, MOST_QUESTIONS, TEXTS = 32, 256, 16
"""Of a window: it doubles from the first, so that a gross fault costs little and a clean run few windows."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a candidate is asked, and how it is judged."""

    seed: int
    drop: DropLimits
    """Of accuracy."""

    tells_tokens: bool
    """Whether the engine tells the log-probabilities of tokens."""

    dtype: str | None
    questions: int | None = None
    """The most that are asked."""

    risks: Risks = field(default_factory=Risks)


class Judging:
    """Says what to ask, takes the answers, and decides."""

    def __init__(self, pack: Pack, asked: Asked) -> None:
        self.pack = pack
        self.asked = asked
        self.rejecting = EvidencePath(asked.risks.reject)
        self.failed = 0
        self.questions = self.texts = self.prompt_tokens = self.scored_tokens = 0
        cut = cut_of(pack)
        known = [
            Known(each.id, pack.reference[each.id].margin, bool(pack.reference[each.id].correct))
            for each in pack.questions
        ]
        self.strata = {each.id: stratum_of(each, cut) for each in known}
        limits = asked.drop
        strata = drop_strata(known, cut=cut, limit=limits.passing, failing=limits.failing)
        self.drop = DropTest(strata, risk=asked.risks.accept)
        rest = [name for name, stratum in self.strata.items() if stratum is Stratum.REST]
        self.flips = _flip_test(len(rest), asked.risks)
        self.choices = self._shifts(rest, has_positions=False)
        self.prompts = PromptTest(len(pack.wordings))
        # What is generated has no margin, so it is among the near-ties, and drawn in their order.
        self.ends = end_test(pack.questions, pack.reference, _twins(pack), asked.risks)
        texts = [each.id for each in pack.texts] if asked.tells_tokens else []
        self.tokens = self._shifts(texts, has_positions=True)
        self._orders = {
            stratum: _in_order(pack.questions, self.strata, stratum, asked.seed) for stratum in Stratum
        }
        self._questions = {each.id: each for each in pack.questions}
        by_id = {each.id: each for each in pack.texts}
        self._texts = iter([by_id[name] for name in draw_order(texts, asked.seed)])
        self._wordings: Iterator[Unit] = iter(pack.wordings)
        self._size = FIRST_QUESTIONS

    def window(self) -> list[Unit]:
        """Return what is asked next, in the drawn order; nothing when all is decided or asked."""
        if self.decision is not None:
            return []
        if prompts := list(self._wordings):
            return prompts  # alone: where one becomes something else, nothing more is asked
        found: list[Unit] = []
        if self.tokens is not None and self.tokens.is_open:
            found += _next(self._texts, TEXTS)
        count = (
            self._size
            if self.asked.questions is None
            else min(self._size, self.asked.questions - self.questions)
        )
        self._size = min(2 * self._size, MOST_QUESTIONS)
        if self._wants_questions() and count > 0:
            for stratum, share in self._shares(count).items():
                found += _next(self._orders[stratum], share)
        return found

    def take(self, answers: Iterable[tuple[Unit, PackAnswer | None]]) -> None:
        """Take the answers of a window in its order; `None` where one failed. After a decision none count."""
        for unit, answer in answers:
            if self.decision is not None:
                return
            self.failed += answer is None
            if isinstance(unit, PackWording):
                self._take_wording(unit, answer)
            elif isinstance(unit, PackText):
                self._take_text(unit, answer)
            else:
                self._take_question(unit, answer)
            self.rejecting.note(any_of(self._against()))

    @property
    def decision(self) -> Decision | None:
        """What is decided; `None` while it is open."""
        certain = (self.drop, self.prompts)
        if self.rejecting.decided_at is not None or any(test.leaning is Leaning.FAILED for test in certain):
            return Decision.REJECT
        shifts = all(tests is None or tests.has_passed for tests in (self.choices, self.tokens))
        rates = [test for test in (self.flips, self.ends) if test is not None]
        if shifts and all(test.leaning in (Leaning.PASSED, Leaning.NOT_RUN) for test in (*certain, *rates)):
            return Decision.ACCEPT
        return None

    def _take_wording(self, unit: PackWording, answer: PackAnswer | None) -> None:
        self.prompt_tokens += len(self._questions[unit.question].prompt)
        self.prompts.take(False if answer is None else answer.correct)

    def _take_text(self, unit: PackText, answer: PackAnswer | None) -> None:
        self.texts += 1
        self.prompt_tokens += len(unit.context)
        self.scored_tokens += len(unit.ids)
        if self.tokens is not None:
            self.tokens.take(unit.id, None if answer is None else answer.logprobs)

    def _take_question(self, unit: PackQuestion, answer: PackAnswer | None) -> None:
        self.questions += 1
        self.prompt_tokens += len(unit.prompt)
        reference, stratum = self.pack.reference[unit.id], self.strata[unit.id]
        is_right = answer is not None and bool(answer.correct)
        self.drop.take(stratum, int(is_right) - int(bool(reference.correct)))
        if self.ends is not None and unit.id in self.ends.expected:
            self.ends.take(unit.id, answer)
        if stratum is Stratum.REST:
            if self.flips is not None:
                self.flips.take(answer is None or answer.predicted != reference.predicted)
            if self.choices is not None:
                self.choices.take(unit.id, None if answer is None else answer.logprobs)

    def _against(self) -> list[float]:
        """Return the evidence of every test against a correct port, at this moment."""
        shifts = [
            evidence
            for tests in (self.choices, self.tokens)
            if tests is not None
            for evidence in tests.evidence_against
        ]
        flips = [] if self.flips is None else [self.flips.failing.path.log_evidence]
        ends = [] if self.ends is None else [self.ends.log_evidence]
        return [*shifts, *flips, *ends] or [0.0]

    def _shifts(self, units: Sequence[str], *, has_positions: bool) -> ShiftTests | None:
        if not units:
            return None
        noise = noise_of(self.pack, units, self.asked.dtype, has_positions=has_positions)
        return None if noise is None else ShiftTests(noise, len(units), self.asked.risks)

    def _wants_questions(self) -> bool:
        others = self.drop.leaning is not Leaning.PASSED
        return others or self._wants_rest() or self._wants_ends()

    def _wants_ends(self) -> bool:
        return self.ends is not None and self.ends.leaning in (Leaning.OPEN, Leaning.FAILED)

    def _wants_rest(self) -> bool:
        flips = self.flips is not None and self.flips.leaning is not Leaning.PASSED
        return flips or (self.choices is not None and self.choices.is_open)

    def _shares(self, count: int) -> Mapping[Stratum, int]:
        if self.drop.leaning is Leaning.PASSED:
            near = 0 if not self._wants_ends() else count // 2 if self._wants_rest() else count
            return {Stratum.NEAR: near, Stratum.REST: count - near}
        drawn = self.drop.allocate(count)
        return {Stratum.NEAR: drawn.near, Stratum.REST: drawn.rest, Stratum.SPARE: drawn.spare}


def cut_of(pack: Pack) -> float:
    """Return the margin up to which questions are near-ties, as the twins of the pack show it."""
    return near_tie_cut(pack.reference, _twins(pack))


def drop_limits_of(pack: Pack, max_drop: float | None = None) -> DropLimits:
    """Return what accuracy may drop by: `max_drop`, a fraction; else what the pack tells from rounding."""
    return drop_limits(pack.reference, _twins(pack), questions=len(pack.questions), asked=max_drop)


def _twins(pack: Pack) -> list[Mapping[str, PackAnswer]]:
    return [pack.answers[twin.name] for twin in pack.of_role(Role.TWIN)]


def _flip_test(rest: int, risks: Risks) -> RateTest | None:
    if rest < FEWEST_WIDE:
        return None
    return rare_test(PASSING_FLIPS, FAILING_FLIPS, rest, risks)


def _in_order(
    questions: Sequence[PackQuestion], strata: Mapping[str, Stratum], stratum: Stratum, seed: int
) -> Iterator[PackQuestion]:
    by_id = {each.id: each for each in questions if strata[each.id] is stratum}
    return iter([by_id[name] for name in draw_order(tuple(by_id), seed)])


def _next(units: Iterator[Unit], count: int) -> list[Unit]:
    return list(islice(units, count))
