"""`locate` as a task: what the supervisor needs to know of it, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from modeltest.api import (
    Capability,
    Engine,
    Evaluation,
    HarnessMetric,
    HarnessSummary,
    Mode,
    RunSpec,
    SpecError,
)
from modeltest.locate.files import options_of, read_located
from modeltest.version import __version__

NAME = "locate"


class Locate:
    """Compares the operations of a candidate with those of a reference; see `modeltest locate --help`."""

    name = NAME
    title = "the layer and operation in which a port departs: modeltest locate"
    modes: tuple[Mode, ...] = ()
    goes_on = False

    def check(self, spec: RunSpec) -> None:
        """Refuse a run without a reference, and several ranks.

        Raises: SpecError.
        """
        reference = Path(options_of(spec).reference)
        if not (reference / "config.json").is_file():
            raise SpecError(
                f"--reference {reference}: there is no checkpoint (no config.json); give its directory"
            )
        if spec.world_size != 1:
            raise SpecError(
                f"locate looks into one process; the words ask for {spec.world_size} ranks: give 1"
            )

    def requires(self, spec: RunSpec) -> frozenset[Capability]:
        """Return nothing: what an engine must have, `prepare` checks."""
        return frozenset()

    def environment(self, spec: RunSpec) -> Mapping[str, str]:
        """Return nothing of its own."""
        return {}

    def prepare(self, spec: RunSpec, engine: Engine) -> Evaluation:
        """Read the reference's checkpoint; see `HarnessTask.prepare`."""
        from modeltest.locate.evaluation import prepare

        return prepare(spec, engine)

    def summarize_files(self, directory: Path) -> HarnessSummary:
        """Return the largest error of each layer, in times of the dtype's own."""
        rows = read_located(directory).rows
        return HarnessSummary(
            "locate",
            __version__,
            tuple(
                HarnessMetric(
                    task=row.place,
                    filter=row.operation,
                    metric="departs, times" if row.departs else "times",
                    value=row.excess,
                    standard_error=None,
                    higher_is_better=False,
                    shots=None,
                    questions=None,
                    version=None,
                )
                for row in rows
            ),
        )
