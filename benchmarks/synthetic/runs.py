"""Run directories of runs that never were: valid, seeded, written by the writers of real runs.

Answers are drawn, times are those of the fake engine, and `engine.notes` says so. What is done with them,
from the journal to summary, verdict and reports, is what is done with a real run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random

from synthetic.lines import LINES, Line

from engines.fake import FakeEngine
from modeltest import registry
from modeltest.api import (
    AccuracyTask,
    BatchRange,
    Case,
    Completion,
    DatasetInfo,
    EngineInfo,
    MeasurementTask,
    ModelInfo,
    RunResult,
    RunSpec,
    RunStatus,
    Sample,
    Score,
    TaskOptions,
)
from modeltest.data.card import load_card
from modeltest.findings import sentences
from modeltest.run.ending.finish import finish, judge, summarize
from modeltest.run.record.directory import RUN_FILE, create_run_directory, read_result, write_result
from modeltest.run.record.journal import FILE_NAME, JournalWriter
from modeltest.run.worker.measurement import run_measurements
from modeltest.version import __version__

FIRST_NIGHT = datetime(2026, 3, 2, 1, 0, tzinfo=timezone.utc)
MINUTES_APART = 20

CASES = (Case(256, 32), Case(1024, 32))
BATCH_SIZES = (1, 8)
SEARCHED = Case(128, 16)
LIMIT_MS = 30.0
NOISE = 0.01
"""Relative spread of a decode step."""

SHOTS = {"full_BoolQ": None, "full_MMLU": 5}
TASKS = {"full_BoolQ": "boolq", "full_MMLU": "mmlu"}
CHOICES = {"boolq": ("yes", "no"), "mmlu": ("A", "B", "C", "D")}

MACHINE = {
    "python": "3.11.7",
    "system": "Linux 5.10.0",
    "architecture": "aarch64",
    "processor": "synthetic, 192 cores",
    "cpus": 192,
    "cpus_online": 192,
    "sockets": 4,
    "memory_bytes": 824_633_720_832,
    "memory_available_bytes": 700_000_000_000,
    "swap_used_bytes": 0,
    "load_1min": 0.4,
    "cpu_governor": "performance",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """One run to write: what it is of, and in which night."""

    line: Line
    night: int
    place: int
    """Among the runs of its night."""


def plans(count: int, lines: Sequence[Line] = LINES) -> Iterator[Plan]:
    """Yield `count` runs, night by night."""
    for number in range(count):
        night, place = divmod(number, len(lines))
        yield Plan(lines[place], night, place)


def write_runs(
    directory: Path, count: int, *, seed: int = 0, questions: int = 400, reports: bool = False
) -> list[Path]:
    """Write `count` runs into `directory` and return their directories, oldest first.

    With `reports` every report of each is written too, which takes most of the time.
    """
    return [
        write_run(directory, plan, seed=seed, questions=questions, reports=reports) for plan in plans(count)
    ]


def write_run(
    directory: Path, plan: Plan, *, seed: int = 0, questions: int = 400, reports: bool = False
) -> Path:
    """Write one run and return its directory. Equal arguments give equal numbers."""
    started = FIRST_NIGHT + timedelta(days=plan.night, minutes=MINUTES_APART * plan.place)
    line = plan.line
    name = f"{line.mode}_{line.model}_{line.engine.adapter}"
    place = create_run_directory(str(directory), started=started, name=name)
    random = Random(f"{seed}/{line}/{plan.night}")
    result = _result(plan, started, random, questions=questions)
    entries: Iterator[object]
    if line.mode in TASKS:
        entries = _samples(plan, random, questions)
    else:
        entries = _measurements(plan, result.spec, random)
    with JournalWriter(place / FILE_NAME) as journal:
        journal.append(entries)
    write_result(place, result)
    read = read_result(place)
    if reports:
        finish(read, place)
    else:
        summary = summarize(read, place)
        expected = result.dataset.records if result.dataset else None
        verdict, reasons = judge(summary, expected_questions=expected)
        result = replace(read, summary=summary, verdict=verdict)
        write_result(place, replace(result, reasons=sentences(reasons), reason_codes=reasons))
    return place


def write_odd_runs(directory: Path, plan: Plan, *, seed: int = 0) -> list[Path]:
    """Write what a folder of real runs holds beside them: failed, interrupted, running and damaged runs."""
    whole = [write_run(directory, replace(plan, place=plan.place + k), seed=seed) for k in range(4)]
    failed, running, partial, damaged = whole
    for path, changes in (
        (failed, {"status": "failed", "error": "the worker was killed by signal 9 while loading the model"}),
        (running, {"status": "running"}),
        (partial, {"status": "partial", "error": "interrupted after 120 questions"}),
    ):
        result = read_result(path)
        write_result(
            path, replace(result, summary=None, verdict=None, reasons=(), reason_codes=(), **changes)
        )
    text = (damaged / RUN_FILE).read_text(encoding="utf-8")
    (damaged / RUN_FILE).write_text(text[: len(text) // 2], encoding="utf-8")
    return whole


def _result(plan: Plan, started: datetime, random: Random, *, questions: int) -> RunResult:
    line, engine = plan.line, plan.line.engine
    spec = _spec(plan)
    run_s = round(random.uniform(200, 240), 3)
    return RunResult(
        spec=spec,
        started=started.isoformat(timespec="seconds"),
        status=RunStatus.COMPLETE,
        model=ModelInfo(
            key="auto",
            name=line.model,
            path=spec.weights,
            model_type="llama",
            dtype=engine.dtype,
            quantize=line.quantize,
            max_position_embeddings=8192,
            block_size=128,
            chips=1,
            fingerprint=hashlib.sha256(line.model.encode()).hexdigest(),
        ),
        adapter=engine.adapter,
        engine=_engine_info(line),
        dataset=_dataset(line, questions),
        machine=MACHINE,
        timing_s={"load": round(random.uniform(30, 40), 3), "run": run_s},
        command=f"modeltest {engine.word} {line.mode} auto {spec.weights} 1",
        modeltest_version=__version__,
        protocol_version=_protocol_version(line),
    )


def _spec(plan: Plan) -> RunSpec:
    line, engine = plan.line, plan.line.engine
    common = {
        "engine": engine.word,
        "mode": line.mode,
        "task": TASKS.get(line.mode, line.mode),
        "model": "auto",
        "weights": f"/models/{line.model}",
        "dtype": engine.dtype,
    }
    if line.mode in TASKS:
        return RunSpec(
            **common, split="full", batch_sizes=((8,),), options=TaskOptions(shots=SHOTS[line.mode])
        )
    if line.mode == "performance":
        return RunSpec(**common, cases=CASES, batch_sizes=(BATCH_SIZES,))
    return RunSpec(
        **common,
        cases=(SEARCHED,),
        options=TaskOptions(batch_ranges=(BatchRange(1, 128),), latency_limit_ms=LIMIT_MS),
    )


def _engine_info(line: Line) -> EngineInfo:
    return EngineInfo(
        engine=line.engine.adapter,
        device=line.engine.device,
        dtype=line.engine.dtype,
        vocabulary_size=256,
        special_token_ids=(0,),
        context_tokens=8192,
        versions={"torch": "2.6.0", "transformers": "4.53.0"},
        load_s=31.0,
        notes=("synthetic: no model was run",),
        times_end_alone=True,
    )


def _dataset(line: Line, questions: int) -> DatasetInfo | None:
    if line.mode not in TASKS:
        return None
    ids = [question for question, _, _ in _questions(line, questions)]
    return DatasetInfo(
        name=TASKS[line.mode],
        split="full",
        path="synthetic",
        sha256=hashlib.sha256("\n".join(ids).encode()).hexdigest(),
        official=False,
        records=len(ids),
        subjects=len({question.partition("/")[0] for question in ids}),
    )


def _protocol_version(line: Line) -> str | None:
    if line.mode not in TASKS:
        return None
    task = registry.load_task(TASKS[line.mode])
    if not isinstance(task, AccuracyTask):
        raise TypeError(f"{task.name} is no accuracy task")
    return task.protocols["modeltest"]


def _questions(line: Line, count: int) -> Iterator[tuple[str, str, str]]:
    """Yield id, subject and category of about `count` questions, dealt out evenly over the subjects."""
    subjects = load_card(TASKS[line.mode]).subjects or {"boolq": {}}
    for subject, row in subjects.items():
        for number in range(max(1, count // len(subjects))):
            yield f"{subject}/{number}", subject, row.get("category", "")


def _samples(plan: Plan, random: Random, count: int) -> Iterator[Sample]:
    """Yield answers: a question is right where it is easier than the model is able, give or take rounding."""
    line = plan.line
    ability = line.ability + sum(each.accuracy for each in line.changes if each.holds(plan.night))
    difficulty = Random(f"{line.model}/{line.mode}")
    labels = CHOICES[TASKS[line.mode]]
    for question, subject, category in _questions(line, count):
        hard = difficulty.random()
        jitter = line.engine.jitter * random.uniform(-1, 1)
        expected = labels[difficulty.randrange(len(labels))]
        wrong = difficulty.choice([label for label in labels if label != expected])
        is_right = hard < ability + jitter
        predicted = expected if is_right else wrong
        margin = round(abs(hard - ability) * 4 + abs(jitter) + 1e-3, 6)
        logprobs = tuple(round(-0.2 - (0 if label == predicted else margin), 6) for label in labels)
        margin = -0.2 - min(logprobs)  # as it is computed from them, to the last bit
        yield Sample(
            Score(question, subject, category, expected, predicted, is_right, margin),
            Completion(question, choice_logprobs=logprobs),
            prompt_sha256=hashlib.sha256(question.encode()).hexdigest(),
        )


def _measurements(plan: Plan, spec: RunSpec, random: Random) -> Iterator[object]:
    """Yield what the task's own trials give on the fake engine, at the speed of this line in this night."""
    line = plan.line
    task = registry.load_task(spec.task)
    if not isinstance(task, MeasurementTask):
        raise TypeError(f"{task.name} measures nothing")
    time = line.engine.speed * random.uniform(0.995, 1.005)
    for change in line.changes:
        time *= change.time if change.holds(plan.night) else 1.0
    options = {
        "step_ms": f"{line.step_ms * time:.6f}",
        "row_ms": f"{line.step_ms * time / 25:.6f}",
        "prefill_ms_per_token": f"{line.step_ms * time / 400:.6f}",
        "noise": str(NOISE),
    }
    engine = FakeEngine()
    seed = random.randrange(1 << 30)
    info = engine.load(replace(spec, engine_options=options, seed=seed), _no_model())
    engine_info = replace(info, times_end_alone=True)
    yield from run_measurements(task, engine, engine_info, spec)


def _no_model() -> ModelInfo:
    return ModelInfo("auto", "auto", "none", "", None, None, None, 128, 1, None)
