"""The command for a CUDA machine, as far as a machine without one can try it."""

import json
import os
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
from on_cuda import STEPS, run_steps
from on_device import checkout
from on_device.bench import Bench, Settings
from on_device.book import Book
from on_device.contract import read_report
from on_device.sizes import FULL, QUICK, Sized, choose_sizes, misfit

from modeltest.registry import engine_names, task_names

ROOT = Path(__file__).resolve().parents[2]
GIB = 1 << 30


def run(place: Path, *words: str, **own: str) -> subprocess.CompletedProcess[str]:
    """Run the command in an empty folder, on the Python of the tests unless told otherwise."""
    variables = {**os.environ, "PYTHON": sys.executable, **own}
    command = ["bash", str(ROOT / "benchmarks" / "on_cuda.sh"), *words, "--work-dir", str(place / "work")]
    return subprocess.run(
        command, cwd=place, env=variables, capture_output=True, text=True, check=False, timeout=280
    )


def figures(place: Path) -> dict:
    return json.loads((place / "on_cuda.json").read_text(encoding="utf-8"))


def bench(place: Path) -> Bench:
    settings = Settings("cpu", True, None, place, QUICK, 60.0)
    return Bench(settings, place, Book(place / "on_cuda.json", {"device": "cpu"}, lambda _: None))


def test_help_says_what_runs_and_how_to_begin(tmp_path: Path) -> None:
    text = run(tmp_path, "--help").stdout
    for words in (*STEPS, "bash benchmarks/on_cuda.sh", "--only", "--device cpu --quick", "PYTHON"):
        assert words in text


def test_the_machine_is_told_in_one_json(tmp_path: Path) -> None:
    done = run(tmp_path, "--device", "cpu", "--only", "machine")
    assert done.returncode == 0, done.stderr
    told = figures(tmp_path)
    assert (told["device"], told["rows"]) == ("cpu", "sample")
    part = told["steps"]["machine"]["parts"]["device"]
    assert part["status"] == "ran"
    assert part["memory_bytes"] >= part["free_bytes"] > 0
    assert part["packages"]["torch"]


