"""The step `contract`: the contract suite of the engines `hf` and `hf_paged` on the device."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any

from lm_eval_comparison import machine
from lm_eval_comparison.processes import CommandFailed
from on_device import demanded_device_names as names
from on_device.bench import Bench

ROOT = Path(__file__).resolve().parents[2]
SUITE = ROOT / "tests" / "engines" / "test_engine_contract.py"

ENGINES = "hf"
"""An expression of pytest's -k: every test of an engine whose name has it."""

QUICK_ENGINES = "hf-llama or hf_paged-llama"

_MESSAGE = 300
"""Characters of a failure that are told; the log has all."""


def contract(bench: Bench) -> None:
    """Run the suite and note how many tests passed, failed and were skipped, and why."""
    if machine.installed("pytest") is None:
        bench.book.failed("contract", "suite", "pytest is not installed: the suite cannot be run")
        return
    folder = bench.part_folder("contract", "suite")
    report, facts = folder / "junit.xml", folder / "facts.json"
    try:
        bench.finish(_command(bench, folder, report), folder, _variables(bench, facts))
        problem = None
    except CommandFailed as failure:
        # Failed tests are told one by one; without a report there were none.
        problem = str(failure)
    if not report.exists():
        bench.book.failed("contract", "suite", problem or "pytest wrote no report")
        return
    found = read_report(report)
    if facts.exists():
        found |= json.loads(facts.read_text(encoding="utf-8"))
    if problem is None and found["passed"] and found.get("device_allocations") == 0:
        problem = f"the tests computed nothing on {bench.settings.device}"
    if problem is None:
        bench.book.ran("contract", "suite", found)
    else:
        told = (
            f"{len(found['failures'])} tests failed: {folder / 'log.txt'}" if found["failures"] else problem
        )
        bench.book.failed("contract", "suite", told, found)


def read_report(path: Path) -> dict[str, Any]:
    """Return what a JUnit file of pytest says: counts by outcome, reasons of skips, and the failures."""
    counts = Counter({"passed": 0, "failed": 0, "skipped": 0})
    reasons: Counter[str] = Counter()
    failures = {}
    for case in ET.parse(path).iter("testcase"):
        failure = next(
            (found for kind in ("failure", "error") if (found := case.find(kind)) is not None), None
        )
        skip = case.find("skipped")
        if failure is not None:
            counts["failed"] += 1
            failures[str(case.get("name"))] = " ".join((failure.get("message") or "").split())[:_MESSAGE]
        elif skip is not None:
            counts["skipped"] += 1
            reasons[skip.get("message") or "no reason given"] += 1
        else:
            counts["passed"] += 1
    return {**counts, "skip_reasons": dict(reasons), "failures": failures}


def _command(bench: Bench, folder: Path, report: Path) -> list[str]:
    # The settings of the project ask for plug-ins that a bare machine lacks, and make errors of warnings,
    # which other versions of torch have others of.
    settings = folder / "pytest.ini"
    settings.write_text("[pytest]\n", encoding="utf-8")
    chosen = QUICK_ENGINES if bench.settings.quick else ENGINES
    return [
        sys.executable,
        "-m",
        "pytest",
        str(SUITE),
        "-q",
        "-k",
        chosen,
        "-c",
        str(settings),
        "--rootdir",
        str(ROOT),
        "-p",
        "no:cacheprovider",
        "-p",
        "on_device.demanded_device",
        f"--junitxml={report}",
        f"--basetemp={folder / 'tmp'}",
    ]


def _variables(bench: Bench, facts: Path) -> dict[str, str]:
    return {
        names.DEVICE: bench.settings.device,
        names.FACTS: str(facts),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # other packages bring some that have no place here
        "PYTEST_ADDOPTS": "",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
