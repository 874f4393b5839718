"""Reference packs made, from the first question to the file; and read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from modeltest.acceptance.asking import PackScorer
from modeltest.acceptance.pack_answers import NAME as PACK_ANSWERS
from modeltest.api import (
    Capability,
    Computation,
    NotOfModel,
    Pack,
    PackAnswer,
    PackManifest,
    PackOptions,
    PrerequisiteError,
    Role,
    RunResult,
    RunSpec,
    SpecError,
    TaskOptions,
)
from modeltest.library.carrying_out import How
from modeltest.library.interrupts import RunInterrupted
from modeltest.library.reference_directions import direction_spec, refuse_directions, usable_directions
from modeltest.library.reference_runs import ReferenceRuns, asked_run, refuse_unusable, threads
from modeltest.options.asked import asked_by_keywords, limits_by_keywords
from modeltest.options.directions import Direction
from modeltest.options.limits import TIMEOUTS
from modeltest.options.references import ReferenceAsked, TwinOrder, reference_make
from modeltest.packs.drafting import DraftedTask, computation_of, drafted, pack_model, refuse_other_models
from modeltest.packs.files import read_pack, write_pack
from modeltest.packs.texts import chosen_texts
from modeltest.packs.wordings import chosen_wordings
from modeltest.run.planning.plan import Plan, plan
from modeltest.run.record.directory import read_result
from modeltest.run.supervisor.lock import hold
from modeltest.run.supervisor.progress import told
from modeltest.run.supervisor.stop_signals import hold_signals
from modeltest.run.supervisor.watch import utc_now
from modeltest.run.supervisor.workers import Workers
from modeltest.version import __version__

REFERENCE = "reference"
"""The name of the reference among the computations of a pack."""

WORK_SUFFIX = ".work"
DRAFT = "draft.ref"
LOCK_FILE = ".lock"


@dataclass(frozen=True, slots=True)
class MadeReference:
    """A pack that was written."""

    path: Path
    sha256: str
    work: Path
    """The folder of its runs, which may go."""

    pack: Pack


@dataclass(frozen=True, slots=True)
class _Base:
    """What all computations of a pack have in common: the reference's first run and the draft it answers."""

    result: RunResult
    draft: Path
    sha256: str
    pack: Pack
    scorer: PackScorer

    @property
    def spec(self) -> RunSpec:
        return self.result.spec


def read_reference(path: str | os.PathLike[str]) -> Pack:
    """Return the reference pack in the file `path`, after everything in it was checked.

    Raises: SpecError naming the file and what is wrong with it.
    """
    return read_pack(Path(path).expanduser())


def make_reference(*, progress: bool = False, verbose: bool = False, **options: Any) -> MadeReference:
    """Make a reference pack, in worker processes of its own, and return it with the place of its file.

    Keywords are the options of `modeltest reference make`, with `_` for each dash: `out`, `task` (one or
    several), `model`, `twin`, `texts`. Nothing is printed unless `progress` is true. Called again with the
    same keywords after it was stopped, it goes on where it was.

    Raises: SpecError when what is asked for is wrong; ModelTestError when a run fails; RunInterrupted at
    Ctrl-C, with the folder of the runs.
    """
    names = [f"{what}_timeout" for what in TIMEOUTS if f"{what}_timeout" in options]
    limits = limits_by_keywords({name: options.pop(name) for name in names})
    asked: ReferenceAsked = asked_by_keywords(reference_make, options)
    how = How(told(is_told=progress), limits, verbose=verbose)
    try:
        return carry_out_reference(asked, command=None, how=how)
    except KeyboardInterrupt as stopped:
        raise RunInterrupted(_work_of(asked.out)) from stopped


