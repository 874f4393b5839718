"""`--resume DIR`: going on with a run that was stopped."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from modeltest.api import RunSpec
from modeltest.cli.execute import ExecutionOptions, conclude, dump


def go_on(
    directory: Path,
    *,
    words: Sequence[RunSpec],
    options: Mapping[str, object],
    execution: ExecutionOptions,
    is_trusted: bool,
) -> int:
    """Go on with the run in `directory` and return the exit status.

    `words` are the runs that words on the command line ask for, `options` the fields of a spec that options
    do: whatever is given must be what the run in `directory` asks for. `is_trusted`: the user has said that
    code which the run brings along may run.

    Raises: SpecError when it is not; what `modeltest.run.supervisor.launch.resume` raises.
    """
    # Only here: the commands that run nothing stay quick.
    from modeltest.run.planning.resume import asked_by, refuse_other_words
    from modeltest.run.planning.trust import refuse_unsaid_trust
    from modeltest.run.record.directory import read_result
    from modeltest.run.supervisor.launch import resume
    from modeltest.run.supervisor.progress import progress_for
    from modeltest.run.supervisor.workers import Workers

    spec = read_result(directory).spec
    asked = [one for one in words if one.batch_sizes == spec.batch_sizes] or list(words)
    refuse_other_words(directory, spec, asked_by(asked[0]) if asked else options)
    if execution.dry_run:
        return dump(spec)
    if not is_trusted:
        refuse_unsaid_trust(directory, [spec])
    progress = progress_for(sys.stderr.isatty())
    workers = Workers(execution.limits)
    return conclude(resume(directory, progress=progress, verbose=execution.verbose, workers=workers))
