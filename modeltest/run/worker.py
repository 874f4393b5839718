"""The process that owns the model: the one place where a task meets an engine.

Started by `modeltest.run.launch` as `python -m modeltest.run.worker RUN_DIRECTORY`. It reads the spec from
`run.json`, appends every finished batch to the journal before the next begins, and reports by events.
Its exit status is the exit status of the command.
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from modeltest import registry
from modeltest.api import (
    AccuracyTask,
    Engine,
    EngineInfo,
    HarnessTask,
    MeasurementTask,
    ModelTestError,
    RunResult,
    to_plain,
)
from modeltest.data.load import LoadedDataset, load_dataset
from modeltest.run.accuracy import run_accuracy
from modeltest.run.directory import read_result
from modeltest.run.events import VARIABLE, EventWriter
from modeltest.run.journal import FILE_NAME, JournalWriter
from modeltest.run.measurement import run_measurements
from modeltest.run.prompts import ReadPrompts, read_prompts, with_prompts

INTERNAL_ERROR = 70
"""Exit status of a defect in ModelTest or an engine (EX_SOFTWARE of sysexits.h)."""


@dataclass(frozen=True, slots=True)
class _Run:
    directory: Path
    result: RunResult
    engine: Engine
    events: EventWriter

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        begin = time.perf_counter_ns()
        yield
        self.events.send("timing", name=name, seconds=(time.perf_counter_ns() - begin) / 1e9)


def main(arguments: list[str]) -> int:
    """Run what `run.json` in the given directory asks for and return the exit status."""
    events = EventWriter(os.environ.get(VARIABLE))
    try:
        _execute(Path(arguments[0]), events)
    except ModelTestError as problem:
        traceback.print_exc()
        events.send("error", type=type(problem).__name__, message=str(problem))
        return problem.exit_code
    except KeyboardInterrupt:
        return 130
    except Exception as problem:
        traceback.print_exc()
        events.send("error", type="", message=f"internal error: {type(problem).__name__}: {problem}")
        return INTERNAL_ERROR
    events.send("done")
    return 0


def _execute(directory: Path, events: EventWriter) -> None:
    result = read_result(directory)
    task = registry.load_task(result.spec.task)
    run = _Run(directory, result, registry.load_engine(_adapter(result)), events)
    if isinstance(task, AccuracyTask):
        dataset = _load_dataset(run, task)
        _with_engine(run, lambda _: _ask(run, task, dataset))
    elif isinstance(task, MeasurementTask):
        prompts = _read_prompts(run, task)
        _with_engine(run, lambda info: _measure(run, with_prompts(task, prompts, run.engine), info))
    elif isinstance(task, HarnessTask):
        _run_harness(run, task)
    else:
        raise ModelTestError(
            f"task {task.name!r} is neither an accuracy nor a measurement task nor a harness"
        )


def _adapter(result: RunResult) -> str:
    if result.adapter is None:
        raise ModelTestError("run.json names no engine adapter")
    return result.adapter


def _load_dataset(run: _Run, task: AccuracyTask) -> LoadedDataset:
    spec = run.result.spec
    run.events.send("phase", name="reading dataset")
    dataset = load_dataset(
        task.dataset,
        spec.split,
        data_dir=spec.data_dir,
        subjects=spec.subjects,
        limit=spec.limit,
        shots_needed=bool(spec.options.shots),
    )
    if spec.options.shots:
        for _ in task.requests(dataset.data, spec):
            pass  # too few rows for the shots are found here, before they cost a model load
    run.events.send("dataset", dataset=to_plain(dataset.info))
    return dataset


def _read_prompts(run: _Run, task: MeasurementTask) -> ReadPrompts | None:
    prompts = read_prompts(run.result.spec, task)
    if prompts is not None and prompts.dataset is not None:
        run.events.send("dataset", dataset=to_plain(prompts.dataset))
    return prompts


def _with_engine(run: _Run, work: Callable[[EngineInfo], None]) -> None:
    with closing(run.engine):
        run.events.send("phase", name="loading model")
        with run.timed("load"):
            info = run.engine.load(run.result.spec, run.result.model)
        run.events.send("loaded", engine=to_plain(info))
        run.events.send("phase", name="running")
        with run.timed("run"):
            work(info)
        run.events.send("usage", usage=to_plain(run.engine.usage()))


def _ask(run: _Run, task: AccuracyTask, dataset: LoadedDataset) -> None:
    done = 0
    with JournalWriter(run.directory / FILE_NAME) as journal:
        for samples in run_accuracy(task, run.engine, dataset.data, run.result.spec):
            journal.append(samples)
            done += len(samples)
            run.events.send("progress", done=done, total=dataset.info.records, unit="questions")


def _measure(run: _Run, task: MeasurementTask, info: EngineInfo) -> None:
    spec = run.result.spec
    with JournalWriter(run.directory / FILE_NAME) as journal:
        for done, measurement in enumerate(run_measurements(task, run.engine, info, spec), start=1):
            journal.append([measurement])
            case = spec.cases[measurement.case_index]
            shape = f"{case.input_tokens}x{case.output_tokens}"
            note = f"{shape} batch {measurement.batch_size} {measurement.phase}"
            run.events.send("progress", done=done, total=None, unit="trials", note=note)


def _run_harness(run: _Run, task: HarnessTask) -> None:
    run.events.send("phase", name="reading datasets")
    evaluation = task.prepare(run.result.spec, run.engine)

    def tell(done: int, total: int, unit: str) -> None:
        run.events.send("progress", done=done, total=total, unit=unit)

    _with_engine(run, lambda info: evaluation.run(run.engine, info, directory=run.directory, tell=tell))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
