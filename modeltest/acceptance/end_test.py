"""Whether generated answers end where the reference's do. Pure.

Two correct computations part where two tokens are nearly as likely, and say different things from there on.
That tells nothing of how they end. But where one answer is the beginning of the other, all tokens before
the end were the same, and only the end was decided otherwise: a token that ends a text is not known, or
another is taken for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from modeltest.acceptance.shift_tests import Risks, rare_test
from modeltest.api import Leaning, PackAnswer, PackQuestion
from modeltest.sequential import RateTest

PASSING_ENDS, FAILING_ENDS = 0.02, 0.10
"""Of generated answers: so many may end elsewhere in a correct port, and in no correct port do."""

FEWEST_ANSWERS = 20
"""With fewer there is no test of them."""

_OWN_END = 1
"""Tokens more that say nothing: engines keep the token that ends an answer, or leave it out."""


class EndTest:
    """The generated answers of a pack, in the order drawn."""

    def __init__(self, expected: Mapping[str, tuple[int, ...]], rate: RateTest) -> None:
        self.expected = expected
        """By question, the reference's tokens."""

        self.rate = rate
        self.taken = 0
        self.is_untold = False

    def take(self, question: str, answer: PackAnswer | None) -> None:
        """Take the next answer; `None` where it failed, which is no end at all."""
        if answer is not None and answer.output is None:
            self.is_untold = True
        if self.is_untold:
            return
        self.taken += 1
        output = None if answer is None else answer.output
        self.rate.take(output is None or ends_elsewhere(self.expected[question], output))

    @property
    def leaning(self) -> Leaning:
        """How far it has come; not run where the engine does not tell the tokens of an answer."""
        return Leaning.NOT_RUN if self.is_untold else self.rate.leaning

    @property
    def log_evidence(self) -> float:
        """Against a correct port, now."""
        return 0.0 if self.is_untold else self.rate.failing.path.log_evidence


def end_test(
    questions: Sequence[PackQuestion],
    reference: Mapping[str, PackAnswer],
    twins: Iterable[Mapping[str, PackAnswer]],
    risks: Risks,
) -> EndTest | None:
    """Return the test of the answers that the reference generated; `None` where there are too few.

    Twice the rate that a twin shows is allowed, where that is more. An answer of which the first character
    alone is read has no end of its own: an engine may stop there.
    """
    expected = {
        each.id: output
        for each in questions
        if not each.choices
        and not each.first_character_only
        and (output := reference[each.id].output) is not None
    }
    if len(expected) < FEWEST_ANSWERS:
        return None
    rates = [_rate(expected, twin) for twin in twins]
    passing = max([PASSING_ENDS, *(2 * rate for rate in rates if rate is not None)])
    failing = max(FAILING_ENDS, 2 * passing)
    return EndTest(expected, rare_test(passing, min(failing, 1.0), len(expected), risks))


def ends_elsewhere(one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether one answer is the beginning of the other, which goes on."""
    short, long = sorted((one, other), key=len)
    return len(long) > len(short) + _OWN_END and tuple(long[: len(short)]) == tuple(short)


def _rate(expected: Mapping[str, tuple[int, ...]], twin: Mapping[str, PackAnswer]) -> float | None:
    ends = [
        ends_elsewhere(expected[name], answer.output)
        for name, answer in twin.items()
        if name in expected and answer.output is not None
    ]
    return sum(ends) / len(ends) if len(ends) >= FEWEST_ANSWERS else None
