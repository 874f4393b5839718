"""`modeltest locate` for engines that keep their model: checkpoints of the first layers, bisected.

Every step is a run of its own, in a folder of a fixed name below one folder: the same command goes on with
the runs that are there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modeltest.api import (
    Capability,
    CutOptions,
    EngineInfo,
    HoldingModule,
    PrerequisiteError,
    RunResult,
    RunSpec,
    SpecError,
    TaskOptions,
)
from modeltest.library.carrying_out import How
from modeltest.library.interrupts import RunInterrupted
from modeltest.library.reference_runs import ReferenceRuns
from modeltest.library.served_cuts import ServedCuts, is_served, refuse_unstated_dtype
from modeltest.locate.bisected_files import BisectedResult, answer_of, rows_of, write_bisected
from modeltest.locate.bisection import CutEvidence, bisection, most_cuts, weighed
from modeltest.locate.cut_answers import NAME as CUT_ANSWERS
from modeltest.locate.cut_answers import logprobs_told, places_told
from modeltest.locate.cut_standard import NAME as STANDARD
from modeltest.locate.cut_standard import CutStandard, read_standard
from modeltest.locate.cutting import CutSource, read_source, require_room, write_cut
from modeltest.locate.files import RESULT_FILE, options_of
from modeltest.options.asked import asked_by_words, limits_by_keywords, words_of
from modeltest.options.limits import TIMEOUTS
from modeltest.plain.contracts import to_plain
from modeltest.run.planning.plan import Plan, plan
from modeltest.run.supervisor.lock import hold
from modeltest.run.supervisor.progress import told
from modeltest.run.supervisor.stop_signals import hold_signals
from modeltest.run.supervisor.workers import Workers

LOCATE = "locate"
LOCK_FILE = ".lock"
CUTS = "cuts"

MOST_DIFFERENCE = 0.005
"""Nats, of any token: a cut checkpoint is believed where the reference engine tells by it, in float32, what
the whole model's layers tell. Two ways of feeding differ by 1e-4."""

_EXACT = "float32"
_ENGINE = "hf"


@dataclass(frozen=True, slots=True)
class Bisection:
    """A bisection that came to its end."""

    result: BisectedResult
    folder: Path
    """Of its runs, with `locate.json` and `locate.md`."""


