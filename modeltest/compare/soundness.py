"""Which cases of timed runs have numbers that are not VALID: from those no verdict is drawn. Pure.

The answer of a max-batch search is another matter: the batch found and the one that does not do are both
certified by their trials, also where the answer between them is BORDERLINE and so NOISY.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType

from modeltest.api import Case, PerformanceSummary, RunResult, Verdict

Shape = tuple[Case, int]
"""A case and a batch size."""

Unsound = Mapping[Shape, Verdict]
"""Those whose numbers decide nothing, and what they are instead of VALID."""

ALL_SOUND: Unsound = MappingProxyType({})


def unsound_shapes(runs: Iterable[RunResult], allow: Collection[str] = ()) -> Unsound:
    """Return what is not VALID in any of `runs`, but for what `allow` names: `noisy`, `invalid`."""
    found: dict[Shape, Verdict] = {}
    for run in runs:
        for shape, verdict in _verdicts(run):
            if verdict is not Verdict.VALID and verdict.value.lower() not in allow:
                found.setdefault(shape, verdict)
    return found


def _verdicts(run: RunResult) -> Iterator[tuple[Shape, Verdict]]:
    if isinstance(run.summary, PerformanceSummary):
        for each in run.summary.cases:
            yield (each.case, each.batch_size), each.verdict
