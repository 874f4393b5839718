"""Which of Python's own errors mean that the machine lacks something, and no defect of ModelTest."""

from __future__ import annotations

from pathlib import Path

from modeltest.api import EngineError, ModelTestError, PrerequisiteError

_OURS = ("modeltest", "engines", "reports")
_ROOT = Path(__file__).resolve().parents[3]


def known_error(problem: BaseException) -> ModelTestError | None:
    """Return the error that says what came of `problem`; `None` for what may be a defect of ModelTest."""
    return problem if isinstance(problem, ModelTestError) else of_this_machine(problem) or _of_rust(problem)


def _of_rust(problem: BaseException) -> EngineError | None:
    """Return the error for a panic in Rust, whose class no module has and which is no `Exception`.

    tokenizers and safetensors panic over some damaged files, where others of their errors are told apart.
    """
    if type(problem).__name__ != "PanicException":
        return None
    return EngineError(
        f"a library in Rust gave up over a file of the checkpoint ({' '.join(str(problem).split()):.200}); "
        "the tokenizer's files are the likeliest: copy or download them again"
    )


def of_this_machine(problem: BaseException) -> PrerequisiteError | None:
    """Return the error that says what the machine lacks; `None` for what may be a defect.

    A library that does not import is broken, or does not fit into the memory that is left.
    """
    if isinstance(problem, MemoryError):
        return PrerequisiteError(
            "the memory of the host ran out; end other processes, or raise the limit of this one (ulimit -v)"
        )
    if isinstance(problem, ImportError) and (problem.name or "").partition(".")[0] not in _OURS:
        return PrerequisiteError(
            f"a library cannot be imported: {problem}; install it again, or give it memory"
        )
    # Python cannot read some texts when a module of its own no longer fits into memory.
    if isinstance(problem, SyntaxError) and not _is_ours(problem.filename):
        return PrerequisiteError(f"a library cannot be read: {problem}; install it again, or give it memory")
    if isinstance(problem, OSError) and problem.strerror is not None:
        where = f"{problem.filename}: " if problem.filename is not None else ""
        return PrerequisiteError(f"the system refuses: {where}{problem.strerror}")
    return None


def _is_ours(file: str | None) -> bool:
    return file is None or any(Path(file).is_relative_to(_ROOT / name) for name in _OURS)
