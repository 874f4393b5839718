"""The samples of a run, kept without token ids while they are read: a second reader needs no journal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from modeltest.api import Sample

MOST_KEPT = 20_000
"""With more, a page shows no questions and memory would grow with their number."""


class KeptAnswers(Iterable[Sample]):
    """Samples that are read from the journal at each iteration, but for a reader who needs no token ids.

    The summary of a run goes through its journal to the end; the page wants the same questions once more, and
    reading a line takes most of the time of a report. Without token ids 14,000 questions are ten megabytes.
    """

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = samples
        self._kept: list[Sample] | None = None

    def __iter__(self) -> Iterator[Sample]:
        """Yield every sample whole."""
        kept: list[Sample] = []
        for sample in self._samples:
            if self._kept is None and len(kept) <= MOST_KEPT:
                kept.append(_without_tokens(sample))
            yield sample
        if self._kept is None and len(kept) <= MOST_KEPT:
            self._kept = kept

    def without_tokens(self) -> Iterable[Sample]:
        """Return every sample without token ids: from memory where all of them have been read before."""
        return map(_without_tokens, self._samples) if self._kept is None else self._kept


def _without_tokens(sample: Sample) -> Sample:
    shown = replace(sample.completion, prompt_tokens=(), output_tokens=(), choice_tokens=())
    return Sample(sample.score, shown, sample.prompt_sha256)
