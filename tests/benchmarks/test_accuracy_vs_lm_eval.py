import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "accuracy_vs_lm_eval.py"


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)


def test_help_says_what_is_needed_and_how_to_begin() -> None:
    text = run("--help").stdout
    for words in (
        "pip install lm-eval==0.4.13",
        "--quick --model 15M",
        "--smollm2",
        "--dtype",
        "--work-dir",
        "floor",
    ):
        assert words in text


def test_the_process_that_measures_imports_nothing_heavy() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import accuracy_vs_lm_eval\n"
        "print([name for name in ('torch', 'numpy', 'tokenizers', 'lm_eval') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_lm_eval_it_says_how_to_get_it(tmp_path: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPT.parent)!r}); import accuracy_vs_lm_eval as script\n"
        "script.machine.installed = lambda name: None; sys.argv[1:] = []; script.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == (
        "Error: lm-eval 0.4.13 is needed, it is not installed: pip install lm-eval==0.4.13"
    )


def test_absent_data_say_how_to_get_them(tmp_path: Path) -> None:
    pytest.importorskip("lm_eval")
    done = run("--quick", "--model", "2M", "--data-dir", tmp_path, "--work-dir", tmp_path / "work")
    assert done.returncode == 1
    assert "modeltest data fetch" in done.stderr


@pytest.mark.slow
def test_both_harnesses_ask_the_same_and_answer_the_same(tmp_path: Path, shared_data: Path) -> None:
    pytest.importorskip("lm_eval")
    json_file, markdown_file = tmp_path / "figures.json", tmp_path / "tables.md"
    done = run(
        *("--model", "2M", "--work", "mmlu", "--limit", "2", "--rounds", "1", "--data-dir", shared_data),
        *("--work-dir", tmp_path / "work", "--json", json_file, "--markdown", markdown_file),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == markdown_file.read_text().strip()
    (job,) = json.loads(json_file.read_text())["jobs"]
    agreement = job["summary"]["agreement"]
    assert (agreement["questions"], agreement["equal_prompts"], agreement["equal_answers"]) == (8, 8, 8)
    assert agreement["largest_difference"] < 1e-4
    assert 0 < job["summary"]["unique_tokens"] < job["summary"]["prompt_tokens"]
    (measured,) = job["rounds"]
    for side in (measured["lm_eval"], measured["modeltest"]):
        assert 0 < side["evaluate_s"] < side["wall_s"]
        assert side["peak_bytes"] > 100 << 20


def tried(tmp_path: Path, shared_data: Path, work: str) -> dict[str, Any]:
    """Compare on one question of `work` in bfloat16, and return the job's figures."""
    pytest.importorskip("lm_eval")
    json_file = tmp_path / "figures.json"
    done = run(
        *("--model", "2M", "--work", work, "--dtype", "bf16", "--limit", "1", "--rounds", "1"),
        *("--data-dir", shared_data, "--work-dir", tmp_path / "work", "--json", json_file),
    )
    assert json_file.exists(), done.stderr
    (job,) = json.loads(json_file.read_text())["jobs"]
    return job


@pytest.mark.slow
def test_both_harnesses_are_asked_for_texts_by_the_same_prompts(tmp_path: Path, shared_data: Path) -> None:
    summary = tried(tmp_path, shared_data, "gsm8k")["summary"]
    assert (summary["agreement"]["questions"], summary["agreement"]["equal_prompts"]) == (1, 1)
    assert summary["floor"]["steps_s"] > 0


@pytest.mark.long
def test_in_bfloat16_shifts_are_told_beside_those_of_lm_eval(tmp_path: Path, shared_data: Path) -> None:
    summary = tried(tmp_path, shared_data, "boolq")["summary"]
    assert summary["shifts"]["questions"] == 1
    assert summary["shifts"]["modeltest"]["choices"] == 2
