"""Whether prompts as text become the token ids that the reference read. Pure."""

from __future__ import annotations

from modeltest.api import Leaning


class PromptTest:
    """Asks all questions that a pack has as text: one that becomes other token ids is one too many.

    Nothing is drawn and nothing rounds, so there is no risk: a correct port turns each text into these ids.
    """

    def __init__(self, population: int) -> None:
        self.population = population
        self.taken = self.untold = self.others = 0

    def take(self, is_same: bool | None) -> None:
        """Take what became of the next; `None` where the engine does not tell."""
        self.taken += 1
        self.untold += is_same is None
        self.others += is_same is False

    @property
    def leaning(self) -> Leaning:
        """How far it has come. Where nothing is told, or nothing is there to ask, it is not run."""
        if self.taken < self.population:
            return Leaning.OPEN
        if self.others:
            return Leaning.FAILED
        return Leaning.NOT_RUN if self.untold or not self.population else Leaning.PASSED

    @property
    def rate(self) -> float | None:
        """The share of those told that became other ids."""
        told = self.taken - self.untold
        return self.others / told if told else None
