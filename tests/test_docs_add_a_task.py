"""The task of docs/add-a-task.md truly works: as an object, and found by its entry point."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from doc_blocks import ROOT, blocks, commands

from engines.fake import FakeEngine
from modeltest.api import (
    AccuracySummary,
    AccuracyTask,
    ModelInfo,
    Record,
    RunSpec,
    Sample,
    SpecError,
    TaskData,
)
from modeltest.run.worker.accuracy import run_accuracy

DOCUMENT = ROOT / "docs" / "add-a-task.md"
INFO = ModelInfo("m", "m", "none", "", None, None, None, 128, 1, None)
DATA = TaskData(
    records=[
        Record("colours/0", "colours", {"question": "Is the sky on a clear day blue?", "answer": "yes"}),
        Record("colours/1", "colours", {"question": "Is grass red?", "answer": "no"}),
    ],
    shots={},
    subjects={"colours": {"category": "general"}},
)


def text_of(language: str, number: int = 0) -> str:
    return list(blocks(DOCUMENT, language))[number].text


@pytest.fixture(scope="module")
def task() -> AccuracyTask:
    namespace: dict[str, object] = {}
    exec(compile(text_of("python"), str(DOCUMENT), "exec"), namespace)
    return namespace["Colours"]()


def test_the_example_with_options_asks_and_scores_two_of_them_and_five():
    namespace: dict[str, object] = {}
    exec(compile(text_of("python", 1), str(DOCUMENT), "exec"), namespace)
    paints = namespace["Paints"]()
    rows = [{"question": "?", **dict.fromkeys("ABCDE"[:count], "x"), "answer": "B"} for count in (2, 5)]
    records = [Record(f"paints/{number}", "paints", row) for number, row in enumerate(rows)]
    asked = RunSpec("fake", "sample_Paints", "paints", "auto", "none", batch_sizes=((4,),))
    engine = FakeEngine()
    engine.load(replace(asked, engine_options={"answer": "The answer is B."}), INFO)
    data = TaskData(records, {}, {"paints": {}})
    samples = [sample for batch in run_accuracy(paints, engine, data, asked) for sample in batch]
    summary = paints.summarize(samples, data.subjects)
    assert (summary.micro.correct, summary.guess_rate) == (2, pytest.approx((1 / 2 + 1 / 5) / 2))


def spec(**options: str) -> RunSpec:
    return RunSpec(
        engine="fake",
        mode="sample_Colours",
        task="colours",
        model="auto",
        weights="none",
        batch_sizes=((4,),),
        engine_options=options,
    )


def ask(task: AccuracyTask, **options: str) -> list[Sample]:
    asked = spec(**options)
    engine = FakeEngine()
    engine.load(asked, INFO)
    return [sample for batch in run_accuracy(task, engine, DATA, asked) for sample in batch]


def run(task: AccuracyTask, **options: str) -> AccuracySummary:
    return task.summarize(ask(task, **options), DATA.subjects)


def test_the_example_is_an_accuracy_task(task):
    assert isinstance(task, AccuracyTask)
    assert task.requires(spec()) <= FakeEngine.capabilities


def test_the_example_asks_and_scores_on_the_fake_engine(task):
    assert [sample.score.correct for sample in ask(task, answer="Yes")] == [True, False]
    summary = run(task, answer="yes")
    assert (summary.micro.correct, summary.micro.total, summary.failed) == (1, 2, 0)


def test_the_example_counts_failures_and_empty_answers_apart(task):
    assert run(task, fail_every="2").failed == 1
    assert run(task, answer=" ").no_answer == 2


def test_the_example_refuses_a_protocol_it_does_not_know(task):
    task.check(spec())
    with pytest.raises(SpecError, match="available: modeltest"):
        task.check(RunSpec("fake", "full_Colours", "colours", "auto", "none", protocol="lm-eval"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of ModelTest with the example's dataset, and the example as a package beside it."""
    root = tmp_path_factory.mktemp("installed")
    for package in ("modeltest", "engines", "reports", "datasets"):
        shutil.copytree(ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
    write(root / "datasets/colours/dataset.toml", text_of("toml", 1))
    for folder in ("datasets/colours/sample", "data/colours"):
        write(root / folder / "test.jsonl", text_of("json"))
    write(root / "my_package/colours.py", text_of("python"))
    (group, entry) = text_of("toml").splitlines()
    group = group.removeprefix('[project.entry-points."').removesuffix('"]')
    metadata = root / "my_package-1.0.dist-info"
    write(metadata / "METADATA", "Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    write(metadata / "entry_points.txt", f"[{group}]\n{entry.replace(chr(34), '')}\n")
    return root


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def modeltest(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": str(root), "MODELTEST_DATA_DIR": str(root / "data")}
    command = [sys.executable, "-m", "modeltest", *words]
    return subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True, check=False)


def test_the_documented_commands_find_the_example_by_its_entry_point(installed):
    shown = [command.words[1:] for block in blocks(DOCUMENT) for command in commands(block)]
    done = [modeltest(installed, *words) for words in shown]
    assert [each.returncode for each in done] == [0, 0, 1], done[0].stderr
    assert "50.00%" in done[1].stdout
    assert "1 of 2 questions failed" in done[2].stdout


def test_the_example_runs_on_the_full_dataset_too(installed):
    done = modeltest(installed, "fake", "full_Colours", "4", "auto", "none", "1")
    assert done.returncode == 0, done.stderr
    verified = modeltest(installed, "data", "verify", "colours")
    assert verified.returncode == 0, verified.stderr
    assert "2/2" in verified.stdout
