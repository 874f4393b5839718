"""The questions of a run that rounding may decide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from modeltest.api import AccuracySummary, Sample


class NearTies(Iterable[Sample]):
    """Samples that note near-ties while a task iterates over them to summarize them.

    So a journal is read once, and no task has to know in which dtype its questions were answered. `margin`:
    below this difference in log-probability rounding may decide a question.
    """

    def __init__(self, samples: Iterable[Sample], *, margin: float) -> None:
        self._samples = samples
        self._margin = margin
        self._found: list[str] = []

    def __iter__(self) -> Iterator[Sample]:
        """Yield every sample."""
        self._found = found = []
        for sample in self._samples:
            score = sample.score
            # Nothing but the reason of a failed completion may be trusted.
            if score.correct is not None and score.margin is not None and score.margin < self._margin:
                found.append(score.request_id)
            yield sample

    def noted_in(self, summary: AccuracySummary) -> AccuracySummary:
        """Return `summary` with the near-ties of the last iteration."""
        return replace(summary, near_ties=tuple(sorted(self._found)), near_tie_margin=self._margin)