def locate_by_bisection(
    *,
    progress: bool = False,
    verbose: bool = False,
    keep: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Bisection:
    """Name the layer in which a port departs, whatever its engine, in worker processes of its own.

    Keywords are the options of `modeltest locate`, with `_` for each dash. The cut checkpoints are removed at
    the end unless `keep` names a folder for them. Nothing is printed unless `progress` is true. Called again
    with the same keywords after it was stopped, it goes on where it was.

    Raises: SpecError when what is asked for is wrong; ModelTestError when a run fails; RunInterrupted at
    Ctrl-C, with the folder of the runs.
    """
    names = [f"{what}_timeout" for what in TIMEOUTS if f"{what}_timeout" in options]
    limits = limits_by_keywords({name: options.pop(name) for name in names})
    spec = asked_by_words(LOCATE, words_of(LOCATE, options))
    how = How(told(is_told=progress), limits, verbose=verbose)
    try:
        return carry_out_bisection(spec, command=None, how=how, keep=None if keep is None else Path(keep))
    except KeyboardInterrupt as stopped:
        raise RunInterrupted(_folder_of(spec)) from stopped


def has_hooks(spec: RunSpec) -> bool:
    """Return whether the engine that serves `spec` gives its model away.

    Raises: as `plan`.
    """
    return isinstance(plan(spec).engine, HoldingModule)


def carry_out_bisection(spec: RunSpec, *, command: str | None, how: How, keep: Path | None) -> Bisection:
    """Make cut checkpoints, have them served, and bisect.

    Raises: SpecError, PrerequisiteError; ModelTestError when a run fails; KeyboardInterrupt when it was
    stopped: given again, it goes on.
    """
    refuse_unstated_dtype(spec)
    each_token = _told_by(plan(spec))
    folder = _folder_of(spec)
    cutting = _cutting_for(spec, (keep.expanduser() if keep else folder / CUTS).absolute())
    for place in (folder, cutting.folder):
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            raise PrerequisiteError(f"cannot create {place}: {problem.strerror}") from problem
    how.progress.line(
        f"checkpoints of the first layers take up to "
        f"{require_room(cutting.sources, cutting.folder) / 1e9:.2f} GB in {cutting.folder}"
        + ("" if keep else ", and are removed at the end")
    )
    total = 3 + 2 * (most_cuts(cutting.reference.layers) - 1)
    runs = ReferenceRuns(folder, how, command=command, total=total)
    try:
        with hold_signals(), hold(folder / LOCK_FILE):
            found = _Bisecting(spec, cutting, runs, how, each_token=each_token).carry_out()
            write_bisected(found, folder)
    except KeyboardInterrupt:
        how.progress.line(f"stopped; the same command goes on with the runs in {folder}")
        raise
    if keep is None:
        shutil.rmtree(cutting.folder, ignore_errors=True)
    return Bisection(found, folder)


def _cutting_for(spec: RunSpec, folder: Path) -> _Cutting:
    """Find the layers of reference and candidate.

    Raises: as `read_source`; SpecError where they are other models.
    """
    options = options_of(spec)
    reference = read_source(Path(options.reference))
    weights = (options.served_from or options.reference) if is_served(spec) else spec.weights
    is_same = Path(weights).resolve() == reference.directory.resolve()
    candidate = reference if is_same else read_source(Path(weights))
    if candidate.layers != reference.layers:
        raise SpecError(
            f"{weights} has {candidate.layers} layers, the reference {reference.layers}: give the "
            "reference of the same model"
        )
    return _Cutting(reference, candidate, folder)


@dataclass(frozen=True, slots=True)
class _Cutting:
    """What is cut, and where to."""

    reference: CutSource
    candidate: CutSource
    """The same object as `reference` where it is the same checkpoint."""

    folder: Path

    @property
    def sources(self) -> tuple[CutSource, ...]:
        return (self.reference,) if self.candidate is self.reference else (self.reference, self.candidate)

    def of_reference(self, cut: int) -> Path:
        return write_cut(self.reference, cut, self.folder / "reference")

    def of_candidate(self, cut: int) -> Path:
        if self.candidate is self.reference:
            return self.of_reference(cut)
        return write_cut(self.candidate, cut, self.folder / "candidate")


class _Bisecting:
    """The runs of one bisection."""

    def __init__(
        self, spec: RunSpec, cutting: _Cutting, runs: ReferenceRuns, how: How, *, each_token: bool
    ) -> None:
        self._spec = spec
        self._cutting = cutting
        self._runs = runs
        self._how = how
        self._each_token = each_token
        self._engine: EngineInfo | None = None
        self._served = ServedCuts(runs.folder, spec.weights) if is_served(spec) else None

    def carry_out(self) -> BisectedResult:
        """Ask the reference, then one cut after the other."""
        exact = self._standard("reference", _EXACT)
        options = CutOptions(exact.ids, each_token=self._each_token)
        whole = self._told(exact.layers, self._spec, exact, options)
        assert self._engine is not None
        twin = self._standard("twin", self._engine.dtype)
        search = bisection(exact.layers)
        cut = next(search)
        try:
            while True:
                told = whole if cut == exact.layers else self._told_behind(cut, exact, options)
                evidence = _evidence(cut, exact, twin, told, options)
                self._say(evidence)
                cut = search.send(evidence)
        except StopIteration as ended:
            found = ended.value
        return BisectedResult(
            answer=answer_of(found),
            departs=found.layer is not None,
            layer=found.layer,
            operation=None,
            rows=rows_of(found.cuts),
            layers=found.layers,
            observations=found.cuts[0].observations,
            dtype=self._engine.dtype,
            engine=self._engine.engine,
            versions=dict(self._engine.versions),
            reference=str(self._cutting.reference.directory),
            model=self._spec.weights,
        )

    def _standard(self, name: str, dtype: str) -> CutStandard:
        options = options_of(self._spec)
        spec = _on_host(STANDARD, options.reference, dtype, self._spec)
        spec = replace(spec, options=TaskOptions(locate=options), limit=self._spec.limit)
        with Workers(self._how.limits) as workers:
            directory, _ = self._runs.run(name, spec, workers)
        return read_standard(directory)

    def _told_behind(self, cut: int, exact: CutStandard, options: CutOptions) -> list[float]:
        """Have the candidate's engine serve the first `cut` layers, once such a checkpoint is believed."""
        spec = _on_host(CUT_ANSWERS, str(self._cutting.of_reference(cut)), _EXACT, self._spec)
        believed = self._result(f"belief-{cut}", _asking(spec, options))
        _refuse_unbelieved(cut, exact, logprobs_told(believed.samples, options), options)
        weights = self._cutting.of_candidate(cut)
        if self._served is None:
            return self._told(cut, replace(self._spec, weights=str(weights)), exact, options)
        self._served.require(cut, weights)
        return self._told(cut, self._spec, exact, options)

    def _told(self, cut: int, spec: RunSpec, exact: CutStandard, options: CutOptions) -> list[float]:
        name = f"candidate-{cut}"
        result = self._result(name, _asking(replace(spec, limit=None), options))
        engine = result.engine
        if engine is None:
            raise SpecError(f"{name} has no engine: remove its folder, and give the command again")
        if self._engine is not None and _identity(engine) != _identity(self._engine):
            raise SpecError(
                f"{name} was told by another engine than the runs before it ({_identity(engine)}, before "
                f"{_identity(self._engine)}): remove the folder, and give the command again"
            )
        self._engine = engine
        told = logprobs_told(result.samples, options)
        if self._served is not None:
            behind = [[each[place] for place in places_told(options)] for each in exact.orders[0]]
            self._served.refuse_other(cut, behind, told, self._runs.folder / name)
        return told

    def _result(self, name: str, spec: RunSpec) -> RunResult:
        with Workers(self._how.limits) as workers:
            return self._runs.run(name, spec, workers)[1]

    def _say(self, evidence: CutEvidence) -> None:
        word = "departs" if evidence.departs else "within rounding"
        self._how.progress.line(
            f"first {evidence.layers} layers: error {evidence.excess:.2f} times the dtype's own, {word}"
        )


def _told_by(planned: Plan) -> bool:
    """Return whether the engine tells every token at once.

    Raises: PrerequisiteError for one that tells no log-probabilities.
    """
    capabilities = planned.engine.capabilities
    if not capabilities & {Capability.TOKEN_LOGPROBS, Capability.CHOICE_LOGPROBS}:
        raise PrerequisiteError(
            f"engine {planned.engine.name!r} gives neither its model away nor log-probabilities of tokens, "
            "so nothing tells where it departs; use another engine word"
        )
    return Capability.TOKEN_LOGPROBS in capabilities


def _folder_of(spec: RunSpec) -> Path:
    """Return the folder of this bisection: begun by the same command and not ended, or a new one."""
    digest = hashlib.sha256(json.dumps(to_plain(spec), sort_keys=True).encode()).hexdigest()[:8]
    name = f"{LOCATE}_{Path(spec.weights).name}_{spec.engine}_{digest}"
    return next(
        folder for folder in _numbered(Path(spec.output_dir) / name) if not (folder / RESULT_FILE).exists()
    )


def _numbered(folder: Path) -> Iterator[Path]:
    yield folder
    number = 2
    while True:
        yield folder.with_name(f"{folder.name}-{number}")
        number += 1


def _on_host(task: str, weights: str, dtype: str, candidate: RunSpec) -> RunSpec:
    """Return a run of the reference engine, beside the candidate's device."""
    return RunSpec(
        engine=_ENGINE,
        mode=task,
        task=task,
        model="auto",
        weights=weights,
        dtype=dtype,
        device="cpu",
        batch_sizes=((1,),),
        trust_remote_code=candidate.trust_remote_code,
        max_position_embeddings=candidate.max_position_embeddings,
        allow_dtype_cast=True,
    )


def _asking(spec: RunSpec, options: CutOptions) -> RunSpec:
    return replace(spec, mode=CUT_ANSWERS, task=CUT_ANSWERS, options=TaskOptions(cut=options))


def _evidence(
    cut: int, exact: CutStandard, twin: CutStandard, told: list[float], options: CutOptions
) -> CutEvidence:
    places = places_told(options)
    reference, *others = ([order[cut - 1][place] for place in places] for order in exact.orders)
    # In float32 the twin is the reference itself: what its other order of computation makes is the rounding.
    twins = [[order[cut - 1][place] for place in places] for order in twin.orders]
    return weighed(cut, reference, [*twins, *others], told)


def _refuse_unbelieved(cut: int, exact: CutStandard, told: list[float], options: CutOptions) -> None:
    """Refuse cut checkpoints that are no model of the first layers.

    Raises: SpecError.
    """
    right = [exact.orders[0][cut - 1][place] for place in places_told(options)]
    differences = [abs(one - other) for one, other in zip(right, told, strict=True)]
    if not all(each <= MOST_DIFFERENCE for each in differences):  # nor is NaN
        raise SpecError(
            f"a checkpoint of the first {cut} layers tells something else than these layers do in the whole "
            f"model ({max(differences):.3g} nats): models of this family cannot be cut; give an engine that "
            "holds its model, such as hf"
        )


def _identity(engine: EngineInfo) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in sorted(engine.versions.items()))
    return f"{engine.engine} on {engine.device} in {engine.dtype}, {versions}"
