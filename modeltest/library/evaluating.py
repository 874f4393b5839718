"""One run from Python: what the commands of the shell ask for, by keywords."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from modeltest.api import RunSpec, SpecError
from modeltest.library.carrying_out import How, carry_out, go_on
from modeltest.library.interrupts import RunInterrupted
from modeltest.library.runs import Run, load_run
from modeltest.options.asked import asked_by_words, limits_by_keywords, words_of
from modeltest.options.limits import TIMEOUTS
from modeltest.run.planning.resume import asked_by
from modeltest.run.supervisor.launch import RunOutcome
from modeltest.run.supervisor.progress import told

if TYPE_CHECKING:
    from typing import Unpack

    from modeltest.library.keywords import (
        AcceptKeywords,
        AccuracyKeywords,
        GenerateKeywords,
        LimitKeywords,
        LmEvalKeywords,
        LocateKeywords,
        MaxbsKeywords,
        PerformanceKeywords,
        PrecisionKeywords,
    )

ACCURACY = "accuracy"

_LIMITS = frozenset(f"{what}_timeout" for what in TIMEOUTS)
_TRUST = "trust_remote_code"


@overload
def evaluate(
    command: Literal["accuracy"] = "accuracy",
    *,
    resume: str | os.PathLike[str] | None = None,
    progress: bool = False,
    verbose: bool = False,
    **options: Unpack[AccuracyKeywords],
) -> Run: ...
@overload
def evaluate(
    command: Literal["performance"],
    *,
    resume: str | os.PathLike[str] | None = None,
    progress: bool = False,
    verbose: bool = False,
    **options: Unpack[PerformanceKeywords],
) -> Run: ...
@overload
def evaluate(
    command: Literal["maxbs"],
    *,
    resume: str | os.PathLike[str] | None = None,
    progress: bool = False,
    verbose: bool = False,
    **options: Unpack[MaxbsKeywords],
) -> Run: ...
@overload
def evaluate(
    command: Literal["precision"],
    *,
    resume: str | os.PathLike[str] | None = None,
    progress: bool = False,
    verbose: bool = False,
    **options: Unpack[PrecisionKeywords],
) -> Run: ...
@overload
def evaluate(
    command: Literal["lm-eval"],
    *,
    resume: str | os.PathLike[str] | None = None,
    progress: bool = False,
    verbose: bool = False,
    **options: Unpack[LmEvalKeywords],
) -> Run: ...
@overload
def evaluate(
    command: Literal["generate"],
    *,
    resume: str | os.PathLike[str] | None = None,
    progress: bool = False,
    verbose: bool = False,
    **options: Unpack[GenerateKeywords],
) -> Run: ...
@overload
def evaluate(
    command: Literal["accept"],
    *,
    resume: str | os.PathLike[str] | None = None,
    progress: bool = False,
    verbose: bool = False,
    **options: Unpack[AcceptKeywords],
) -> Run: ...
@overload
def evaluate(
    command: Literal["locate"],
    *,
    resume: str | os.PathLike[str] | None = None,
    progress: bool = False,
    verbose: bool = False,
    **options: Unpack[LocateKeywords],
) -> Run: ...
@overload
def evaluate(
    *,
    resume: str | os.PathLike[str],
    accept_distance: float | None = None,
    trust_remote_code: bool = False,
    progress: bool = False,
    verbose: bool = False,
    **limits: Unpack[LimitKeywords],
) -> Run: ...
def evaluate(
    command: str = ACCURACY,
    *,
    resume: str | os.PathLike[str] | None = None,
    progress: bool = False,
    verbose: bool = False,
    **options: Any,
) -> Run:
    """Run what `modeltest COMMAND` runs, in worker processes of its own, and return the run with its files.

    Keywords are the options of the command, with `_` for each dash and the same defaults and variables of the
    environment: `--batch-size 8` is `batch_size=8`. An option that may be repeated takes a list, a case a
    pair such as `(256, 64)`. `--as` is `known_as`, because Python reserves `as`.

    With `resume` the run in that directory goes on where it was stopped; options beside it must ask for what
    it asks for, but for `accept_distance`, which is `--accept-distance`. Nothing is printed unless `progress`
    is true; `verbose` adds the output of the workers.

    The verdict says whether the numbers may be used: an INVALID run is returned, not raised.

    Raises: ModelTestError when what is asked for is wrong or impossible, or the run fails: SpecError,
    PrerequisiteError, DatasetError, EngineError. RunInterrupted at Ctrl-C, with the directory to go on with;
    what was done is kept and no worker is left.
    """
    limits = limits_by_keywords({name: options.pop(name) for name in _LIMITS & options.keys()})
    how = How(told(is_told=progress), limits, verbose=verbose)
    accepted = options.pop("accept_distance", None)
    if resume is not None:
        return _run_of(_gone_on(Path(resume).expanduser(), command, options, how, accepted))
    if accepted is not None:
        raise SpecError("accept_distance is for a run that is gone on with: give resume=DIR too")
    words = words_of(command, options)
    typed = shlex.join(["modeltest", command, *words])
    (outcome,) = carry_out(asked_by_words(command, words), command=typed, how=how)
    return _run_of(outcome)


def spec_of(command: str = ACCURACY, **options: Any) -> RunSpec:
    """Return what `evaluate` would run with these keywords; nothing is started.

    Raises: SpecError when they are wrong.
    """
    return asked_by_words(command, words_of(command, options))


def _gone_on(
    directory: Path, command: str, options: Mapping[str, Any], how: How, accepted: float | None
) -> RunOutcome:
    asks = options.keys() - {_TRUST}
    asked = asked_by(spec_of(command, **options)) if asks else {}
    is_trusted = bool(options.get(_TRUST))
    return go_on(directory, asked=asked, is_trusted=is_trusted, how=how, accepted=accepted)


def _run_of(outcome: RunOutcome) -> Run:
    """Return the run that ended.

    Raises: RunInterrupted when it was stopped.
    """
    if outcome.interrupt is not None:
        raise RunInterrupted(outcome.directory) from outcome.interrupt
    return load_run(outcome.directory)