def test_a_python_without_torch_is_told_so_in_one_line(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S -E "$@"\n')  # no site-packages
    bare.chmod(0o755)
    done = run(tmp_path, PYTHON=str(bare))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "lacks torch, transformers, click" in line
    done = run(tmp_path, PYTHON="no-such-python")
    assert done.returncode == 1
    assert "set PYTHON" in done.stderr


def test_a_checkout_has_all_plug_ins_without_being_installed(tmp_path: Path) -> None:
    checkout.write_metadata(tmp_path)
    (found,) = distributions(path=[str(tmp_path)])
    points = {
        group: {point.name for point in found.entry_points.select(group=group)}
        for group in ("modeltest.engines", "modeltest.tasks")
    }
    assert points == {"modeltest.engines": set(engine_names()), "modeltest.tasks": set(task_names())}
    assert found.metadata["Name"] == "llm-modeltest"


def test_a_step_that_fails_is_told_and_the_others_still_run(tmp_path: Path) -> None:
    def broken(_: Bench) -> None:
        raise ValueError("no such luck")

    def sound(on: Bench) -> None:
        on.book.ran("sound", "part", {"seconds": 1})

    on = bench(tmp_path)
    run_steps(on, ["broken", "sound"], {"broken": broken, "sound": sound})
    assert figures(tmp_path)["steps"] == {
        "broken": {"status": "failed", "problem": "ValueError: no such luck", "parts": {}},
        "sound": {"status": "ran", "parts": {"part": {"status": "ran", "seconds": 1}}},
    }
    assert on.book.failed_steps == ["broken"]


def test_a_break_off_leaves_what_was_found_and_says_where_it_was(tmp_path: Path) -> None:
    def interrupted(on: Bench) -> None:
        on.book.ran("step", "first", {})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_steps(bench(tmp_path), ["step"], {"step": interrupted})
    assert figures(tmp_path)["steps"]["step"] == {
        "status": "failed",
        "problem": "it was not finished",
        "parts": {"first": {"status": "ran"}},
    }


def test_a_process_that_fails_leaves_the_end_of_its_log(tmp_path: Path) -> None:
    on = bench(tmp_path)
    on.book.begin("machine")
    assert on.run("machine", "device", "on_device.machine_side", {"device": "npu"}) is None
    on.book.end("machine")
    step = figures(tmp_path)["steps"]["machine"]
    assert step["problem"] == "failed: device"
    assert "finds no device npu here" in step["parts"]["device"]["problem"]


def test_what_is_skipped_is_no_failure(tmp_path: Path) -> None:
    on = bench(tmp_path)
    on.book.begin("accuracy")
    on.device_bytes = 1
    assert on.checkpoint("accuracy", Sized("7B", "bfloat16"), copies=1) is None
    on.book.end("accuracy")
    step = figures(tmp_path)["steps"]["accuracy"]
    assert step["status"] == "ran"
    assert step["parts"]["7B-bfloat16"]["status"] == "skipped"


@pytest.mark.parametrize(
    ("copies", "device_gib", "disk_gib", "reason"),
    [
        (1, 24, 20, None),
        (1, 24, None, None),
        (1, 12, 20, "of the device"),
        (2, 24, 20, "of the device"),
        (1, 24, 10, "--work-dir"),
    ],
)
def test_a_model_fits_or_it_is_said_what_is_in_the_way(copies, device_gib, disk_gib, reason) -> None:
    disk_bytes = None if disk_gib is None else disk_gib * GIB
    found = misfit(
        Sized("7B", "bfloat16"), copies=copies, device_bytes=device_gib * GIB, disk_bytes=disk_bytes
    )
    assert (found is None) if reason is None else (reason in found)


def test_the_large_shapes_are_as_large_as_they_are_called() -> None:
    assert [round(sized.weight_bytes / 1e9, 1) for sized in FULL] == [0.5, 0.2, 2.1, 13.2]
    assert choose_sizes(["7B"], quick=False) == (Sized("7B", "bfloat16"),)
    assert choose_sizes([], quick=True) == QUICK


def test_a_report_of_pytest_gives_counts_reasons_and_failures(tmp_path: Path) -> None:
    report = tmp_path / "junit.xml"
    report.write_text(
        "<testsuites><testsuite>"
        '<testcase name="a"/><testcase name="b"/>'
        '<testcase name="c"><failure message="one&#10; two">long</failure></testcase>'
        '<testcase name="d"><error message="three"/></testcase>'
        '<testcase name="e"><skipped message="hf_paged: other versions"/></testcase>'
        '<testcase name="f"><skipped message="hf_paged: other versions"/></testcase>'
        "</testsuite></testsuites>"
    )
    assert read_report(report) == {
        "passed": 2,
        "failed": 2,
        "skipped": 2,
        "skip_reasons": {"hf_paged: other versions": 2},
        "failures": {"c": "one two", "d": "three"},
    }


@pytest.mark.slow
def test_the_contract_suite_runs_on_the_device_that_is_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    words = ("--quick", "--only", "contract")
    done = run(tmp_path, "--device", "cpu", *words)
    assert done.returncode == 0, done.stderr
    suite = figures(tmp_path)["steps"]["contract"]["parts"]["suite"]
    assert suite["passed"] > 20
    assert suite["failures"] == {}
    # On a device that is not there nothing passes: else it would be the cpu's doing.
    done = run(tmp_path, "--device", "cuda", *words, CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1
    steps = figures(tmp_path)["steps"]
    assert [step["status"] for step in steps.values()] == ["failed", "failed"]
    assert steps["contract"]["parts"]["suite"]["passed"] == 0


@pytest.mark.long
def test_every_step_runs_with_the_smallest_model(tmp_path: Path) -> None:
    done = run(tmp_path, "--device", "cpu", "--quick", "--model", "2M")
    assert done.returncode == 0, done.stderr
    steps = figures(tmp_path)["steps"]
    assert list(steps) == list(STEPS)
    compared = steps["accuracy"]["parts"]["2M-float32 compared, batch 8"]["padded"]["agreement"]
    assert compared["equal_answers"] == compared["questions"] == 8
    assert steps["accuracy"]["parts"]["2M-float32 texts compared, batch 8"]["equal_texts"] == 4
    assert steps["performance"]["parts"]["2M-float32 batch 1"]["in_turn"]["turns"] == 3
