"""What rounding does to log-probabilities, as twins show it, and what is looked at of a shift.

A shift is a candidate's log-probability less the reference's, of a token of a text or a choice of a question.
Its size under rounding depends on how likely the token is: certain ones hardly move. So each is counted in
units of what the twins moved tokens as likely as it. Of these, each text or question gives one value per
statistic, counted in standard deviations between texts of a correct port: then all statistics have the same
limits, whatever the model and dtype.

Rounding has no direction and faults mostly do, so statistics beside the plain mean weigh each token with how
a known small fault would move it: such a sum finds that fault, and those like it, among much noise.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import fsum, sqrt
from statistics import fmean, pstdev
from types import MappingProxyType

Logprobs = Mapping[str, Sequence[float]]
"""By text or question: log-probabilities of its tokens or choices, in nats."""

LARGEST_Z = 4.0
"""A shift counts as no more than so many times what rounding does: one wild token decides nothing."""

LARGEST_SQUARE = 9.0
BINS = 12
LEAST_IN_BIN = 40
LEAST_NATS = 1e-6
"""What float32 itself is off by; less is no scale."""

REACH = 3.0
"""Standard deviations between units: a value farther from the centre counts as this."""

OUTLIER_TIMES = 2.0
"""Times the largest shift that a twin has in any text or question: one that is farther off is an outlier."""

PASSING_OUTLIERS = 0.002
"""Of texts or questions: so many may be outliers in a correct port."""

RARE_COUNT = 2
"""Of few: so many rare events decide nothing."""

BOUND = 0.5
"""Standard deviations between texts: means farther from a twin's centre than this are no correct port's. On
SmolLM2 in bfloat16, vLLM and another attention are up to 0.28 away from the twin of transformers, an
attention scale that is 2 % off 2.7, RoPE frequencies 1 % off 1.5."""

FEWEST_UNITS = 20
"""With fewer of a twin nothing is known of how they scatter."""

NONE_KNOWN: Mapping[str, Logprobs] = MappingProxyType({})


Weigh = Callable[[str, Sequence[float]], Sequence[float]]
"""Of a unit with these reference log-probabilities: the weight of each token."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How far rounding moves a log-probability, by how likely the token is."""

    edges: tuple[float, ...]
    """Reference log-probabilities between the bins, ascending; one fewer than `nats`."""

    nats: tuple[float, ...]
    """Root mean square of the twins' shifts in each bin."""

    def bin_of(self, logprob: float) -> int:
        """Return the bin of a reference log-probability."""
        return bisect_right(self.edges, logprob)

    def units(self, reference: Sequence[float], told: Sequence[float]) -> list[float]:
        """Return the shifts of `told` in units of what rounding does, each at most `LARGEST_Z`."""
        return [
            _cut((there - here) / self.nats[self.bin_of(here)], LARGEST_Z)
            for here, there in zip(reference, told, strict=True)
        ]

    def size(self, reference: Sequence[float], told: Sequence[float]) -> float:
        """Return the root mean square of all shifts in units of what rounding does, as large as they are."""
        return _rms(
            (there - here) / self.nats[self.bin_of(here)] for here, there in zip(reference, told, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Statistic:
    """One number of each text or question, in standard deviations from that of a correct port."""

    name: str
    weigh: Weigh
    of_squares: bool = False
    """Of the size of shifts, whatever their sign."""

    is_one_sided: bool = False
    """Less than a correct port is as good."""

    centre: float = 0.0
    deviation: float = 1.0

    def raw(self, unit: str, reference: Sequence[float], units: Sequence[float]) -> float:
        """Return the mean of the weighted shifts, or of their squares."""
        weights = self.weigh(unit, reference)
        if self.of_squares:
            return fmean(w * min(z * z, LARGEST_SQUARE) for w, z in zip(weights, units, strict=True))
        return fmean(w * z for w, z in zip(weights, units, strict=True))

    def value(self, unit: str, reference: Sequence[float], units: Sequence[float]) -> float:
        """Return the value of a unit, -`REACH` to `REACH`."""
        return _cut((self.raw(unit, reference, units) - self.centre) / self.deviation, REACH)


@dataclass(frozen=True, slots=True)
class Noise:
    """What a correct port does to one kind of unit, and the statistics that would show a faulty one."""

    reference: Logprobs
    scale: Scale
    statistics: tuple[Statistic, ...]
    twins: tuple[str, ...]
    """The computations that it was learnt from."""

    units: int
    """How many texts or questions they told, each of them; for several the fewest."""

    largest_size: float
    """Of the shifts of a text or question, by `Scale.size`: what no correct port exceeds."""

    def is_outlier(self, unit: str, told: Sequence[float]) -> bool:
        """Return whether `unit` is farther off than rounding takes any: its answer may be of another one."""
        return not self.scale.size(self.reference[unit], told) <= self.largest_size

    def values(self, unit: str, told: Sequence[float]) -> dict[str, float]:
        """Return the value of every statistic for what was told of a unit."""
        reference = self.reference[unit]
        units = self.scale.units(reference, told)
        return {each.name: each.value(unit, reference, units) for each in self.statistics}


def fit_noise(
    reference: Logprobs,
    twins: Mapping[str, Logprobs],
    directions: Mapping[str, Logprobs] = NONE_KNOWN,
    *,
    has_positions: bool,
) -> Noise | None:
    """Return what `twins` show of the units that `reference` told; `None` where it is too little.

    `directions` are what the reference told with a known small fault each, by the name of the fault. Units
    are texts, or questions whose choices have log-probabilities, which have no positions.
    """
    told = {name: each for name, each in twins.items() if len(each) >= FEWEST_UNITS}
    if not told:
        return None
    scale = fit_scale(
        (here, there - here)
        for answers in told.values()
        for unit, logprobs in answers.items()
        for here, there in zip(reference[unit], logprobs, strict=True)
    )
    drafts = [*_generic(scale, has_positions=has_positions), *_directed(directions, reference, scale)]
    fitted = [_fitted(each, list(told.values()), reference, scale) for each in drafts]
    return Noise(
        reference,
        scale,
        tuple(each for each in fitted if each),
        tuple(told),
        min(map(len, told.values())),
        OUTLIER_TIMES
        * max(
            scale.size(reference[unit], logprobs)
            for answers in told.values()
            for unit, logprobs in answers.items()
        ),
    )


def fit_scale(shifts: Iterable[tuple[float, float]]) -> Scale:
    """Return the scale of pairs of a reference log-probability and a twin's shift from it.

    Bins hold equally many pairs, `BINS` of them where each has `LEAST_IN_BIN`. Tokens that are equally likely
    are in one bin, however many they are.

    Raises: ValueError without any.
    """
    pairs = sorted(shifts)
    if not pairs:
        raise ValueError("there is no shift to tell the scale of")
    count = max(1, min(BINS, len(pairs) // LEAST_IN_BIN))
    known = [logprob for logprob, _ in pairs]
    inner = {bisect_left(known, known[len(pairs) * each // count]) for each in range(1, count)}
    cuts = [0, *sorted(inner - {0}), len(pairs)]
    parts = [pairs[begin:end] for begin, end in pairwise(cuts)]
    whole = _rms(shift for _, shift in pairs)
    nats = tuple(max(_rms(shift for _, shift in part), whole / 100, LEAST_NATS) for part in parts)
    return Scale(tuple(part[0][0] for part in parts[1:]), nats)


def _generic(scale: Scale, *, has_positions: bool) -> list[Statistic]:
    """Return the statistics that need no known fault."""

    def likelihood(_: str, reference: Sequence[float]) -> Sequence[float]:
        half = max((len(scale.nats) - 1) / 2, 0.5)
        return [(scale.bin_of(each) - half) / half for each in reference]

    found = [
        Statistic("shift", _ones),
        Statistic("shift by likelihood", likelihood),
        Statistic("spread", _ones, of_squares=True, is_one_sided=True),
    ]
    if has_positions:
        found.append(Statistic("shift by position", _positions))
        found.append(Statistic("spread by position", _positions, of_squares=True))
    return found


def _directed(directions: Mapping[str, Logprobs], reference: Logprobs, scale: Scale) -> list[Statistic]:
    """Return a statistic for each known fault: tokens weigh as that fault moves them."""
    found = []
    for name, told in directions.items():
        weights = {unit: scale.units(reference[unit], logprobs) for unit, logprobs in told.items()}
        size = _rms(each for of_unit in weights.values() for each in of_unit)
        if size == 0:
            continue  # the fault does nothing to this model
        weights = {unit: [_cut(each / size, LARGEST_Z) for each in own] for unit, own in weights.items()}
        found.append(Statistic(f"like {name}", _looked_up(weights)))
    return found


def _looked_up(weights: Logprobs) -> Weigh:
    def weigh(unit: str, reference: Sequence[float]) -> Sequence[float]:
        return weights.get(unit) or [0.0] * len(reference)

    return weigh


def _fitted(
    draft: Statistic, twins: Sequence[Logprobs], reference: Logprobs, scale: Scale
) -> Statistic | None:
    """Return `draft` with the centre and deviation that the twins show; `None` where it never varies."""
    values = [
        draft.raw(unit, reference[unit], scale.units(reference[unit], logprobs))
        for answers in twins
        for unit, logprobs in answers.items()
    ]
    deviation = pstdev(values)
    if deviation == 0:
        return None
    return replace(draft, centre=fmean(values), deviation=deviation)


def _ones(_: str, reference: Sequence[float]) -> Sequence[float]:
    return [1.0] * len(reference)


def _positions(_: str, reference: Sequence[float]) -> Sequence[float]:
    half = max((len(reference) - 1) / 2, 0.5)
    return [(at - half) / half for at in range(len(reference))]


def _rms(values: Iterable[float]) -> float:
    squares = [each * each for each in values]
    return sqrt(fsum(squares) / len(squares)) if squares else 0.0


def _cut(value: float, largest: float) -> float:
    return max(-largest, min(largest, value))
