"""Answers that were certified, held against the same questions asked again. Pure.

Two correct computations of one checkpoint in one dtype differ by rounding. How far that goes, the twins of
the pack show: none of their answers was farther from the reference than so much. Another correct one may be
half as far again, and two of them on opposite sides. Answers that are farther from each other, or other
answers to a question that rounding does not flip, were not both given by this checkpoint in this dtype.

A small fault moves no answer as far as that, and neither does a copy of the reference. Both are seen in all
drawn answers together: every statistic of the acceptance test, as the mean of what one computation differs
from the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, comb, fsum, sqrt
from statistics import fmean

from modeltest.acceptance.judging import cut_of
from modeltest.acceptance.pack_noise import noise_of
from modeltest.api import Pack, PackAnswer, Role
from modeltest.certificate.checks import Check, State
from modeltest.sequential import draw_order
from modeltest.shifts.noise import BOUND, Noise

FORGED = 0.05
"""The share of answers that is told of how likely it would have been found."""

RISK = 1e-4
"""That the generated answers of two correct computations are taken for forged ones, by the twins' rate."""

FEWEST_TOGETHER = 10
"""Of fewer answers the mean says little."""

DEVIATIONS = 4.0
"""Standard errors that the means of two correct ones may differ by chance, beside the bound of each."""

_NAMED = 4
_TIMES = 3.0
"""As far as the farthest answer of a twin is from the reference: for each of two, and half as far again."""

Answers = Mapping[str, PackAnswer | None]
"""By question or text; `None` where it failed."""


@dataclass(frozen=True, slots=True)
class Closeness:
    """How far two correct computations may be from each other, of one kind of unit."""

    noise: Noise
    limit: float
    """Root mean square over the tokens or choices of a unit, in units of what rounding does to one."""

    def ratio(self, unit: str, one: Sequence[float], other: Sequence[float]) -> float:
        """Return how far two answers are from each other, in limits."""
        return _distance(self.noise, unit, one, other) / self.limit


def drawn(ids: Iterable[str], count: int, seed: int) -> tuple[str, ...]:
    """Return `count` of `ids` at random, without replacement; all where there are no more."""
    return draw_order(sorted(ids), seed)[:count]


def chance_to_find(answers: int, asked: int, share: float = FORGED) -> float:
    """Return how likely one of a share of forged answers is among `asked`, drawn without replacement."""
    forged = ceil(answers * share)
    return 1 - comb(answers - forged, asked) / comb(answers, asked)


def closeness_of(
    pack: Pack, units: Sequence[str], dtype: str | None, *, has_positions: bool
) -> Closeness | None:
    """Return what the twins show of `units`; `None` where they show too little, or no rounding at all."""
    noise = noise_of(pack, units, dtype, has_positions=has_positions)
    if noise is None:
        return None
    largest = max(
        _distance(noise, unit, noise.reference[unit], answer.logprobs)
        for twin in noise.twins
        for unit, answer in pack.answers[twin].items()
        if unit in noise.reference and answer.logprobs
    )
    return Closeness(noise, _TIMES * largest) if largest else None


def check_again(pack: Pack, then: Answers, now: Answers, *, dtype: str | None, told: str) -> Check:
    """Hold answers `then` against those `now`, which are some of them; `told` says how they were drawn."""
    shifts = list(_shifts(pack, then, now, dtype))
    ratios = {name: ratio for each in shifts for name, ratio in each.ratios().items()}
    generated, rate = _generated(pack, then, now), _generated_rate(pack)
    far = sorted((name for name, ratio in ratios.items() if ratio > 1), key=lambda name: -ratios[name])
    named = [f"{name} ({ratios[name]:.1f} times as far off as two correct computations)" for name in far]
    named += [f"{name} (another answer)" for name in _wide_flips(pack, then, now) if name not in far]
    if rate is not None and _tail(len(generated), sum(generated.values()), rate) < RISK:
        named.append(f"{sum(generated.values())} of {len(generated)} generated answers are others")
    named += [line for each in shifts for line in each.together()]
    if named:
        more = f"; and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        return Check("recomputed", State.DIFFERS, f"{told}: {'; '.join(named[:_NAMED])}{more}")
    failed = [name for name in now if then[name] is not None and now[name] is None]
    compared = len(ratios) + (0 if rate is None else len(generated))
    if failed or not compared:
        why = f"{len(failed)} were not answered" if failed else "the twins of the pack told none of them"
        return Check("recomputed", State.NOT_CHECKED, f"{told}: {why}")
    others = len(now) - compared
    return Check("recomputed", State.HELD, f"{told}, {_held(ratios, compared, others, len(then))}")


