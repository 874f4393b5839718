"""Memory of a whole run, in real processes: it must not grow with the number of questions."""

import json
import subprocess
import sys

import pytest

MEASURE = """
import resource, subprocess, sys
status = subprocess.run([sys.executable, "-m", "modeltest", *sys.argv[1:]]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
sys.exit(status)
"""


def _peak_of(rows: int, tmp_path) -> int:
    """Return the largest resident set of supervisor and worker for `rows` BoolQ questions, in kB."""
    folder = tmp_path / f"data{rows}" / "boolq"
    folder.mkdir(parents=True)
    with (folder / "dev.jsonl").open("w") as file:
        for number in range(rows):
            row = {
                "question": f"is {number} a number",
                "title": f"Number {number}",
                "answer": number % 2 == 0,
                "passage": f"The number {number} is one. " * 4,
            }
            file.write(json.dumps(row) + "\n")
    words = f"fake full_BoolQ 64 llama none 1 --data-dir {folder.parent} --output {tmp_path / 'out'}".split()
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *words], check=True, capture_output=True, text=True, timeout=280
    )
    return int(done.stderr.split()[-1])


@pytest.mark.slow
def test_a_hundred_thousand_questions_need_little_more_memory_than_a_thousand(tmp_path):
    few, many = _peak_of(1_000, tmp_path), _peak_of(100_000, tmp_path)
    assert many < 1.5 * few, f"{few} kB for 1,000 questions, {many} kB for 100,000"
