"""Code that a run brings along: whoever goes on with a run of somebody else's is asked before it is run.

run.json and suite.json say what a run asks for, also that it trusts the code of a checkpoint. Somebody typed
that once; a directory that was handed over says it of itself. So it holds for whoever types it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from modeltest.api import RunSpec, SpecError
from modeltest.models.code_files import named_code

TRUST_OPTION = "--trust-remote-code"


def code_of(spec: RunSpec) -> Iterator[str]:
    """Yield, in words, each code beyond ModelTest's own that the run of `spec` would run."""
    if spec.trust_remote_code:
        yield f"the code that comes with the weights in {named_code(Path(spec.weights).expanduser())}"
    harness = spec.options.lm_eval
    if harness is not None and harness.include_path is not None:
        yield f"tasks with their code in {named_code(Path(harness.include_path).expanduser())}"
    if harness is not None and harness.confirm_run_unsafe_code:
        yield "programs that the model writes (--confirm-run-unsafe-code)"


def refuse_unsaid_trust(directory: Path, specs: Iterable[RunSpec]) -> None:
    """Refuse to go on in `directory` with runs that trust code, which the user has not said now.

    Raises: SpecError naming the code.
    """
    asked = list(dict.fromkeys(code for spec in specs for code in code_of(spec)))
    if asked:
        raise SpecError(
            f"going on in {directory} would run {'; '.join(asked)}: the directory says so, you have not; "
            f"add {TRUST_OPTION} if you trust it"
        )


def resume_command(directory: Path, spec: RunSpec) -> str:
    """Return what is typed to go on with the run of `spec` in `directory`."""
    trust = f" {TRUST_OPTION}" if any(code_of(spec)) else ""
    return f"modeltest run --resume {directory}{trust}"
