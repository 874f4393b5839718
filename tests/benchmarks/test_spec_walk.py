"""The walk from the shell to the files is short and straight; how it is counted, on calls made by hand."""

import subprocess
import sys
from pathlib import Path

import pytest
from spec_walk import Call, walk_of

ROOT = Path(__file__).resolve().parents[2]

ACCURACY = "accuracy --task boolq --split sample --engine fake --model none --limit 4"
WORDS = "run fake sample_BoolQ 4 llama none 1 --limit 4"
TIMED = "performance --case 8,4 --engine fake --model none --quick"


@pytest.mark.parametrize("command", [ACCURACY, WORDS, TIMED])
def test_what_is_asked_enters_at_most_eight_modules_and_never_goes_back(command):
    ended = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "spec_walk.py"), "--", *command.split()],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = ended.stdout.splitlines()
    (begin,) = (number for number, line in enumerate(lines) if " modules, " in line)
    modules = [line.split()[1].rstrip(":") for line in lines[begin + 1 :]]
    assert lines[begin] == f"{len(modules)} modules, 0 ways back"
    assert len(modules) <= 8
    assert {"planning.plan", "worker.worker", "ending.finish"} <= {
        name.removeprefix("modeltest.run.") for name in modules
    }


def call(module: str, function: str, caller: str, *, is_station: bool = True) -> Call:
    return Call(module, function, caller, holds=True, is_station=is_station)


def test_a_module_is_entered_once_however_many_steps_are_made_inside():
    walk = walk_of([call("a", "f", "shell"), call("b", "g", "a"), call("b", "h", "b")])
    assert walk.modules == {"a": ["f"], "b": ["g", "h"]}
    assert walk.back == []


def test_a_call_into_a_module_that_was_entered_is_a_way_back():
    walk = walk_of([call("a", "f", "shell"), call("b", "g", "a"), call("a", "h", "b")])
    assert walk.back == ["b -> a.h"]


def test_who_only_looks_is_no_station():
    walk = walk_of([call("a", "f", "shell"), call("b", "look", "a", is_station=False), call("c", "g", "a")])
    assert list(walk.modules) == ["a", "c"]