def carry_out_reference(asked: ReferenceAsked, *, command: str | None, how: How) -> MadeReference:
    """Run what a reference pack is made of, and write it.

    Raises: SpecError; ModelTestError when a run fails; KeyboardInterrupt when it was stopped: given again, it
    goes on.
    """
    _refuse_place(asked.out)
    for spec in asked.specs:
        planned = plan(spec)
        _refuse_untold(planned, asked.texts)
        refuse_directions(asked.directions, planned.engine, planned.spec)
    work = _work_of(asked.out)
    try:
        work.mkdir(exist_ok=True)
    except OSError as problem:
        raise PrerequisiteError(f"cannot create {work}: {problem.strerror}") from problem
    total = len(asked.specs) + bool(asked.texts) + len(asked.twins) + len(asked.directions.all)
    runs = ReferenceRuns(work, how, command=command, total=total)
    try:
        with hold_signals(), hold(work / LOCK_FILE):
            pack = _asked(asked, runs, how, work)
    except KeyboardInterrupt:
        how.progress.line(f"stopped; the same command goes on with the runs in {work}")
        raise
    return MadeReference(asked.out, write_pack(asked.out, pack), work, pack)


def _asked(asked: ReferenceAsked, runs: ReferenceRuns, how: How, work: Path) -> Pack:
    with Workers(how.limits, place=work) as workers:
        results = [(directory, read_result(directory)) for directory in asked.from_runs]
        results += [runs.run(f"{REFERENCE}-{spec.task}", spec, workers) for spec in asked.specs]
        chosen = usable_directions(asked.directions, results[0][1], how)
        base = _drafted(results, asked, work / DRAFT, how)
        of_texts = _told_texts(base, runs, workers)
    twins = list(_twins(base, asked, runs, how, work))
    directions = list(_directions(base, chosen, runs, how, work))
    return _whole(base, of_texts, [*twins, *directions])


def _work_of(out: Path) -> Path:
    return out.with_name(out.name + WORK_SUFFIX)


def _refuse_place(out: Path) -> None:
    """Refuse before hours of asking a file that cannot be written after them.

    Raises: SpecError.
    """
    if out.exists():
        raise SpecError(f"{out} is there already; remove it, or give another --out")
    if not out.parent.is_dir():
        raise SpecError(f"--out {out}: there is no folder {out.parent}; make it first")


def _refuse_untold(planned: Plan, texts: int) -> None:
    """Refuse before hours of asking an engine that cannot tell texts after them.

    Raises: PrerequisiteError.
    """
    if texts and Capability.TOKEN_LOGPROBS not in planned.engine.capabilities:
        raise PrerequisiteError(
            f"engine {planned.engine.name!r} does not tell the log-probability of every token, which texts "
            "are for; use another, or leave texts out with --texts 0"
        )


def _drafted(results: Sequence[tuple[Path, RunResult]], asked: ReferenceAsked, path: Path, how: How) -> _Base:
    """Write the draft: all questions and texts, and the reference's answers to the questions.

    Raises: SpecError.
    """
    for directory, result in results:
        refuse_unusable(directory, result, remedy="give another run")
    runs = [asked_run(directory, result) for directory, result in results]
    refuse_other_models(runs)
    tasks = [drafted(run) for run in runs]
    first = results[0][1]
    questions = [question for task in tasks for question in task.questions]
    special = first.engine.special_token_ids if first.engine else ()
    texts = chosen_texts(questions, asked.texts, seed=asked.seed, special_ids=special)
    wordings = chosen_wordings([task.whole for task in tasks], seed=asked.seed)
    if len(texts) < asked.texts:
        how.progress.line(f"{len(texts)} texts instead of {asked.texts}: the prompts have no more pieces")
    manifest = PackManifest(
        created=min(result.started for _, result in results),  # a draft that is made again is the same file
        modeltest_version=__version__,
        model=pack_model(first.model),
        tasks=tuple(task.task for task in tasks),
        texts=len(texts),
        wordings=len(wordings),
        computations=(computation_of(REFERENCE, Role.REFERENCE, first),),
        is_draft=True,
    )
    answers = {REFERENCE: _answers_of(tasks)}
    pack = Pack(manifest, tuple(questions), tuple(texts), answers, tuple(wordings))
    return _Base(first, path, write_pack(path, pack), pack, PackScorer(pack))


