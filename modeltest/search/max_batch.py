"""The order of a search: two small probes, upward to the limit, into the bracket, and the certificate.

What is proposed is cheap to be wrong about; what is reported is not. So a probe goes only as far as it must
to choose the next batch size, and the answer and the batch above it are then measured in full. Where these
contradict what was found on the way, the search goes on with what they say.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from math import exp, log

from modeltest.api import ProbeDecision
from modeltest.search.evidence import Evidence
from modeltest.search.trial_plan import Ask, Reading, SearchRange

SECOND_PROBE = 4
"""The second probe is this many times the first: far enough apart for a slope, and still small."""

MOST_GROWTH = 8
"""No probe is more than this many times the largest batch size that has worked."""

MOST_BATCH_SIZES = 24
"""A search that has tried as many, with an engine that contradicts itself, ends with what it has."""

RESTLESS_FROM_TRIALS = 8
RESTLESS_FROM_WIDTH = 0.04
"""So many trials of full length that decided nothing of their batch sizes, and a test that wide: the search
settles for less.

On an engine that holds its rate, a batch size that will not pass is mostly seen by its screens or by two
trials. Where the rate itself moves, by other work or by a clock that throttles, trials go on being undecided:
each further batch size costs as much as the last, and is as likely to be lost."""

WORTHWHILE = 0.5
"""Another batch size is tried for a gain in latency of at least this part of the width of the test."""

_TOWARDS_A_ROUND_NUMBER = 8
"""A proposal may move to a rounder number by this part of its distance from what was measured."""

_STEP_SIZE = 8
"""Multiples of this are where the latency of kernels may jump."""

Trials = Generator[Ask, Reading, None]


def search_max_batch(bounds: SearchRange, evidence: Evidence) -> Trials:
    """Yield the trials to run; each `yield` evaluates to what was read, which `evidence` then holds.

    Deterministic: equal readings give equal questions. A batch size that ran out of memory, failed, or would
    not fit by the peaks of smaller ones is never asked for again.
    """
    return _Search(bounds, evidence).run()


def top_of(bounds: SearchRange, evidence: Evidence) -> int:
    """Return the largest batch size that may be tried: the end of the range, or of memory if known."""
    tops = [bounds.highest]
    if bounds.too_large is not None:
        tops.append(bounds.too_large - 1)
    predicted = evidence.largest_that_fits()
    if predicted is not None:
        tops.append(predicted)
    return min(tops)


@dataclass(slots=True)
class _Search:
    bounds: SearchRange
    evidence: Evidence
    has_stalled: bool = False
    """Whether a proposal of the line did not halve the bracket; from then on it is bisected."""

    failures_above: int = 0
    """How many proposals have failed since the best batch size was found."""

    contradictions: int = 0
    """How often the batch above a certified one passed as well."""

    def run(self) -> Trials:
        yield from self._start()
        while self._top() >= self.bounds.lowest:
            good = self._good()
            if good is None:
                yield from self._measure(self.bounds.lowest, self.evidence.effort.bound_trials)
                if self._good() is None:
                    return
            elif len(self.evidence) >= MOST_BATCH_SIZES or self._is_restless():
                yield from self._settle()
                return
            elif (proposal := self._propose()) is not None:
                yield from self._try(proposal)
            elif (yield from self._certify()):
                return

    def _start(self) -> Trials:
        """Measure the lowest batch size and a small one: for the line of latency and for that of memory."""
        lowest = self.bounds.lowest
        if lowest > self._top():
            return
        yield from self._measure(lowest, 1)
        second = min(SECOND_PROBE * lowest, self._top())
        if second > lowest and self._passes(lowest):
            yield from self._try(second)
            if self._passes(second):
                yield from self._measure(second, 1)

    def _try(self, batch_size: int) -> Trials:
        """Run trials of `batch_size` until it is decided or can hardly pass, the cheapest first."""
        width, good = self._width(), self._good()
        while self._may_pass(batch_size):
            if self.evidence.screens_are_worth_it(batch_size):
                yield from self._run(Ask(batch_size, is_screen=True))
            else:
                yield from self._run(self._full_length(batch_size))
        after = self._width()
        self.has_stalled |= width is not None and after is not None and 2 * after > width
        self.failures_above = self.failures_above + 1 if self._good() == good else 0

    def _certify(self) -> Generator[Ask, Reading, bool]:
        """Measure the best batch size and the one above it in full; return whether that ends the search."""
        good = self._good()
        assert good is not None
        for trials in range(1, self.evidence.effort.answer_trials + 1):
            yield from self._measure(good, trials)
            if self._good() != good or self._propose() is not None:
                return False
        above = good + 1
        if above > self._top():
            return True
        yield from self._measure(
            above, self.evidence.effort.bound_trials, unless=self.evidence.is_lost_in_scatter
        )
        if self.evidence.is_lost_in_scatter(above) or not self._passes(above):
            # The trials of `above` may have shown so much noise that `good` is no longer certified.
            return self._passes(good)
        self.contradictions += 1
        if self._is_within_noise(above):
            yield from self._measure(above, self.evidence.effort.answer_trials)
            return self._passes(above) or self._passes(good)
        return False

    def _settle(self) -> Trials:
        """Certify a batch size that the line has well below the limit: two widths of the test, then four, ...

        Nothing is measured above it: what lies there is more than this engine's scatter lets one know.
        """
        margin = 2 * self.evidence.resolution(self.evidence.effort.answer_trials)
        while (good := self._good()) is not None:
            line = self.evidence.latency_fit()
            within = line.last_within(self.evidence.limit_ms * exp(-margin)) if line else good // 2
            candidate = max(self.bounds.lowest, min(self._ceiling(good), within))
            if any(self.evidence.is_certified(size) for size in self.evidence.passing() if size >= candidate):
                return
            yield from self._measure(candidate, self.evidence.effort.answer_trials)
            margin *= 2

    def _measure(
        self, batch_size: int, trials: int, *, unless: Callable[[int], bool] = lambda _: False
    ) -> Trials:
        """Run trials of full length: as many, and more until something is decided. The first warms up.

        None is run where `unless` is true of the batch size.
        """
        effort = self.evidence.effort
        found = self.evidence.of(batch_size)
        while not found.has_ended and len(found.trials_ms) < effort.most_trials:
            decision = self.evidence.decision(batch_size)
            done = len(found.trials_ms)
            if unless(batch_size):
                return
            if decision is not ProbeDecision.OPEN and done >= trials:
                return
            if decision is ProbeDecision.FAIL and done >= min(trials, effort.bound_trials):
                return
            yield from self._run(self._full_length(batch_size))
            found = self.evidence.of(batch_size)

    def _run(self, ask: Ask) -> Trials:
        reading = yield ask
        self.evidence.add(ask, reading)

    def _full_length(self, batch_size: int) -> Ask:
        # A screen warms up what a batch size needs and takes a part of the time: a first trial that is slow
        # nevertheless is set aside as a disturbed one, and decides nothing alone.
        found = self.evidence.of(batch_size)
        is_cold = not (found.warmups_ms or found.screens_ms)
        can_screen = self.evidence.can_screen
        return Ask(batch_size, is_screen=is_cold and can_screen, is_warmup=is_cold and not can_screen)

    def _propose(self) -> int | None:
        """Return the next batch size to try, or `None` when the best one is to be certified."""
        good, bad = self._good(), self._bad()
        assert good is not None
        ceiling = self._ceiling(good)
        if ceiling <= good or ((self.has_stalled or self.contradictions) and self._is_within_noise(good)):
            return None
        aim = self._aim(good)
        if bad is not None and (self.has_stalled or (aim == bad - 1 and self._gave_no_reading(bad))):
            return self._split(good, bad)
        if aim > good:
            return _roundest_near(aim, self._slack(aim), good + 1, ceiling)
        if not self.contradictions or (self.contradictions == 1 and self._reaches_the_limit(good)):
            return None
        return self._split(good, bad) if bad is not None else min(ceiling, good + 2**self.contradictions)

    def _gave_no_reading(self, batch_size: int) -> bool:
        return self.evidence.of(batch_size).has_ended

    def _ceiling(self, good: int) -> int:
        """Return the largest batch size that may be proposed now."""
        bad = self._bad()
        return min(self._top(), MOST_GROWTH * good, *([bad - 1] if bad is not None else []))

    def _aim(self, good: int) -> int:
        """Return the largest batch size that should pass by the line, the width of the test left free.

        That is `good` where too little would be gained for another batch size.
        """
        line, bad, ceiling = self.evidence.latency_fit(), self._bad(), self._ceiling(good)
        if line is None:
            return ceiling
        resolution = self.evidence.resolution(self.evidence.effort.answer_trials)
        aim = min(ceiling, line.last_within(self.evidence.limit_ms * exp(-resolution)))
        is_held_back = aim == ceiling and (bad is None or self._gave_no_reading(bad))
        if aim <= good or is_held_back or line.latency_ms(good) <= 0:
            return aim
        gain = log(line.latency_ms(aim) / line.latency_ms(good))
        return aim if gain > WORTHWHILE * resolution else good

    def _slack(self, aim: int) -> int:
        nearest = min(abs(aim - found.batch_size) for found in self.evidence)
        return nearest // _TOWARDS_A_ROUND_NUMBER

    def _split(self, good: int, bad: int) -> int:
        """Return a batch size inside a bracket that the line does not see through.

        Steps end at round numbers: where the best so far is rounder than all above it, the next one may
        settle the search.
        """
        if self.failures_above and good % _STEP_SIZE == 0 and good % _roundness(good + 1, bad - 1) == 0:
            return good + 1
        return _roundest_near((good + bad) // 2, (bad - good) * 7 // 16, good + 1, bad - 1)

    def _reaches_the_limit(self, good: int) -> bool:
        line = self.evidence.latency_fit()
        return line is not None and line.last_within(self.evidence.limit_ms) <= good

    def _is_within_noise(self, good: int) -> bool:
        """Say whether one row more changes too little to be seen, and the line promises no more than that."""
        line = self.evidence.latency_fit()
        if line is None or line.latency_ms(good) <= 0:
            return False
        resolution = self.evidence.resolution(self.evidence.effort.most_trials)
        one_row = log(line.latency_ms(good + 1) / line.latency_ms(good))
        return one_row < WORTHWHILE * resolution and self._aim(good) <= good

    def _is_restless(self) -> bool:
        """Say whether many trials have decided nothing, and not for a near tie on a steady engine."""
        undecided = (ProbeDecision.OPEN, ProbeDecision.BORDERLINE)
        lost = [
            len(found.trials_ms)
            for found in self.evidence
            if self.evidence.decision(found.batch_size) in undecided
        ]
        width = self.evidence.resolution(self.evidence.effort.answer_trials)
        return sum(lost) >= RESTLESS_FROM_TRIALS and width > RESTLESS_FROM_WIDTH

    def _may_pass(self, batch_size: int) -> bool:
        is_open = self.evidence.decision(batch_size) is ProbeDecision.OPEN
        return is_open and not self.evidence.is_given_up(batch_size)

    def _passes(self, batch_size: int) -> bool:
        return self.evidence.decision(batch_size) is ProbeDecision.PASS

    def _good(self) -> int | None:
        bad = self._bad()
        return max((size for size in self.evidence.passing() if bad is None or size < bad), default=None)

    def _bad(self) -> int | None:
        return min((*self.evidence.infeasible(), *self.evidence.given_up()), default=None)

    def _top(self) -> int:
        return top_of(self.bounds, self.evidence)

    def _width(self) -> int | None:
        good, bad = self._good(), self._bad()
        return None if good is None or bad is None else bad - good


def _roundest_near(number: int, slack: int, lowest: int, highest: int) -> int:
    """Return the number of `lowest`..`highest` within `slack` of `number` that has the most factors of two.

    The nearest of them where there are several.
    """
    begin, end = max(lowest, number - slack), min(highest, number + slack)
    if begin > end:
        return max(lowest, min(highest, number))
    power = _roundness(begin, end)
    first = -(-begin // power) * power
    return min(range(first, end + 1, power), key=lambda found: abs(found - number))


def _roundness(lowest: int, highest: int) -> int:
    """Return the largest power of two that divides a number of `lowest`..`highest`."""
    power = 1
    while -(-lowest // (2 * power)) * 2 * power <= highest:
        power *= 2
    return power
