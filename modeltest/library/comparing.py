"""Two runs, or several sessions of each, read and compared."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import fields
from pathlib import Path

from modeltest.api import Comparison, Finding, FindingCode, GenerationSummary, SpecError
from modeltest.compare import runs
from modeltest.compare.comparable import ALL, ALLOWABLE
from modeltest.compare.sessions import RunToCompare
from modeltest.compare.tolerances import Tolerances
from modeltest.compare.twins import GivenPack, GivenTwin
from modeltest.findings import with_warnings
from modeltest.generate.generations import FILE_NAME as GENERATIONS
from modeltest.generate.generations import read_lines
from modeltest.library.runs import Run, load_run, with_kept_answers
from modeltest.packs.files import read_pack
from modeltest.run.record.journal import FILE_NAME as JOURNAL
from modeltest.run.record.journal import lacks_digests

Session = str | os.PathLike[str] | Run
"""A run, or its directory."""

_FRACTIONS = ("max_drop", "max_flips", "min_identical", "latency", "max_batch")


def compare_runs(
    reference: Session | Sequence[Session],
    candidate: Session | Sequence[Session],
    *,
    tolerances: Tolerances | None = None,
    allow: Collection[str] = (),
    twins: Session | Sequence[Session] = (),
) -> Comparison:
    """Say whether the candidate keeps to what the reference found; `docs/compare.md` has the gates.

    Either side is a run, its directory, or several of these: sessions of one configuration, of timed runs.
    What `tolerances` leaves out has the defaults of `modeltest compare`; fractions are fractions, 0.005 for
    half a percentage point. `allow` names what may differ, `"all"` for everything. `twins` are runs of the
    reference's checkpoint in the candidate's dtype that are known to be right, or the files of reference
    packs: of accuracy runs they say what rounding does. The outcome is in `outcome`, its parts in `gates`.

    Raises: SpecError for a path without a run, runs that cannot be compared, what is no twin, and tolerances
    that make no sense; ModelTestError when a file is damaged.
    """
    tolerances = tolerances or Tolerances()
    _check(tolerances)
    before, after = _sessions("reference", reference), _sessions("candidate", candidate)
    return runs.compare_runs(
        before,
        after,
        tolerances=tolerances,
        allow=_allowed(allow),
        twins=_twins(twins, apart_from=[*before, *after]),
    )


def read_session(session: Session) -> RunToCompare:
    """Return a run with what its comparison needs.

    Raises: SpecError when it has not kept that; ModelTestError when it is damaged.
    """
    run = session if isinstance(session, Run) else load_run(session)
    result, directory = with_kept_answers(run.result, run.directory), run.directory
    if lacks_digests(directory / JOURNAL):
        unsealed = Finding(FindingCode.JOURNAL_WITHOUT_DIGESTS)
        if unsealed not in result.findings:
            result = with_warnings(result, [unsealed])
    is_generation = isinstance(result.summary, GenerationSummary)
    lines = read_lines(directory / GENERATIONS) if is_generation else None
    return RunToCompare(str(directory), result, lines)


def _sessions(side: str, given: Session | Sequence[Session]) -> list[RunToCompare]:
    """Return the runs of a side, none of them twice: one run would count as several sessions.

    Raises: SpecError.
    """
    several = [given] if isinstance(given, (str, os.PathLike, Run)) else list(given)
    if not several:
        raise SpecError(f"no run is given as the {side}")
    seen: set[Path] = set()
    for each in several:
        directory = each.directory if isinstance(each, Run) else Path(each)
        place = directory.expanduser().resolve()
        if place in seen:
            raise SpecError(f"{directory} is given twice as a session of the {side}; leave one out")
        seen.add(place)
    return [read_session(each) for each in several]


def _twins(given: Session | Sequence[Session], *, apart_from: Sequence[RunToCompare]) -> list[GivenTwin]:
    """Return the twins: directories are runs, files are reference packs.

    Raises: SpecError for a run that is on a side already, or given twice.
    """
    several = [given] if isinstance(given, (str, os.PathLike, Run)) else list(given)
    seen = {Path(each.directory).expanduser().resolve() for each in apart_from}
    found: list[GivenTwin] = []
    for each in several:
        path = each.directory if isinstance(each, Run) else Path(each).expanduser()
        if path.resolve() in seen:
            raise SpecError(f"{path} is given twice; a twin is another run than the sides and other twins")
        seen.add(path.resolve())
        found.append(GivenPack(str(path), read_pack(path)) if path.is_file() else read_session(each))
    return found


def _allowed(names: Collection[str]) -> Collection[str]:
    asked = {names} if isinstance(names, str) else set(names)
    if unknown := sorted(asked - {*ALLOWABLE, ALL}):
        raise SpecError(
            f"{unknown[0]!r:.80} cannot be allowed to differ; these can: {', '.join((*ALLOWABLE, ALL))}"
        )
    return ALLOWABLE if ALL in asked else asked


def _check(tolerances: Tolerances) -> None:
    """Refuse what no tolerance can be.

    Raises: SpecError.
    """
    if not 0.5 < tolerances.confidence < 1:
        raise SpecError(f"confidence {tolerances.confidence:.4%} must lie between 50% and 100%")
    if not 0 < tolerances.false_alarms < 0.5:
        raise SpecError(
            f"{tolerances.alarms_per_year:g} false alarms in {tolerances.comparisons_per_year:g} comparisons "
            "a year are none or too many: allow more than 0, and fewer than one in two comparisons"
        )
    for field in fields(tolerances):
        value = getattr(tolerances, field.name)
        if not isinstance(value, (int, float)):
            continue
        if not value >= 0:
            raise SpecError(f"{field.name} is {value:.6g}; a tolerance is 0 or more")
        if field.name in _FRACTIONS and value > 1:
            raise SpecError(f"{field.name} is {value:.6g}; it is a fraction: 0.005 for half a per cent")
