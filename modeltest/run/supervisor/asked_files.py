"""What MindIE's own variables ask for beside the run directory, whichever engine runs.

    ATB_LLM_BENCHMARK_ENABLE=1   the times of the measured trials, as benchmark.csv
    ATB_LLM_BENCHMARK_FILEPATH   where; ./benchmark_result/benchmark.csv when it is not set
    ATB_PROFILING_ENABLE=1       a profiler trace of each case
    PROFILING_FILEPATH           the folder of the traces; ./profiling when it is not set
    PROFILING_LEVEL              how much the profiler of an NPU records: Level0 when it is not set

The library of MindIE sees none of them as the user set them: its engine has it write into a folder of the
run, and nothing is profiled while it is measured.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modeltest.api import Capability, PrerequisiteError, SpecError, Traceable
from modeltest.run.planning.plan import Plan
from modeltest.run.supervisor.benchmark_file import FOLDER_MODE, held

BENCHMARK_ENABLE = "ATB_LLM_BENCHMARK_ENABLE"
BENCHMARK_PATH = "ATB_LLM_BENCHMARK_FILEPATH"
TRACE_ENABLE = "ATB_PROFILING_ENABLE"
TRACE_PATH = "PROFILING_FILEPATH"
TRACE_LEVEL = "PROFILING_LEVEL"

LEVELS = ("Level0", "Level1", "Level2", "Level_none")
"""Names of torch_npu's profiler."""

_DEFAULT_BENCHMARK = "benchmark_result/benchmark.csv"
_DEFAULT_TRACES = "profiling"


@dataclass(frozen=True, slots=True)
class AskedFiles:
    """The files to write, and why one that is asked for is not written."""

    benchmark: Path | None = None
    trace_folder: Path | None = None
    notes: tuple[str, ...] = ()


def asked_files(plan: Plan, variables: Mapping[str, str]) -> AskedFiles:
    """Return what `variables` ask of the run `plan`.

    Raises: SpecError for an unknown level.
    """
    is_timed = Capability.TOKEN_TIMES in plan.task.requires(plan.spec)
    untimed = f"{plan.spec.mode} takes no times of tokens"
    benchmark = traces = None
    notes = []
    if variables.get(BENCHMARK_ENABLE) == "1":
        if is_timed:
            benchmark = Path(variables.get(BENCHMARK_PATH) or _DEFAULT_BENCHMARK).absolute()
        else:
            notes.append(f"{BENCHMARK_ENABLE}=1: no benchmark.csv, {untimed}")
    if variables.get(TRACE_ENABLE) == "1":
        _check_level(variables.get(TRACE_LEVEL))
        if not is_timed:
            notes.append(f"{TRACE_ENABLE}=1: no trace, {untimed}")
        elif not isinstance(plan.engine, Traceable):
            notes.append(f"{TRACE_ENABLE}=1: no trace, engine {plan.engine.name} has nothing to record")
        else:
            traces = Path(variables.get(TRACE_PATH) or _DEFAULT_TRACES).absolute()
    return AskedFiles(benchmark, traces, tuple(notes))


@contextmanager
def prepared(asked: AskedFiles) -> Iterator[None]:
    """Make sure, before a model is loaded, that the files can be written, and keep them for this run.

    Raises: PrerequisiteError.
    """
    if asked.trace_folder is not None:
        _make_writable(asked.trace_folder)
    with held(asked.benchmark):
        yield


def _make_writable(folder: Path) -> None:
    try:
        folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as problem:
        raise PrerequisiteError(
            f"cannot write traces into {folder}: {problem.strerror}; choose another folder with {TRACE_PATH}"
        ) from problem


def _check_level(level: str | None) -> None:
    if level is not None and level not in LEVELS:
        raise SpecError(f"{TRACE_LEVEL} is {level!r:.80}; available: {', '.join(LEVELS)}")
