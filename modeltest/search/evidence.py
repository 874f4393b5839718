"""Everything measured of one case so far, and what it proves of each batch size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import log
from statistics import median

from modeltest.api import ProbeDecision
from modeltest.search.batch_evidence import BatchEvidence
from modeltest.search.foresight import can_hardly_exceed, can_hardly_pass, is_hopeless
from modeltest.search.latency_fit import LatencyFit, Point, fit
from modeltest.search.memory_bound import largest_that_fits
from modeltest.search.sequential_test import (
    CONFIDENCE,
    LatencyInterval,
    Spread,
    half_width,
    interval,
    may_be_disturbed,
    pool,
    undisturbed,
)
from modeltest.search.trial_plan import FULL_EFFORT, Ask, Effort, Reading

CERTIFICATE_RISK = 0.005
"""The chance of certifying a batch that is over the limit: the first candidate may spend half of it, the
next half of what is left, and so on, so that a search with many candidates is no surer to err."""

MOST_WARM_SCREENS = 3

CLOSE = 1.5
"""An answer farther below the limit than so many widths of the test is one that the line did not expect."""


@dataclass(slots=True)
class Evidence:
    """The readings of one search and the decisions they allow; nothing else decides."""

    limit_ms: float
    effort: Effort = FULL_EFFORT
    can_screen: bool = True
    """Whether a trial of few tokens is much cheaper than one of full length."""

    memory_limit_bytes: int | None = field(default=None, init=False)
    _batches: dict[int, BatchEvidence] = field(default_factory=dict, init=False)
    _candidates: list[int] = field(default_factory=list, init=False)
    _decisions: dict[int, ProbeDecision] = field(default_factory=dict, init=False)
    _given_up: dict[int, bool] = field(default_factory=dict, init=False)
    """Both worked out since the last reading; any reading may change any decision."""

    def add(self, ask: Ask, reading: Reading) -> None:
        """Note what `ask` gave."""
        found = self._batches.setdefault(ask.batch_size, BatchEvidence(ask.batch_size))
        found.add(ask, reading)
        self._decisions.clear()
        self._given_up.clear()
        if reading.memory_limit_bytes is not None:
            self.memory_limit_bytes = reading.memory_limit_bytes
        if len(found.trials_ms) >= self.effort.answer_trials and found.batch_size not in self._candidates:
            self._candidates.append(found.batch_size)

    def __iter__(self) -> Iterator[BatchEvidence]:
        """Yield the batch sizes in the order they were first tried."""
        return iter(self._batches.values())

    def __len__(self) -> int:
        return len(self._batches)

    def of(self, batch_size: int) -> BatchEvidence:
        """Return what is known of `batch_size`; it may be nothing."""
        return self._batches.get(batch_size) or BatchEvidence(batch_size)

    def decision(self, batch_size: int) -> ProbeDecision:
        """Return what the readings of `batch_size` prove: its trials of full length, or else its screens.

        Screens can only pass for the time being; they can fail for good, because a step takes longer the
        longer the context has grown.
        """
        if batch_size not in self._decisions:
            self._decisions[batch_size] = self._decide(self.of(batch_size))
        return self._decisions[batch_size]

    def is_certified(self, batch_size: int) -> bool:
        """Say whether `batch_size` passed with the trials an answer takes."""
        trials = len(self.of(batch_size).trials_ms)
        return trials >= self.effort.answer_trials and self.decision(batch_size) is ProbeDecision.PASS

    def interval(self, batch_size: int) -> LatencyInterval | None:
        """Return where the latency of full length lies; `None` without a warm trial."""
        found = self.of(batch_size)
        if not found.trials_ms:
            return None
        return interval(found.trials_ms, self._elsewhere(found), high=self._pass_confidence(found))

    def passing(self) -> list[int]:
        """Return the batch sizes that pass, for good or for the time being, ascending."""
        return sorted(size for size in self._batches if self.decision(size) is ProbeDecision.PASS)

    def infeasible(self, *, or_borderline: bool = True) -> list[int]:
        """Return the batch sizes that do not do, whatever the reason, ascending."""
        others = {ProbeDecision.PASS, ProbeDecision.OPEN}
        if not or_borderline:
            others.add(ProbeDecision.BORDERLINE)
        return sorted(size for size in self._batches if self.decision(size) not in others)

    def is_given_up(self, batch_size: int) -> bool:
        """Say whether an open `batch_size` can hardly pass any more, without the slowest trial too.

        Then it does not matter to the search whether it exceeds the limit or is borderline.
        """
        if batch_size not in self._given_up:
            self._given_up[batch_size] = self._gives_up(self.of(batch_size))
        return self._given_up[batch_size]

    def given_up(self) -> list[int]:
        """Return the batch sizes that are given up, ascending."""
        return sorted(size for size in self._batches if self.is_given_up(size))

    def is_lost_in_scatter(self, batch_size: int) -> bool:
        """Say whether trials can hardly show that `batch_size`, the one above an answer, exceeds the limit.

        That is foreseen from the trials of both and the line. At least one of its own must not deny the line,
        for kernels work in steps. And the answer must be close to the limit: else the line has been wrong.
        """
        answer, line = self.of(batch_size - 1), self.latency_fit()
        where = self.interval(answer.batch_size)
        if where is None or line is None or line.latency_ms(answer.batch_size) <= 0:
            return False
        one_row = line.latency_ms(batch_size) / line.latency_ms(answer.batch_size)
        is_close = log(self.limit_ms / where.mean_ms) < CLOSE * self.resolution(self.effort.answer_trials)
        return is_close and can_hardly_exceed(
            self.of(batch_size).trials_ms,
            [one_row * latency_ms for latency_ms in answer.trials_ms],
            self._pooled(self),
            limit_ms=self.limit_ms,
            most_trials=self.effort.most_trials,
        )

    def screens_are_worth_it(self, batch_size: int) -> bool:
        """Say whether the next trial of `batch_size` should be a screen."""
        found = self.of(batch_size)
        if not self.can_screen or found.warmups_ms or found.trials_ms or found.has_ended:
            return False
        warm = found.warm_screens_ms
        return not warm or (len(warm) < MOST_WARM_SCREENS and median(warm) > self.limit_ms)

    def latency_fit(self) -> LatencyFit | None:
        """Return the line through everything timed so far, for trials of full length."""
        points = []
        for found in self:
            if found.trials_ms:
                kept = undisturbed(found.trials_ms)
                points.append(Point(found.batch_size, median(kept), len(kept)))
            elif found.warm_screens_ms:
                estimate = median(found.warm_screens_ms) * self._full_per_screen()
                points.append(Point(found.batch_size, estimate))
        return fit(points, self.limit_ms)

    def largest_that_fits(self) -> int | None:
        """Return the largest batch size that memory is predicted to hold; `None` when nothing says."""
        peaks = {
            found.batch_size: found.peak_memory_bytes
            for found in self
            if found.peak_memory_bytes is not None and not found.has_ended
        }
        return largest_that_fits(peaks, self.memory_limit_bytes)

    def resolution(self, trials: int) -> float:
        """Return the relative half-width to expect of the interval of a new batch size."""
        return half_width(
            self._pooled(self), trials, confidence=_certificate_confidence(len(self._candidates))
        )

    def _decide(self, found: BatchEvidence) -> ProbeDecision:
        if found.out_of_memory:
            return ProbeDecision.OUT_OF_MEMORY
        if found.has_failed:
            return ProbeDecision.FAILED
        if found.trials_ms:
            return self._decide_trials(found)
        return self._decide_screens(found) if found.warm_screens_ms else ProbeDecision.OPEN

    def _decide_trials(self, found: BatchEvidence) -> ProbeDecision:
        where = interval(found.trials_ms, self._elsewhere(found), high=self._pass_confidence(found))
        if where.high_ms <= self.limit_ms:
            return ProbeDecision.PASS
        if self._fails(found.trials_ms, self._elsewhere(found)):
            return ProbeDecision.FAIL
        return ProbeDecision.BORDERLINE if self._is_hopeless(found) else ProbeDecision.OPEN

    def _decide_screens(self, found: BatchEvidence) -> ProbeDecision:
        screens = found.warm_screens_ms
        where = interval(screens, self._pooled(self))
        if where.high_ms * self._full_per_screen() <= self.limit_ms:
            return ProbeDecision.PASS
        return ProbeDecision.FAIL if self._fails(screens, self._pooled(self)) else ProbeDecision.OPEN

    def _fails(self, latencies_ms: Sequence[float], elsewhere: Spread) -> bool:
        """Say whether the lower bound is above the limit without the slowest trial: one must not decide."""
        others = sorted(latencies_ms)[:-1]
        return bool(others) and interval(others, elsewhere).low_ms > self.limit_ms

    def _is_hopeless(self, found: BatchEvidence) -> bool:
        """Say whether the trials left can hardly decide, without the slowest too: one must not decide."""
        left, elsewhere = self._trials_left(found), self._elsewhere(found)
        high = self._pass_confidence(found)
        return left <= 0 or all(
            is_hopeless(trials, elsewhere, limit_ms=self.limit_ms, trials_left=left, high=high)
            for trials in _with_and_without_the_slowest(found.trials_ms)
        )

    def _gives_up(self, found: BatchEvidence) -> bool:
        elsewhere = self._elsewhere(found)
        if self.decision(found.batch_size) is not ProbeDecision.OPEN:
            return False
        if may_be_disturbed(found.trials_ms, elsewhere):
            return False
        left = self._trials_left(found)
        # It would have to pass the certificate, whose bound is the stricter one.
        high = self._pass_confidence(found, _certificate_confidence(len(self._candidates)))
        return all(
            can_hardly_pass(trials, elsewhere, limit_ms=self.limit_ms, trials_left=left, high=high)
            for trials in _with_and_without_the_slowest(found.trials_ms)
        )

    def _trials_left(self, found: BatchEvidence) -> int:
        return self.effort.most_trials - len(found.trials_ms)

    def _pass_confidence(self, found: BatchEvidence, otherwise: float = CONFIDENCE) -> float:
        if found.batch_size not in self._candidates:
            return otherwise
        return _certificate_confidence(self._candidates.index(found.batch_size))

    def _elsewhere(self, found: BatchEvidence) -> Spread:
        return self._pooled(self._others(found))

    def _others(self, found: BatchEvidence) -> Iterator[BatchEvidence]:
        return (each for each in self if each.batch_size != found.batch_size)

    @staticmethod
    def _pooled(batches: Iterator[BatchEvidence] | Evidence) -> Spread:
        return pool(each.scatter for each in batches)

    def _full_per_screen(self) -> float:
        """Return how much longer a step takes at full length, by the largest batch that had both."""
        both = [each for each in self if each.trials_ms and each.warm_screens_ms]
        if not both:
            return 1.0
        largest = max(both, key=lambda each: each.batch_size)
        ratio: float = median(largest.trials_ms) / median(largest.warm_screens_ms)
        return max(1.0, ratio)


def _with_and_without_the_slowest(latencies_ms: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    return latencies_ms, sorted(latencies_ms)[:-1]


def _certificate_confidence(candidates_before: int) -> float:
    """Return the confidence of the upper bound of a candidate after so many others."""
    return 1 - CERTIFICATE_RISK * 0.5 ** (candidates_before + 1)
