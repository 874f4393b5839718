"""Code that a run brings along: it is executed only where the user has said so.

The code of a checkpoint runs when the words of a run say so, and so does the code that task files of
lm-evaluation-harness name. run.json and suite.json record it too, but that is no consent: the directory may
come from somebody else. So whoever resumes a run says it again.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from modeltest.api import LmEvalOptions, RunSpec, SpecError
from modeltest.lm_eval.task_files import task_files
from modeltest.models.code_files import UNREADABLE, CodeFile, digest_of, named, named_code
from modeltest.run.pipes.variables import ENGINE_PYTHON
from modeltest.task_files.named import digests, is_code

TRUST_OPTION = "--trust-remote-code"


def code_of(spec: RunSpec) -> Iterator[str]:
    """Yield, in words, each code beyond ModelTest's own that the run of `spec` would run."""
    if spec.trust_remote_code:
        yield f"the code that comes with the weights in {named_code(Path(spec.weights).expanduser())}"
    if is_code(spec):
        path = Path(str(spec.task_file))
        yield f"the task file {named([CodeFile(str(path), digest_of(path))])}"
    harness = spec.options.lm_eval
    if harness is not None and (code := _code_of_tasks(harness)):
        yield f"the code that task files name: {code}"
    if harness is not None and harness.confirm_run_unsafe_code:
        yield "programs that the model writes (--confirm-run-unsafe-code)"


def digests_of_tasks(spec: RunSpec) -> dict[str, str]:
    """Return the sha256 of every task file of the run, and of the code that they name.

    What came with lm-evaluation-harness is none of them. Files are named by their path in the folder that
    holds them all, so that a copy elsewhere has equal names.

    Raises: SpecError for a task file that cannot be read.
    """
    harness = spec.options.lm_eval
    if harness is None:
        return dict(digests(spec))
    found = task_files(harness)
    paths = [*found.files, *found.code]
    folder = os.path.commonpath([path.parent for path in paths]) if paths else ""
    of_files = {os.path.relpath(path, folder): digest_of(path) for path in paths}
    of_files |= {name: _digest_of(path) for name, path in found.elsewhere.items()}
    return {name: digest or UNREADABLE for name, digest in of_files.items()}


def refuse_untrusted_tasks(spec: RunSpec) -> None:
    """Refuse a run whose task files name code, unless it trusts code.

    Raises: SpecError naming the code.
    """
    harness = spec.options.lm_eval
    if harness is not None and not spec.trust_remote_code and (code := _code_of_tasks(harness)):
        raise SpecError(f"task files name code that would run: {code}; add {TRUST_OPTION} if you trust it")


def refuse_unsaid_trust(directory: Path, specs: Iterable[RunSpec], *, interpreter: str | None = None) -> None:
    """Refuse to go on in `directory` with runs that trust code, which the user has not said now.

    An interpreter that a run names is code as well: it is said by naming it again, as `interpreter`.

    Raises: SpecError naming the code.
    """
    specs = list(specs)
    asked = list(dict.fromkeys(code for spec in specs for code in code_of(spec)))
    others = {spec.engine_python for spec in specs} - {None, interpreter}
    asked += [f"the interpreter {path}" for path in sorted(map(str, others))]
    if asked:
        naming = f", or name the interpreter by {ENGINE_PYTHON}" if others else ""
        raise SpecError(
            f"going on in {directory} would run {'; '.join(asked)}: the directory says so, you have not; "
            f"add {TRUST_OPTION} if you trust it{naming}"
        )


def named_interpreter(variables: Mapping[str, str]) -> str | None:
    """Return the interpreter that the user's variables name."""
    named = variables.get(ENGINE_PYTHON)
    return str(Path(named).expanduser().absolute()) if named else None


def _code_of_tasks(harness: LmEvalOptions) -> str:
    """Return, in words, the code that task files name: empty where they name none."""
    found = task_files(harness)
    elsewhere = [CodeFile(name, _digest_of(path)) for name, path in found.elsewhere.items()]
    return named([*(CodeFile(str(path), digest_of(path)) for path in found.code), *elsewhere])


def _digest_of(path: Path | None) -> str | None:
    return None if path is None else digest_of(path)


def resume_command(directory: Path, spec: RunSpec) -> str:
    """Return what is typed to go on with the run of `spec` in `directory`."""
    trust = f" {TRUST_OPTION}" if any(code_of(spec)) else ""
    python = f" --engine-python {shlex.quote(spec.engine_python)}" if spec.engine_python else ""
    return f"modeltest run --resume {directory}{trust}{python}"
