"""What runs leave behind and are read from again: by report, compare, dashboard, a suite and --resume."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fuzz_places import Places
from surface import Enter, Surface, of_file

from modeltest.api import RunResult
from modeltest.compare.calibration import calibrate
from modeltest.compare.comparable import ALLOWABLE
from modeltest.compare.runs import compare_runs
from modeltest.compare.tolerances import Tolerances
from modeltest.dashboard.entry import read_entry
from modeltest.library.calibration_file import read_calibration, write_calibration
from modeltest.library.comparing import read_session
from modeltest.plain.contracts import to_plain
from modeltest.present import flat_metrics
from modeltest.run.ending.finish import judged
from modeltest.run.record.directory import read_result
from modeltest.suite.state import read_suite
from modeltest.suite.table import print_suite

LM_EVAL = {
    "lm_eval_version": "0.4.13",
    "results": {"arc": {"alias": "arc", "acc,none": 0.5, "acc_stderr,none": 0.1, "sample_len": 4}},
    "higher_is_better": {"arc": {"acc": True}},
    "versions": {"arc": 1.0},
    "n-shot": {"arc": 0},
}
LM_EVAL_SAMPLE = {
    "doc_id": 0, "target": "1", "filter": "none", "metrics": ["acc"], "acc": 1.0,
    "filtered_resps": [["-1.5", "False"], ["-0.5", "True"]],
    "doc_hash": "a", "prompt_hash": "b", "target_hash": "c",
}  # fmt: skip


def run_surfaces(places: Places) -> Iterator[Surface]:
    """Yield the surfaces of runs, comparisons, calibrations and suites."""
    for kind, path in places.runs.items():
        name = "" if kind == "accuracy" else f"_{kind}"
        yield Surface(f"run_json{name}", [_read_bytes(path, "run.json")], _used(places, path, "run.json"))
        yield Surface(f"compared{name}", [_read_bytes(path, "run.json")], _compared(places, path, "run.json"))
        if kind != "generate":
            yield Surface(
                f"journal{name}", [_read_bytes(path, "samples.jsonl")], _used(places, path, "samples.jsonl")
            )
    generated = places.runs["generate"]
    yield Surface(
        "generations",
        [_read_bytes(generated, "generations.jsonl")],
        _compared(places, generated, "generations.jsonl"),
    )
    yield from _lm_eval(places)
    yield from _calibrations(places)
    yield from _suites(places)


def _read_bytes(folder: Path, name: str) -> bytes:
    return (folder / name).read_bytes()


def _used(places: Places, run: Path, changed: str) -> Enter:
    """Return what shows and follows a run of which one file is wrong."""
    folder = places.scratch / f"used_{run.parent.name}_{changed}"
    shutil.copytree(run, folder)

    def enter(data: bytes) -> object:
        (folder / changed).write_bytes(data)
        read_entry(folder)  # which says what is wrong, and never fails
        result = judged(read_result(folder), folder)
        list(result.samples), list(result.measurements)
        return checked(result)

    return enter


def checked(result: RunResult) -> object:
    """Return the numbers that reports take from a result, as their files would hold them."""
    flat_metrics(result)
    plain = to_plain(replace(result, samples=(), measurements=(), questions=()))
    return json.dumps(plain, allow_nan=False, ensure_ascii=False).encode("utf-8")


def _compared(places: Places, run: Path, changed: str) -> Enter:
    """Return what compares a run with itself when one of its files is wrong."""
    folder = places.scratch / f"compared_{run.parent.name}_{changed}"
    shutil.copytree(run, folder)
    reference = read_session(run)

    def enter(data: bytes) -> object:
        (folder / changed).write_bytes(data)
        comparison = compare_runs(
            [reference], [read_session(folder)], tolerances=Tolerances(), allow=ALLOWABLE
        )
        return json.dumps(to_plain(comparison), allow_nan=False, ensure_ascii=False).encode("utf-8")

    return enter


def _lm_eval(places: Places) -> Iterator[Surface]:
    from modeltest.lm_eval.results import RESULTS_FILE, read_summary
    from modeltest.lm_eval.samples import read_answers

    folder = places.scratch / "lm_eval"
    folder.mkdir()

    def summary(data: bytes) -> object:
        (folder / RESULTS_FILE).write_bytes(data)
        return json.dumps(to_plain(read_summary(folder)), allow_nan=False, ensure_ascii=False).encode("utf-8")

    def answers(data: bytes) -> object:
        (folder / RESULTS_FILE).write_bytes(json.dumps(LM_EVAL).encode())
        (folder / "samples_arc_2026.jsonl").write_bytes(data)
        return json.dumps(to_plain(read_answers(folder)), allow_nan=False, ensure_ascii=False).encode("utf-8")

    lines = "".join(json.dumps({**LM_EVAL_SAMPLE, "doc_id": number}) + "\n" for number in range(3))
    yield Surface("lm_eval_results", [json.dumps(LM_EVAL).encode()], summary)
    yield Surface("lm_eval_samples", [lines.encode()], answers)


def _calibrations(places: Places) -> Iterator[Surface]:
    """Yield a calibration as compare takes it: with the run that it is of."""
    run = places.runs["performance"]
    path = places.scratch / "calibration.json"
    write_calibration(path, calibrate([read_result(run)] * 6, created="2026-01-01T00:00:00+00:00"))
    sides = [read_session(run)], [read_session(run)]

    def used(changed: Path) -> object:
        tolerances = Tolerances(calibration=read_calibration(changed))
        comparison = compare_runs(*sides, tolerances=tolerances, allow=ALLOWABLE)
        return json.dumps(to_plain(comparison), allow_nan=False, ensure_ascii=False).encode("utf-8")

    yield of_file(places.scratch, "calibration", path.read_bytes(), used)


def _suites(places: Places) -> Iterator[Surface]:
    from modeltest.library.suites import plan_suite
    from modeltest.suite.execution import begin_suite

    file = places.scratch / "nightly.yaml"
    file.write_text(SUITE, encoding="utf-8")
    runs = plan_suite(file).runs
    folder, suite = begin_suite(
        runs[:3], name="nightly", file="nightly.yaml", command="x", output_dir=str(places.scratch / "suites")
    )
    shutil.copytree(places.runs["accuracy"], folder / suite.runs[0].name)

    def enter(data: bytes) -> object:
        (folder / "suite.json").write_bytes(data)
        found = read_suite(folder)
        print_suite(found, [])
        return json.dumps(to_plain(found), allow_nan=False, ensure_ascii=False).encode("utf-8")

    yield Surface("suite_json", [_read_bytes(folder, "suite.json")], _silent(enter))
    yield of_file(places.scratch, "suite_yaml", SUITE.encode(), plan_suite, is_json=False)


def _silent(enter: Enter) -> Enter:
    import contextlib
    import io

    def silently(data: bytes) -> object:
        with contextlib.redirect_stdout(io.StringIO()):
            return enter(data)

    return silently


SUITE = """
name: nightly
models: [none]
engines: [fake, {engine: fake, profile: llama}]
defaults: {limit: 4, seed: 7}
tasks:
  - accuracy: {task: [boolq, mmlu], split: sample, limit: 5, shots: 2}
  - performance: {case: [[256, 64], [1024, 64]], batch-size: [1, 8], quick: true}
exclude:
  - {engine: fake, task: mmlu}
overrides:
  - {when: {run: performance}, set: {case-budget-s: 1.5}}
"""