def _held(ratios: Mapping[str, float], compared: int, others: int, answers: int) -> str:
    """Return what was compared, and how likely it would have shown forged answers."""
    untold = f" and {others} that no twin tells, or that failed" if others else ""
    widest = f", the farthest {max(ratios.values()):.2f} of the limit" if ratios else ""
    chance = f"{chance_to_find(answers, compared):.2%} to find one if {FORGED:.0%} were forged"
    return f"{compared} compared{untold}{widest}; {chance}"


@dataclass(frozen=True, slots=True)
class _Shifts:
    """Two computations of the same texts, or of the same questions."""

    of: str
    close: Closeness
    both: Sequence[tuple[str, PackAnswer, PackAnswer]]

    def ratios(self) -> dict[str, float]:
        """Return how far each answer is from the other, in limits."""
        return {name: self.close.ratio(name, one.logprobs, other.logprobs) for name, one, other in self.both}

    def together(self) -> Iterator[str]:
        """Yield the statistics in which they differ in the mean, as two correct computations do not."""
        count, values = len(self.both), self.close.noise.values
        if count < FEWEST_TOGETHER:
            return
        limit = 2 * BOUND + DEVIATIONS * sqrt(2 / count)
        pairs = [(values(name, one.logprobs), values(name, other.logprobs)) for name, one, other in self.both]
        for statistic in self.close.noise.statistics:
            mean = fmean(one[statistic.name] - other[statistic.name] for one, other in pairs)
            if abs(mean) > limit:
                yield f"{statistic.name} of all {self.of}: {mean:+.2f} deviations, {limit:.2f} are allowed"


def _shifts(pack: Pack, then: Answers, now: Answers, dtype: str | None) -> Iterator[_Shifts]:
    """Yield what both have log-probabilities of, by kind."""
    kinds = (
        ("questions", [each.id for each in pack.questions], False),
        ("texts", [each.id for each in pack.texts], True),
    )
    for of, units, has_positions in kinds:
        both = list(_both(units, then, now, lambda answer: bool(answer.logprobs)))
        close = closeness_of(pack, units, dtype, has_positions=has_positions) if both else None
        if close is not None:
            yield _Shifts(of, close, both)


def _wide_flips(pack: Pack, then: Answers, now: Answers) -> list[str]:
    """Return the choices that are other ones, where the margin of the reference is one that none flips."""
    cut = cut_of(pack)
    wide = (each.id for each in pack.questions if (pack.reference[each.id].margin or 0.0) > cut)
    both = _both(wide, then, now, lambda answer: bool(answer.logprobs))
    return [name for name, one, other in both if one.predicted != other.predicted]


def _generated(pack: Pack, then: Answers, now: Answers) -> dict[str, bool]:
    """Return of each generated answer whether it is another."""
    asked = (each.id for each in pack.questions if not each.choices)
    both = _both(asked, then, now, lambda answer: not answer.logprobs)
    return {name: one.predicted != other.predicted for name, one, other in both}


def _generated_rate(pack: Pack) -> float | None:
    """Return how often two correct computations generate other answers, at most; `None` if that is unknown.

    Twice the highest rate of a twin, as three more would have it: each of two differs from the reference.
    """
    asked = {each.id for each in pack.questions if not each.choices}
    rates = []
    for twin in pack.of_role(Role.TWIN):
        told = [answer for name, answer in pack.answers[twin.name].items() if name in asked]
        differing = sum(answer.predicted != pack.reference[answer.id].predicted for answer in told)
        rates += [(differing + 3) / len(told)] if told else []
    return min(1.0, 2 * max(rates)) if rates else None


def _both(
    ids: Iterable[str], then: Answers, now: Answers, is_told: Callable[[PackAnswer], bool]
) -> Iterator[tuple[str, PackAnswer, PackAnswer]]:
    for name in ids:
        one, other = then.get(name), now.get(name)
        if one is not None and other is not None and is_told(one) and is_told(other):
            yield name, one, other


def _distance(noise: Noise, unit: str, one: Sequence[float], other: Sequence[float]) -> float:
    scale, reference = noise.scale, noise.reference[unit]
    squares = [
        ((there - here) / scale.nats[scale.bin_of(known)]) ** 2
        for known, here, there in zip(reference, one, other, strict=True)
    ]
    return sqrt(fsum(squares) / len(squares))


def _tail(trials: int, successes: int, rate: float) -> float:
    """Return the probability of so many successes or more."""
    counts = range(successes, trials + 1)
    return fsum(comb(trials, each) * rate**each * (1 - rate) ** (trials - each) for each in counts)
