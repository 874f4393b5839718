"""From the runs of both sides to the comparison: refused, or judged by the gates that suit their kind."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from modeltest.api import (
    AccuracySummary,
    ComparedRun,
    Comparison,
    Decision,
    Finding,
    FindingCode,
    Gate,
    GateOutcome,
    GenerationSummary,
    HarnessSummary,
    MaxBatchSummary,
    OutputAgreement,
    PerformanceSummary,
    PrecisionSummary,
    RunDifference,
    RunResult,
    RunStatus,
    SpecError,
)
from modeltest.compare.answer_gates import token_gate
from modeltest.compare.answers import Answer, read_answers
from modeltest.compare.calibration import calibration_differences
from modeltest.compare.comparable import (
    TASK,
    answer_differences,
    faults,
    prompts_with_tokens,
    refuse,
    run_differences,
    task_differences,
    tokenization_note,
)
from modeltest.compare.given_outputs import (
    distributions_of,
    generation_differences,
    generation_pairs,
    output_gates,
    precision_differences,
    precision_pairs,
)
from modeltest.compare.judged_answers import AnswersToJudge, judge_answers
from modeltest.compare.max_batch import compare_searches, max_batch_gates
from modeltest.compare.outputs import compare_outputs
from modeltest.compare.performance import compare_sessions, judged, latency_gates, read_session
from modeltest.compare.sessions import RunToCompare, together, warnings_of
from modeltest.compare.soundness import Unsound, unsound_shapes
from modeltest.compare.tolerances import Tolerances
from modeltest.compare.twins import BothSides, GivenPack, GivenTwin, Twin, twin_of_run, twins_of_pack
from modeltest.findings import sentences
from modeltest.version import __version__

KINDS: tuple[tuple[type, str], ...] = (
    (AccuracySummary, "accuracy"),
    (PerformanceSummary, "performance"),
    (MaxBatchSummary, "max_batch"),
    (PrecisionSummary, "precision"),
    (GenerationSummary, "generation"),
    (HarnessSummary, "harness"),
)


_STATISTICAL = ("accuracy", "performance")
"""Kinds with gates that chance may fail."""


@dataclass(frozen=True, slots=True)
class _Sides:
    """Both sides, what is asked of the candidate and what of their differences is allowed."""

    reference: Sequence[RunToCompare]
    candidate: Sequence[RunToCompare]
    tolerances: Tolerances
    allow: Collection[str]
    twins: Sequence[GivenTwin] = ()
    differences: tuple[RunDifference, ...] = ()

    @property
    def results(self) -> tuple[RunResult, RunResult]:
        """The first run of either side."""
        return self.reference[0].result, self.candidate[0].result

    @property
    def unsound(self) -> Unsound:
        """The cases of timed runs that no gate is decided by."""
        return unsound_shapes((run.result for run in (*self.reference, *self.candidate)), self.allow)

    def accept(self, found: Iterable[RunDifference]) -> _Sides:
        """Return these sides knowing more of their differences, which are then all that there are.

        Raises: NotComparableError naming all that stop the comparison.
        """
        differences = (*self.differences, *found)
        refuse(differences, self.allow)
        return replace(self, differences=differences)


def compare_runs(
    reference: Sequence[RunToCompare],
    candidate: Sequence[RunToCompare],
    *,
    tolerances: Tolerances,
    allow: Collection[str] = (),
    twins: Sequence[GivenTwin] = (),
) -> Comparison:
    """Return how the candidate compares with the reference; each side is one run, or sessions of one thing.

    `twins` show what rounding does to answers in the candidate's dtype.

    Raises: NotComparableError naming what differs and is not in `allow`; SpecError for runs of a kind that
    is not compared, for several sessions of runs that are not timed, and for what is no twin.
    """
    kind = kind_of(reference[0])
    runs = (*reference, *candidate)
    for run in runs[1:]:
        kind_of(run)
    if kind != "performance" and len(runs) > 2:
        raise SpecError(
            f"several sessions on a side are for runs of performance; these are of {kind}: "
            "give one reference and one candidate"
        )
    if twins and _COMPARE[kind] is not _accuracy:
        raise SpecError(
            f"twins tell rounding from faults in answers; these runs are of {kind}: leave them out"
        )
    first = reference[0].result
    among = chain.from_iterable(run_differences(kind, first, run.result) for run in runs[1:])
    own_faults = chain(
        *(faults("reference", run.result, failed_questions_count=True) for run in reference),
        *(faults("candidate", run.result, failed_questions_count=kind != "accuracy") for run in candidate),
    )
    machine = calibration_differences(tolerances.calibration, [run.result for run in runs])
    unique = together((*among, *own_faults, *machine))
    if any(each.category == TASK for each in unique):
        refuse(unique, allow)
    return _COMPARE[kind](_Sides(reference, candidate, tolerances, allow, twins, unique))


def kind_of(run: RunToCompare) -> str:
    """Return what kind of run it is, as far as comparisons go.

    Raises: SpecError where there is nothing that is compared.
    """
    result, summary = run.result, run.result.summary
    for summary_type, kind in KINDS:
        if isinstance(summary, summary_type):
            return kind
    if result.status == RunStatus.FOLLOWED:
        where = f", {result.spec.cluster.master_address}" if result.spec.cluster else ""
        raise SpecError(
            f"{run.directory} is the part of another node, which has no results; compare the directory of "
            f"the same run on the first node{where}"
        )
    if summary is None:
        raise SpecError(
            f"{run.directory} has no results yet (status {result.status}"
            f"{f': {result.error}' if result.error else ''}); finish it with "
            "modeltest run --resume, or summarise what there is with modeltest report"
        )
    raise SpecError(f"{run.directory} is a run of {result.spec.task}, which is not compared")


def _accuracy(sides: _Sides) -> Comparison:
    reference, candidate = (_answers(run) for run in (sides.reference[0], sides.candidate[0]))
    differing = chain(task_differences(*sides.results), answer_differences(reference, candidate))
    sides = sides.accept(differing)
    if not set(reference) & set(candidate):
        raise SpecError("the runs have no question in common; their questions are in samples.jsonl")
    twins = _twins(sides, reference)
    judged = judge_answers(
        AnswersToJudge(reference, candidate, sides.results),
        sides.tolerances,
        twins,
        judges_failures="invalid" not in sides.allow,
    )
    gates = judged.gates
    note = tokenization_note(reference, candidate)
    told = prompts_with_tokens(reference, candidate)
    if told and _is_one_checkpoint(*sides.results) and "prompts" not in sides.allow:
        gates.insert(gates[0].name == "failures", token_gate(note, len(told)))
        note = None
    notes = [note.finding] if note else []
    if twins:
        notes.append(Finding(FindingCode.CHOICES_ALONE))
    comparison = _comparison("accuracy", sides, gates, notes=notes)
    return replace(comparison, accuracy=judged.found, twins=tuple(each.known for each in twins))


def _twins(sides: _Sides, reference: Mapping[str, Answer]) -> list[Twin]:
    """Return the twins that were given. Raises: as `twin_of_run` and `twins_of_pack`."""
    one, other = sides.reference[0], sides.candidate[0]
    held = BothSides(kind_of(one), one, other, reference, sides.allow)
    found: list[Twin] = []
    for given in sides.twins:
        if isinstance(given, GivenPack):
            found.extend(twins_of_pack(held, given))
        else:
            found.append(twin_of_run(held, given, _answers(given)))
    return found


def _is_one_checkpoint(reference: RunResult, candidate: RunResult) -> bool:
    return reference.model.fingerprint is not None and (
        reference.model.fingerprint == candidate.model.fingerprint
    )


def _answers(run: RunToCompare) -> Mapping[str, Answer]:
    """Return the answers of a run.

    Raises: SpecError where its journal has lost some of those that were counted at its end.
    """
    found, result = read_answers(run.result.samples), run.result
    if isinstance(result.summary, AccuracySummary) and len(found) < result.summary.micro.total:
        raise SpecError(
            f"{run.directory} is damaged: samples.jsonl has {len(found)} of the {result.summary.micro.total} "
            "answers that run.json counts; take the file from where the run was made, or run it again"
        )
    return found


def _performance(sides: _Sides) -> Comparison:
    sides = sides.accept(())
    reference, candidate = (
        [read_session(run.result) for run in side] for side in (sides.reference, sides.candidate)
    )
    found = compare_sessions(reference, candidate, sides.tolerances)
    if not found:
        raise SpecError("the runs have no case and batch size in common that was measured")
    share = sides.tolerances.false_alarms / max(1, len(judged(found)))
    gates = list(latency_gates(found, share=share, unsound=sides.unsound))
    notes = [
        Finding(FindingCode.ONE_SESSION, {"side": side})
        for side, runs in (("reference", reference), ("candidate", candidate))
        if len(runs) == 1 and sides.tolerances.calibration is None
    ]
    return replace(_comparison("performance", sides, gates, notes=notes), performance=found)


def _max_batch(sides: _Sides) -> Comparison:
    sides = sides.accept(())
    reference, candidate = (result.summary for result in sides.results)
    if not isinstance(reference, MaxBatchSummary) or not isinstance(candidate, MaxBatchSummary):
        raise TypeError("not runs of max-batch")
    found = compare_searches(reference, candidate)
    if not found:
        raise SpecError("the runs have no case in common that was searched")
    gates = list(max_batch_gates(found, tolerance=sides.tolerances.max_batch))
    return replace(_comparison("max_batch", sides, gates), max_batch=found)


def _precision(sides: _Sides) -> Comparison:
    reference, candidate = (result.summary for result in sides.results)
    if not isinstance(reference, PrecisionSummary) or not isinstance(candidate, PrecisionSummary):
        raise TypeError("not runs of precision")
    sides = sides.accept(precision_differences(reference, candidate))
    distributions = distributions_of(sides.results[0]), distributions_of(sides.results[1])
    found = compare_outputs(precision_pairs(reference, candidate, distributions))
    return _of_outputs("precision", sides, found)


def _generation(sides: _Sides) -> Comparison:
    reference, candidate = (run.generations or {} for run in (sides.reference[0], sides.candidate[0]))
    sides = sides.accept(generation_differences(reference, candidate))
    found = compare_outputs(generation_pairs(reference, candidate))
    return _of_outputs("generation", sides, found)


def _of_outputs(kind: str, sides: _Sides, found: OutputAgreement | None) -> Comparison:
    if found is None:
        raise SpecError("the runs have no output in common")
    return replace(_comparison(kind, sides, list(output_gates(found, sides.tolerances))), outputs=found)


_COMPARE: Mapping[str, Callable[[_Sides], Comparison]] = {
    "accuracy": _accuracy,
    "performance": _performance,
    "max_batch": _max_batch,
    "precision": _precision,
    "generation": _generation,
    "harness": _accuracy,
}


def _comparison(kind: str, sides: _Sides, gates: Sequence[Gate], notes: Iterable[Finding] = ()) -> Comparison:
    told = (*notes, *warnings_of(sides.reference, sides.candidate))
    return Comparison(
        kind=kind,
        task=sides.results[0].spec.task,
        outcome=_decided(gates),
        gates=tuple(gates),
        reference=tuple(map(_describe, sides.reference)),
        candidate=tuple(map(_describe, sides.candidate)),
        allowed=tuple(each for each in sides.differences if each.category),
        differences=tuple(each for each in sides.differences if not each.category),
        notes=sentences(told),
        note_codes=told,
        confidence=sides.tolerances.confidence,
        false_alarms=sides.tolerances.false_alarms if kind in _STATISTICAL else None,
        modeltest_version=__version__,
    )


def _decided(gates: Sequence[Gate]) -> Decision:
    outcomes = {gate.outcome for gate in gates}
    if GateOutcome.FAIL in outcomes:
        return Decision.REJECT
    return Decision.ACCEPT if outcomes == {GateOutcome.PASS} else Decision.UNDECIDED


def _describe(run: RunToCompare) -> ComparedRun:
    result = run.result
    return ComparedRun(
        directory=run.directory,
        started=result.started,
        model=result.model.label,
        fingerprint=result.model.fingerprint,
        engine_word=result.spec.engine,
        adapter=result.adapter,
        device=result.engine.device if result.engine else None,
        dtype=result.engine.dtype if result.engine else result.spec.dtype,
        quantize=result.model.quantize,
        verdict=result.verdict,
        command=result.command,
    )
