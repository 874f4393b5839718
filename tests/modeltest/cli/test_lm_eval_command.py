"""`modeltest lm-eval` as it is typed: worker processes, run directories, exit statuses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from modeltest.installation import install_command
from modeltest.schema import run_schema

HIDE = "import sys; sys.modules['lm_eval'] = None\n"
MAIN = "from modeltest.cli import main; status = main(sys.argv[1:])\n"
LOADED = "print('loaded:', sorted({'lm_eval', 'torch', 'transformers'} & set(sys.modules)))\n"
ROWS = [{"question": f"Is {i} even?", "choices": ["yes", "no"], "gold": i % 2} for i in range(4)]
YAML = """\
task: tiny_parity
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}, cache_dir: {cache}}}
output_type: multiple_choice
test_split: test
doc_to_text: "{{{{question}}}}"
doc_to_choice: choices
doc_to_target: gold
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
metadata: {{version: 3.0}}
"""


@pytest.fixture(scope="module")
def task_file(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("parity")
    data = folder / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (folder / "parity.yaml").write_text(YAML.format(data=data, cache=folder / "cache"))
    return folder / "parity.yaml"


def run(*words, program: str = "import sys\n" + MAIN + "sys.exit(status)", **variables: str):
    return subprocess.run(
        [sys.executable, "-c", program, "lm-eval", *map(str, words)],
        env={**os.environ, **variables},
        check=False,
        capture_output=True,
        text=True,
        timeout=280,
    )


def only_directory(output: Path) -> Path:
    (directory,) = output.iterdir()
    return directory


@pytest.mark.slow
def test_a_run_has_its_results_beside_ours_and_the_supervisor_stays_light(tmp_path, task_file, demo_model):
    pytest.importorskip("lm_eval")
    model = demo_model("llama")
    done = run(
        *("--tasks", task_file, "--model", model, "--engine", "hf_fp32", "--batch-size", "2"),
        *("--log-samples", "--output", tmp_path),
        program="import sys\n" + MAIN + LOADED + "sys.exit(status)",
    )
    assert done.returncode == 0, done.stderr
    assert "loaded: []" in done.stdout
    assert "verdict: VALID" in done.stdout
    assert "tiny_parity" in done.stdout
    directory = only_directory(tmp_path)
    names = {path.name.split("_2", 1)[0] for path in directory.iterdir()}
    assert names >= {"lm_eval_results.json", "log.txt", "run.json", "samples_tiny_parity"}
    result = json.loads((directory / "run.json").read_text())
    jsonschema.validate(result, run_schema())
    (metric,) = result["summary"]["metrics"]
    its = json.loads((directory / "lm_eval_results.json").read_text())
    assert metric["value"] == its["results"]["tiny_parity"]["acc,none"]
    assert (metric["metric"], metric["version"], metric["questions"]) == ("acc", "3.0", 4)
    assert result["engine"]["dtype"] == "float32"
    assert result["timing_s"].keys() == {"load", "run"}

    again = subprocess.run(
        [sys.executable, "-m", "modeltest", "report", str(directory)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "tiny_parity" in again.stdout
    assert json.loads((directory / "run.json").read_text()) == result


@pytest.mark.slow
def test_one_failed_request_leaves_no_results_at_all(tmp_path, task_file):
    pytest.importorskip("lm_eval")
    done = run(
        *("--tasks", task_file, "--model", "none", "--engine", "fake", "--output", tmp_path),
        *("--engine-option", "fail_every=3"),
    )
    assert done.returncode == 5, done.stderr
    assert "error: 1 of 4 loglikelihood requests failed" in done.stderr
    directory = only_directory(tmp_path)
    assert {path.name for path in directory.iterdir()} == {"log.txt", "run.json", "partial"}
    assert {path.name for path in (directory / "partial").iterdir()} == {"junit.xml", "summary.md"}
    assert json.loads((directory / "run.json").read_text())["status"] == "failed"


def test_without_its_package_nothing_starts_and_the_install_command_is_said(tmp_path):
    words = ("--tasks", "arc_easy", "--model", "none", "--engine", "fake", "--output", tmp_path / "out")
    done = run(*words, program=HIDE + MAIN + "sys.exit(status)")
    assert done.returncode == 3
    assert install_command("lm-eval") in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_spec_holds_all_that_was_asked_for(tmp_path):
    done = run(
        *("--tasks", "arc_easy, gsm8k", "--model", "none", "--engine", "fake", "--num-fewshot", "5"),
        *("--limit", "3", "--apply-chat-template", "--fewshot-in-one-turn", "--gen-kwargs", "max_gen_toks=8"),
        *("--include-path", "mine", "--log-samples", "--dry-run"),
    )
    spec = json.loads(done.stdout)
    assert (spec["task"], spec["limit"], spec["chat"], spec["batch_sizes"]) == ("lm_eval", 3, True, [[8]])
    assert spec["options"]["shots"] == 5
    assert spec["options"]["lm_eval"] == {
        "tasks": ["arc_easy", "gsm8k"],
        "include_path": "mine",
        "system_instruction": None,
        "fewshot_as_multiturn": False,
        "gen_kwargs": "max_gen_toks=8",
        "log_samples": True,
        "confirm_run_unsafe_code": False,
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tasks", " , "], "names no task"),
        (["--tasks", "arc_easy", "--fewshot-as-multiturn"], "needs --apply-chat-template"),
        (["--tasks", "arc_easy", "--protocol", "lm-eval"], "No such option"),
    ],
)
def test_words_that_make_no_sense_are_refused(words, said):
    done = run(*words, "--model", "none", "--engine", "fake")
    assert done.returncode == 2
    assert said in done.stderr