def _answers_of(tasks: Sequence[DraftedTask]) -> Mapping[str, PackAnswer]:
    return {answer.id: answer for task in tasks for answer in task.answers}


def _told_texts(base: _Base, runs: ReferenceRuns, workers: Workers) -> Mapping[str, PackAnswer]:
    if not base.pack.texts:
        return {}
    _, result = runs.run(f"{REFERENCE}-texts", _answers_spec(base, questions=0, seed=0), workers)
    return _answers_in(result, base.scorer)


def _twins(
    base: _Base, asked: ReferenceAsked, runs: ReferenceRuns, how: How, work: Path
) -> Iterator[tuple[Computation, Mapping[str, PackAnswer]]]:
    """Yield each twin with its answers; those of one dtype and number of threads load the model once."""
    for (_, _, count), orders in groupby(asked.twins, key=lambda one: (one.engine, one.dtype, one.threads)):
        with threads(count), Workers(how.limits, place=work) as workers:
            for order in orders:
                spec = _twin_spec(base, order, asked)
                _, result = runs.run(order.name, spec, workers)
                condition = None if count is None else str(count)
                computation = computation_of(order.name, Role.TWIN, result, threads=condition)
                yield computation, _answers_in(result, base.scorer)


def _twin_spec(base: _Base, order: TwinOrder, asked: ReferenceAsked) -> RunSpec:
    spec = _answers_spec(base, questions=asked.twin_questions, seed=asked.seed)
    return replace(
        spec,
        # Not the reference's word, which may mean its dtype.
        engine=order.engine or base.result.adapter or spec.engine,
        dtype=order.dtype,
        batch_sizes=((order.batch_size,),),
        allow_dtype_cast=True,
    )


def _directions(
    base: _Base, chosen: Sequence[Direction], runs: ReferenceRuns, how: How, work: Path
) -> Iterator[tuple[Computation, Mapping[str, PackAnswer]]]:
    """Yield each direction with what it told of the texts; one of what the model has not is left out."""
    if not base.pack.texts:
        return
    for each in chosen:
        spec = direction_spec(_answers_spec(base, questions=0, seed=0), each, base.result)
        try:
            with Workers(how.limits, place=work) as workers:
                _, result = runs.run(each.name, spec, workers)
        except NotOfModel as problem:
            how.progress.line(f"direction {each.label} is left out: {problem}")
            continue
        yield (
            computation_of(each.name, Role.DIRECTION, result, fault=each.label),
            _answers_in(result, base.scorer),
        )


def _answers_spec(base: _Base, *, questions: int, seed: int) -> RunSpec:
    """Return the run that asks the draft of the reference's checkpoint."""
    options = PackOptions(str(base.draft), base.sha256, order_seed=seed, questions=questions)
    return replace(
        base.spec,
        mode=PACK_ANSWERS,
        task=PACK_ANSWERS,
        split="",
        options=TaskOptions(pack=options),
        subjects=(),
        limit=None,
        data_dir=None,
        chat=False,
        seed=0,
    )


def _answers_in(result: RunResult, scorer: PackScorer) -> Mapping[str, PackAnswer]:
    answers = (scorer.answer(sample) for sample in result.samples)
    return {answer.id: answer for answer in answers if answer is not None}


def _whole(
    base: _Base,
    of_texts: Mapping[str, PackAnswer],
    others: Sequence[tuple[Computation, Mapping[str, PackAnswer]]],
) -> Pack:
    """Return the pack with all that was answered, in the order of its questions and texts."""
    names = [question.id for question in base.pack.questions] + [text.id for text in base.pack.texts]
    place = {name: number for number, name in enumerate(names)}
    found = {REFERENCE: {**base.pack.reference, **of_texts}, **{one.name: answers for one, answers in others}}
    answers = {
        name: dict(sorted(each.items(), key=lambda pair: place[pair[0]])) for name, each in found.items()
    }
    manifest = replace(
        base.pack.manifest,
        created=utc_now(),
        computations=(*base.pack.manifest.computations, *(one for one, _ in others)),
        is_draft=False,
    )
    return replace(base.pack, manifest=manifest, answers=answers)
