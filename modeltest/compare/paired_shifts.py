"""How far a candidate moves choices from where a twin moves them, in pairs of questions. Pure.

All questions of both runs are known, so the mean of the differences over them is known too. What chance there
is lies in the rounding: another right computation would have come out differently in each question.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp, sqrt
from statistics import NormalDist, fmean, stdev

from modeltest.search.student_t import t_quantile
from modeltest.shifts.noise import Logprobs, Noise

_PINELIS = 2 * exp(3) / 9


@dataclass(frozen=True, slots=True)
class PairedShift:
    """One statistic of the candidate less that of a twin, in deviations between questions of a right port."""

    statistic: str
    is_one_sided: bool
    """More is worse, and less as good."""

    twin: str
    questions: int
    mean: float
    error: float
    """Standard error of the mean."""

    p_value: float
    """How often another right computation is as far from the twin, at most."""

    def reach(self, risk: float) -> float:
        """Return what the mean stays below in size but for a probability of `risk`."""
        size = self.mean if self.is_one_sided else abs(self.mean)
        return size + self.error * t_quantile(1 - risk, self.questions - 1)


def paired_shifts(noise: Noise, candidate: Logprobs, twins: Mapping[str, Logprobs]) -> Iterator[PairedShift]:
    """Yield every statistic against every twin, of the questions that the candidate told."""
    told = {unit: noise.values(unit, logprobs) for unit, logprobs in candidate.items()}
    for twin, answers in twins.items():
        values = {unit: noise.values(unit, answers[unit]) for unit in told}
        for statistic in noise.statistics:
            name = statistic.name
            differences = [told[unit][name] - values[unit][name] for unit in told]
            yield PairedShift(
                statistic=name,
                is_one_sided=statistic.is_one_sided,
                twin=twin,
                questions=len(differences),
                mean=fmean(differences),
                error=stdev(differences) / sqrt(len(differences)),
                p_value=symmetry_p_value(differences, is_one_sided=statistic.is_one_sided),
            )


def symmetry_p_value(differences: Sequence[float], *, is_one_sided: bool) -> float:
    """Return how often signs drawn at random give `differences` a sum as far from 0, at most.

    Of two right computations neither is the twin by nature: exchanged in a question, the difference changes
    its sign. So given their sizes all signs are as likely, whatever the distribution. With S the sum over the
    root of the sum of squares, S >= z has a probability of at most exp(-z^2 / 2), and of 2 e^3 / 9 times that
    of a normal variable. Sources: B. Efron, "Student's t-test under symmetry conditions", JASA 64 (1969);
    I. Pinelis, "Extremal probabilistic problems and Hotelling's T^2 test under a symmetry condition", Annals
    of Statistics 22 (1994), 357-368.
    """
    size = sqrt(sum(each * each for each in differences))
    if size == 0:
        return 1.0
    z = sum(differences) / size
    if not is_one_sided:
        return min(1.0, 2 * _tail(abs(z)))
    return _tail(z) if z > 0 else 1.0


def _tail(z: float) -> float:
    return min(exp(-z * z / 2), _PINELIS * NormalDist().cdf(-z), 1.0)
