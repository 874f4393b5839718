"""The process that owns the model: the one place where a task meets an engine.

Started by `modeltest.run.supervisor.worker_process` with RUN_DIRECTORY; one that is kept
(`next_runs.py`) carries out further runs with the model it has loaded. It reads the spec
from `run.json` and goes on from the journal if there is one. Every finished batch is appended to the journal
before the next begins; everything else is reported by events. Its exit status is that of the command.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from modeltest import registry
from modeltest.api import (
    AccuracyTask,
    Capability,
    Engine,
    EngineInfo,
    Following,
    HarnessTask,
    Measurement,
    MeasurementTask,
    ModelTestError,
    RunResult,
    Sample,
    SequentialTask,
)
from modeltest.data.load import load_dataset_of
from modeltest.data.loaded import LoadedDataset
from modeltest.plain.contracts import to_plain
from modeltest.run.nodes.ranks import (
    end_with_launcher,
    has_launcher,
    own_rank,
    status_without_ranks,
    tell_launcher,
)
from modeltest.run.pipes.deadlines import RUNNING_PHASE
from modeltest.run.pipes.events import EventWriter
from modeltest.run.pipes.next_runs import next_runs
from modeltest.run.pipes.temporary_files import remove_temporary_files
from modeltest.run.pipes.variables import EVENTS, NEXT_RUNS, TRACE_FOLDER
from modeltest.run.planning.found import refuse_lacking
from modeltest.run.planning.lora import check_numbers
from modeltest.run.planning.prompts import ReadPrompts, read_prompts, with_prompts
from modeltest.run.planning.resume import as_at_begin, refuse_other_dataset, refuse_other_engine
from modeltest.run.record.directory import read_result
from modeltest.run.record.journal import FILE_NAME, JournalReader, JournalWriter, count_entries
from modeltest.run.worker.accuracy import refuse_other_prompts, run_accuracy
from modeltest.run.worker.handover import ServingEngine
from modeltest.run.worker.inquiry import run_inquiry
from modeltest.run.worker.leakage import leaks
from modeltest.run.worker.machine_errors import known_error
from modeltest.run.worker.measurement import Measured, run_measurements
from modeltest.run.worker.resumed import answered_in, begun_questions, trials_lost
from modeltest.run.worker.tracing import trials_to_trace, write_traces
from modeltest.task_files.named import allow_code

INTERNAL_ERROR = 70
"""Exit status of a defect in ModelTest or an engine (EX_SOFTWARE of sysexits.h)."""


@dataclass(frozen=True, slots=True)
class _Run:
    directory: Path
    result: RunResult
    serving: ServingEngine
    engine: Engine
    events: EventWriter
    is_timed: bool
    required: frozenset[Capability]

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        begin = time.perf_counter_ns()
        yield
        self.events.send("timing", name=name, seconds=(time.perf_counter_ns() - begin) / 1e9)

    def tell(self, done: int, total: int | None, unit: str, *, note: str = "") -> None:
        self.events.send("progress", done=done, total=total, unit=unit, note=note)


def main(arguments: list[str]) -> int:
    """Carry out the run in the given directory, and those that follow, and return the exit status."""
    events = EventWriter(os.environ.get(EVENTS))
    end_with_launcher()
    if own_rank() > 0:
        return _as_follower(Path(arguments[0]), events)
    events.start_heartbeat()
    serving = ServingEngine(serves_more=NEXT_RUNS in os.environ)
    try:
        status = _serve(chain([Path(arguments[0])], next_runs(events)), serving, events)
    finally:
        was_loaded = serving.is_loaded
        _close(serving)
        if not has_launcher():
            remove_temporary_files()
    return status if status or was_loaded else status_without_ranks()


def _serve(directories: Iterable[Path], serving: ServingEngine, events: EventWriter) -> int:
    """Carry out runs until one leaves the engine in doubt, and return the exit status of the last."""
    status = 0
    for directory in directories:
        asked_before = serving.runs
        status = _run_one(directory, serving, events)
        if status == INTERNAL_ERROR or (status and serving.runs > asked_before):
            break  # the state of the engine is unknown now
    return status


def _run_one(directory: Path, serving: ServingEngine, events: EventWriter) -> int:
    try:
        _execute(directory, serving, events)
    except ModelTestError as problem:
        traceback.print_exc()
        events.send("error", type=type(problem).__name__, message=str(problem))
        tell_launcher(str(problem))
        return problem.exit_code
    except KeyboardInterrupt:
        return 130
    except SystemExit:
        raise
    except BaseException as problem:  # libraries in Rust panic with one that is no Exception
        traceback.print_exc()
        status, name, message = _said(problem)
        events.send("error", type=name, message=message)
        return status
    events.send("done")
    return 0


def _said(problem: BaseException) -> tuple[int, str, str]:
    """Return the exit status for `problem`, the name of its error and what to say."""
    known = known_error(problem)
    if known is None:
        return INTERNAL_ERROR, "", f"internal error: {type(problem).__name__}: {problem}"
    return known.exit_code, type(known).__name__, str(known)


def _close(serving: ServingEngine) -> None:
    try:
        serving.close()
    except Exception:  # the work is done, or its failure is told
        traceback.print_exc()


def _as_follower(directory: Path, events: EventWriter) -> int:
    """Serve rank 0, which alone reads datasets, scores, journals and reports; return the exit status."""
    try:
        result = read_result(directory)
        engine = registry.load_engine(_engine_name(result))
        if not isinstance(engine, Following):
            raise ModelTestError(f"engine {engine.name!r} runs as one rank")
        with closing(engine):
            engine.follow(result.spec, result.model)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as problem:
        traceback.print_exc()
        status, name, message = _said(problem)
        events.send("error", type=name, message=f"rank {own_rank()}: {message}")
        tell_launcher(message)
        return status
    return 0


def _execute(directory: Path, serving: ServingEngine, events: EventWriter) -> None:
    result = read_result(directory)
    allow_code(result.spec)  # whoever started this worker has named it, or said that it may run
    task = registry.load_task(result.spec.task)
    engine = serving.engine(_engine_name(result))
    run = _Run(
        directory,
        result,
        serving,
        engine,
        events,
        is_timed=isinstance(task, MeasurementTask),
        required=task.requires(result.spec),
    )
    if isinstance(task, AccuracyTask):
        _ask(run, task)
    elif isinstance(task, MeasurementTask):
        prompts = _read_prompts(run, task)
        _with_engine(
            run,
            lambda info: _measure(run, with_prompts(task, prompts, run.engine), info),
            afterwards=lambda info: _trace(run, task, prompts, info),
        )
    elif isinstance(task, SequentialTask):
        _inquire(run, task)
    elif isinstance(task, HarnessTask):
        _run_harness(run, task)
    else:
        raise ModelTestError(
            f"task {task.name!r} is none of accuracy, measurement, sequential questions or a harness"
        )


def _engine_name(result: RunResult) -> str:
    if result.adapter is None:
        raise ModelTestError("run.json names no engine")
    return result.adapter


def _ask(run: _Run, task: AccuracyTask) -> None:
    dataset = _load_dataset(run, task)
    spec, total = run.result.spec, dataset.info.records
    run.events.send("findings", findings=to_plain(list(leaks(task.requests(dataset.data, spec)))))
    answered = answered_in(run.directory / FILE_NAME)
    if answered:
        refuse_other_prompts(task, dataset.data, spec, answered)
    begun = begun_questions(run.result.interruptions, frozenset(answered))

    def on_batch(taken: int, batch: Sequence[str]) -> None:
        # A batch that is asked by itself was in flight when an earlier worker was lost.
        run.events.send("in_flight", taken=taken, batch=batch, is_retry=bool(batch))

    def ask(_: EngineInfo) -> None:
        done = len(answered)
        run.tell(done, total, "questions")
        with JournalWriter(run.directory / FILE_NAME) as journal:
            for samples in run_accuracy(task, run.engine, dataset.data, spec, begun=begun, on_batch=on_batch):
                journal.append(samples)
                done += len(samples)
                run.tell(done, total, "questions")

    # A supervisor that was killed may have left all answers, and no word of the engine that gave them.
    if len(answered) < total or run.result.engine is None:
        _with_engine(run, ask)


def _load_dataset(run: _Run, task: AccuracyTask) -> LoadedDataset:
    spec = run.result.spec
    run.events.send("phase", name="reading dataset")
    dataset = load_dataset_of(
        task,
        spec.split,
        data_dir=spec.data_dir,
        subjects=spec.subjects,
        limit=spec.limit,
        shots_needed=bool(spec.options.shots),
    )
    refuse_other_dataset(run.directory, run.result.dataset, dataset.info)
    check_numbers(spec, dataset.data.records)
    if spec.options.shots:
        for _ in task.requests(dataset.data, spec):
            pass  # too few rows for the shots are found here, before they cost a model load
    run.events.send("dataset", dataset=to_plain(dataset.info))
    return dataset


def _read_prompts(run: _Run, task: MeasurementTask) -> ReadPrompts | None:
    prompts = read_prompts(run.result.spec, task)
    if prompts is not None and prompts.dataset is not None:
        refuse_other_dataset(run.directory, run.result.dataset, prompts.dataset)
        run.events.send("dataset", dataset=to_plain(prompts.dataset))
    return prompts


def _measure(run: _Run, task: MeasurementTask, info: EngineInfo) -> None:
    spec, path = run.result.spec, run.directory / FILE_NAME
    lost = trials_lost(run.result.interruptions)
    done = count_entries(path)
    run.tell(done, None, "trials")

    def on_trial(trial: str) -> None:
        run.events.send("in_flight", taken=0, batch=[trial], is_retry=trial in lost.once)

    measured = Measured(JournalReader(path, Measurement), lost.given_up)
    with JournalWriter(path) as journal:
        for measurement in run_measurements(
            task, run.engine, info, spec, measured=measured, on_trial=on_trial
        ):
            journal.append([measurement])
            done += 1
            case = spec.cases[measurement.case_index]
            shape = case.shape
            note = f"{shape} batch {measurement.batch_size} {measurement.phase}"
            run.tell(done, None, "trials", note=note)


def _trace(run: _Run, task: MeasurementTask, prompts: ReadPrompts | None, info: EngineInfo) -> None:
    """Write the traces that are asked for. All that counts is journalled: losing this worker loses no run."""
    folder = os.environ.get(TRACE_FOLDER)
    if not folder:
        return
    run.events.send("done")
    run.events.send("phase", name="tracing")
    spec, task = run.result.spec, with_prompts(task, prompts, run.engine)
    trials = trials_to_trace(task, spec, info, JournalReader(run.directory / FILE_NAME, Measurement))
    write_traces(
        run.engine,
        trials,
        spec,
        Path(folder),
        run=run.directory.name,
        tell=lambda text: run.events.send("note", text=text),
    )


def _inquire(run: _Run, task: SequentialTask) -> None:
    spec, path, claimed = run.result.spec, run.directory / FILE_NAME, run.engine.capabilities
    run.events.send("phase", name="reading the reference pack")
    model = run.result.model
    inquiry = task.open(spec, claimed, model)
    answered = {sample.score.request_id: sample for sample in JournalReader(path, Sample)}
    begun = begun_questions(run.result.interruptions, frozenset(answered))

    def on_batch(taken: int, batch: Sequence[str]) -> None:
        run.events.send("in_flight", taken=taken, batch=batch, is_retry=bool(batch))

    def ask(info: EngineInfo) -> None:
        lacking = {each for each in claimed if each.value in info.lacking}
        asked = task.open(spec, claimed - lacking, model) if lacking else inquiry
        done = len(answered)
        run.tell(done, asked.most, "questions")
        with JournalWriter(path) as journal:
            for samples in run_inquiry(
                asked,
                run.engine,
                batch_size=spec.batch_sizes[0][0],
                answered=answered,
                begun=begun,
                on_batch=on_batch,
            ):
                journal.append(samples)
                done += len(samples)
                run.tell(done, asked.most, "questions")

    # A supervisor that was killed may have left all answers, and no word of the engine that gave them.
    if len(answered) < inquiry.most or run.result.engine is None:
        _with_engine(run, ask)


def _run_harness(run: _Run, task: HarnessTask) -> None:
    run.events.send("phase", name="reading datasets")
    evaluation = task.prepare(run.result.spec, run.engine)
    _with_engine(run, lambda info: evaluation.run(run.engine, info, directory=run.directory, tell=run.tell))


def _with_engine(
    run: _Run, work: Callable[[EngineInfo], None], *, afterwards: Callable[[EngineInfo], None] | None = None
) -> None:
    """Have a loaded model and do `work` with it; `afterwards` is neither timed nor counted."""
    is_loaded = run.serving.is_loaded
    run.events.send("phase", name="using the loaded model" if is_loaded else "loading model")
    with nullcontext() if is_loaded else run.timed("load"):
        info = run.serving.ready(run.result.spec, run.result.model)
    refuse_other_engine(run.directory, run.result.engine, info, is_timed=run.is_timed)
    info = as_at_begin(run.result.engine, info)
    refuse_lacking(info, run.result.spec, run.required)
    run.events.send("loaded", engine=to_plain(info), is_new=not is_loaded)
    run.events.send("phase", name=RUNNING_PHASE)
    with run.timed("run"):
        work(info)
    run.events.send("usage", usage=to_plain(run.serving.usage()))
    if afterwards is not None:
        afterwards(info)
