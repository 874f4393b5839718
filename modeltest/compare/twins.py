"""Twins of a comparison: the baseline's checkpoint computed rightly in the candidate's dtype, run or pack."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isfinite

from modeltest.api import (
    ComparedTwin,
    DatasetInfo,
    Pack,
    PackTask,
    Role,
    RunDifference,
    RunResult,
    RunSpec,
    SpecError,
)
from modeltest.compare.answers import Answer
from modeltest.compare.comparable import (
    NotComparableError,
    answer_differences,
    faults,
    run_differences,
    task_differences,
)
from modeltest.compare.sessions import RunToCompare
from modeltest.shifts.answers import Answers
from modeltest.shifts.noise import Logprobs


@dataclass(frozen=True, slots=True)
class GivenPack:
    """A reference pack whose twins stand for runs of them."""

    path: str
    pack: Pack


GivenTwin = RunToCompare | GivenPack


@dataclass(frozen=True, slots=True)
class Twin:
    """The answers of one right computation, with who gave them."""

    known: ComparedTwin
    answers: Answers


@dataclass(frozen=True, slots=True)
class BothSides:
    """The runs that twins are held against, with the answers of the reference."""

    kind: str
    reference: RunToCompare
    candidate: RunToCompare
    answers: Mapping[str, Answer]
    allow: Collection[str]

    @property
    def fingerprints(self) -> set[str]:
        """Of the weights of either side, as far as they are known."""
        found = (self.reference.result.model.fingerprint, self.candidate.result.model.fingerprint)
        return {each for each in found if each is not None}


def dtype_of(run: RunResult) -> str | None:
    """Return the dtype that a run computed in; `None` where nobody says."""
    return run.engine.dtype if run.engine else run.spec.dtype or run.model.dtype


def needs_twin(reference: RunResult, candidate: RunResult) -> bool:
    """Say whether rounding alone makes these runs differ: other dtypes, or another engine in a coarse one."""
    if dtype_of(reference) != dtype_of(candidate) or reference.model.quantize != candidate.model.quantize:
        return True
    return reference.adapter != candidate.adapter and dtype_of(candidate) != "float32"


def twin_of_run(sides: BothSides, given: RunToCompare, answers: Mapping[str, Answer]) -> Twin:
    """Return a run as a twin.

    Raises: SpecError for one that is a side itself, or of other weights or another dtype;
    NotComparableError for one that was asked something else.
    """
    run, where = given.result, f"the twin {given.directory}"
    differences = chain(
        run_differences(sides.kind, sides.reference.result, run),
        task_differences(sides.reference.result, run),
        answer_differences(sides.answers, answers),
        faults("candidate", run, failed_questions_count=True),
    )
    refused = [each for each in differences if each.category and each.category not in sides.allow]
    if refused:
        raise NotComparableError(
            "\n".join(
                [f"{where} was asked something else than the reference (reference | twin):", *_lines(refused)]
            )
        )
    _refuse_other(sides, where, run.model.fingerprint, dtype_of(run))
    weights, wanted = (_quantised(each) for each in (run, sides.candidate.result))
    if weights != wanted:
        raise SpecError(
            f"{where} has {weights} weights, the candidate {wanted}; give a run with the candidate's"
        )
    return Twin(
        ComparedTwin(given.directory, run.adapter or run.spec.engine, dtype_of(run), len(answers)), answers
    )


def twins_of_pack(sides: BothSides, given: GivenPack) -> Iterator[Twin]:
    """Yield the twins of a pack in the candidate's dtype, by the ids that the runs call questions.

    Raises: SpecError for a pack that asks something else, or has no such twin.
    """
    where, pack = f"the reference pack {given.path}", given.pack
    task = _task_of(sides, where, pack)
    names = {
        each.id: each.record.id
        for each in pack.questions
        if each.task == task.task and each.record.id in sides.answers
    }
    for each in pack.questions:
        told = sides.answers[names[each.id]].encoded if each.id in names else (0, 0)
        if told[0] and told != (len(each.prompt), hash(each.prompt)):
            raise SpecError(
                f"{where} asks {each.record.id!r:.90} with other tokens than the runs; make one like them"
            )
    dtype = dtype_of(sides.candidate.result)
    found = [each for each in pack.of_role(Role.TWIN) if each.dtype == dtype]
    _refuse_other(sides, where, pack.manifest.model.fingerprint, dtype)
    if not found:
        raise SpecError(f"{where} has no twin in {dtype}; make it again with modeltest reference make --twin")
    for twin in found:
        answers = {names[name]: answer for name, answer in pack.answers[twin.name].items() if name in names}
        yield Twin(ComparedTwin(f"{given.path}#{twin.name}", twin.engine, twin.dtype, len(answers)), answers)


def shared_logprobs(
    reference: Mapping[str, Answer], twins: Sequence[Twin]
) -> tuple[dict[str, Sequence[float]], dict[str, Logprobs]]:
    """Return what the reference and each twin told of the choices of questions that all told."""
    told: dict[str, Sequence[float]] = {
        name: answer.logprobs
        for name, answer in reference.items()
        if answer.logprobs
        and all(map(isfinite, answer.logprobs))
        and all(_tells(twin.answers, name, len(answer.logprobs)) for twin in twins)
    }
    return told, {twin.known.source: {name: twin.answers[name].logprobs for name in told} for twin in twins}


def _tells(answers: Answers, name: str, choices: int) -> bool:
    told = answers[name].logprobs if name in answers else ()
    return len(told) == choices and all(map(isfinite, told))


def _task_of(sides: BothSides, where: str, pack: Pack) -> PackTask:
    run = sides.reference.result
    for task in pack.manifest.tasks:
        of_pack = _asked(task.spec, task.protocol_version, task.dataset)
        if of_pack == _asked(run.spec, run.protocol_version, run.dataset):
            return task
    raise SpecError(
        f"{where} does not ask {run.spec.task} as the runs were: by the same protocol, data, shots and chat "
        "template; give a pack or a run that does"
    )


def _asked(spec: RunSpec, protocol_version: str | None, dataset: DatasetInfo | None) -> tuple[object, ...]:
    """Return what must be equal for answers to mean the same."""
    shots = spec.options.shots or 0
    return spec.task, spec.protocol, protocol_version, dataset and dataset.sha256, shots, spec.chat


def _refuse_other(sides: BothSides, where: str, fingerprint: str | None, dtype: str | None) -> None:
    known = sides.fingerprints
    if fingerprint is not None and known and fingerprint not in known:
        raise SpecError(
            f"{where} is of other weights than either side; a twin is of the reference's checkpoint"
        )
    wanted = dtype_of(sides.candidate.result)
    if dtype != wanted:
        raise SpecError(
            f"{where} was computed in {dtype}, the candidate in {wanted}; a twin is in the candidate's dtype"
        )


def _quantised(run: RunResult) -> str:
    return f"{run.model.quantize} quantised" if run.model.quantize else "unquantised"


def _lines(refused: Sequence[RunDifference]) -> list[str]:
    return [f"  {each.fact}: {each.reference} | {each.candidate}" for each in refused]
