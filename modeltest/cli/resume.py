"""`--resume DIR`: going on with a run that was stopped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from modeltest.api import RunSpec
from modeltest.cli.execute import ExecutionOptions, conclude, dump, how


def go_on(
    directory: Path,
    *,
    asked: RunSpec | None,
    options: Mapping[str, object],
    execution: ExecutionOptions,
    is_trusted: bool,
    accepted: float | None = None,
) -> int:
    """Go on with the run in `directory` and return the exit status.

    `asked` is what words on the command line ask for, `options` are the fields of a spec that options do:
    whatever is given must be what the run in `directory` asks for. `is_trusted`: the user has said that
    code which the run brings along may run. `accepted` is the mean distance up to which they have said that a
    server's log-probabilities are of the same weights.

    Raises: SpecError when it is not; what `modeltest.library.carrying_out.go_on` raises.
    """
    # Only here: the commands that run nothing stay quick.
    from modeltest.library import carrying_out
    from modeltest.run.planning.resume import asked_by, refuse_other_words
    from modeltest.run.record.directory import read_result

    spec = read_result(directory).spec
    given = options
    if asked is not None:
        runs = carrying_out.singles(asked)
        given = asked_by(next((one for one in runs if one.batch_sizes == spec.batch_sizes), runs[0]))
    if execution.dry_run:
        refuse_other_words(directory, spec, given)
        return dump(spec)
    outcome = carrying_out.go_on(
        directory, asked=given, is_trusted=is_trusted, how=how(execution), accepted=accepted
    )
    return conclude(outcome)
