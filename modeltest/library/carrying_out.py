"""The one way from a spec to the files of a run, for the commands and for Python."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from modeltest import registry
from modeltest.api import AccuracyTask, RunSpec
from modeltest.run.pipes.deadlines import Limits
from modeltest.run.planning.plan import plan
from modeltest.run.planning.resume import refuse_other_words
from modeltest.run.planning.trust import named_interpreter, refuse_unsaid_trust
from modeltest.run.record.directory import read_result
from modeltest.run.supervisor.launch import RunOutcome, launch, resume
from modeltest.run.supervisor.progress import Progress
from modeltest.run.supervisor.workers import Workers
from modeltest.task_files.named import allow_code


@dataclass(frozen=True, slots=True)
class How:
    """How a run is carried out; nothing of it changes what is asked."""

    progress: Progress
    limits: Limits
    verbose: bool = False
    """The output of the workers is shown at the end, whatever it is."""


def carry_out(spec: RunSpec, *, command: str | None, how: How) -> Iterator[RunOutcome]:
    """Plan and run what `spec` asks for in worker processes, and yield what came of it, its files written.

    `command` asks for the same again; `run.json` has it. Several batch sizes of an accuracy task are several
    runs, one after the other: each must stand on its own.

    Raises: ModelTestError when a run cannot be planned or fails; its directory, if it came to that, says why.
    """
    for single in singles(spec):
        workers = Workers(how.limits)
        yield launch(
            plan(single), command=command, progress=how.progress, verbose=how.verbose, workers=workers
        )


def singles(spec: RunSpec) -> list[RunSpec]:
    """Return the runs that `spec` asks for."""
    if not isinstance(registry.task_of(spec), AccuracyTask):
        return [spec]
    return [replace(spec, batch_sizes=((size,),)) for size in spec.batch_sizes[0]]


def go_on(
    directory: Path,
    *,
    asked: Mapping[str, object],
    is_trusted: bool,
    how: How,
    accepted: float | None = None,
) -> RunOutcome:
    """Go on with the run in `directory` from its journal; one that is complete is left as it is.

    `asked` are fields of a spec that must be those of the run. `is_trusted`: the user has said that code
    which the run brings along may run. `accepted` is the mean distance up to which they have said that a
    server's log-probabilities are of the same weights.

    Raises: SpecError when there is no run, or one that asks for something else; ModelTestError.
    """
    spec = read_result(directory).spec
    refuse_other_words(directory, spec, asked)
    if not is_trusted:
        named = asked.get("engine_python") or named_interpreter(os.environ)
        refuse_unsaid_trust(directory, [spec], interpreter=None if named is None else str(named))
    allow_code(spec)
    workers = Workers(how.limits)
    return resume(directory, progress=how.progress, verbose=how.verbose, workers=workers, accepted=accepted)
