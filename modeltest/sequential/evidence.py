"""Evidence as a martingale's capital: how it went, and how several are combined.

An e-process is what a bettor against a null hypothesis owns who began with 1: under the null its expectation
is at most 1 at every stopping time, so it reaches 1/r with probability r at most (J. Ville, Étude critique de
la notion de collectif, 1939). Everything here is its natural logarithm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, fsum, inf, isnan, log


@dataclass(slots=True)
class EvidencePath:
    """How the evidence of one e-process went, and when it first was enough."""

    risk: float
    """Probability to reach the level at any time though the null is true."""

    taken: int = 0
    """How many values it has seen."""

    log_evidence: float = 0.0
    """Of the e-value now; only e-values of the same moment may be combined."""

    log_maximum: float = 0.0
    """The largest so far: what decides, since the level holds at any stopping time."""

    decided_at: int | None = None
    """How many values it had seen when it first reached the level; `None` while it has not."""

    def __post_init__(self) -> None:
        if not 0 < self.risk < 1:
            raise ValueError(f"the risk is {self.risk}; it must lie between 0 and 1")

    @property
    def level(self) -> float:
        """The log-evidence that is enough."""
        return -log(self.risk)

    def note(self, log_evidence: float, values: int = 1) -> None:
        """Take down the evidence after `values` more values.

        Raises: ValueError for one that is not a number: it would never be enough, nor refused.
        """
        if isnan(log_evidence):
            raise ValueError("the evidence is not a number")
        self.taken += values
        self.log_evidence = log_evidence
        self.log_maximum = max(self.log_maximum, log_evidence)
        if self.decided_at is None and log_evidence >= self.level:
            self.decided_at = self.taken


def any_of(log_evidences: Sequence[float], weights: Sequence[float] | None = None) -> float:
    """Return the evidence against a null that every one of `log_evidences` is against: their weighted mean.

    A weighted mean of e-values is an e-value however they depend on one another, with weights that were fixed
    before and sum to 1 at most; without any they are equal. Source: V. Vovk and R. Wang, "E-values:
    calibration, combination and applications", Annals of Statistics 49 (2021).
    """
    if not log_evidences:
        raise ValueError("there is no evidence to combine")
    used = [1 / len(log_evidences)] * len(log_evidences) if weights is None else list(weights)
    if len(used) != len(log_evidences) or min(used) < 0 or fsum(used) > 1 + 1e-9:
        raise ValueError(
            f"weights of {len(log_evidences)} e-values must be as many, none negative, and sum to 1 at most; "
            f"given were {used}"
        )
    return log_of_sum([log(w) + e for w, e in zip(used, log_evidences, strict=True) if w > 0])


def all_of(log_evidences: Sequence[float]) -> float:
    """Return the evidence against a null that says: at least one of several nulls is true.

    The least of them, without a correction: the true one among them bounds it. Source: R. L. Berger,
    "Multiparameter hypothesis testing and acceptance sampling", Technometrics 24 (1982).
    """
    if not log_evidences:
        raise ValueError("there is no evidence to combine")
    return min(log_evidences)


def log_of_sum(logs: Sequence[float]) -> float:
    """Return the logarithm of the sum of what `logs` are the logarithms of; -inf for none."""
    most = max(logs, default=-inf)
    if most in (inf, -inf):
        return most
    return most + log(fsum(exp(each - most) for each in logs))
