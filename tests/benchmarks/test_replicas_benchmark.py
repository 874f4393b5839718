import json
from pathlib import Path

import pytest
import replicas
from click.testing import CliRunner
from lm_eval_comparison.agreement import Answer, compare


def _run(folder: Path, **changes: object) -> Path:
    engine = {"ranks": {"replicas": 2}, "processors": {"threads": 1}}
    result = {"engine": engine, "interruptions": [], "timing_s": {"run": 4.0}, **changes}
    (folder / "run.json").write_text(json.dumps(result))
    return folder


def test_the_speedup_is_the_time_of_one_over_that_of_two():
    answers = {"q": Answer((-1.0, -2.0), "digest")}
    assert replicas.Round(9.0, 5.0, compare(answers, answers)).speedup == 1.8


def test_the_time_is_that_from_the_loaded_model_on(tmp_path):
    assert replicas._run_s(_run(tmp_path), replicas=2) == 4.0


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"engine": {"ranks": None, "processors": {"threads": 1}}}, "had 1 replicas"),
        ({"engine": {"ranks": {"replicas": 2}, "processors": {"threads": 4}}}, "4 threads a replica"),
        ({"interruptions": [{}]}, "and 1 interruptions"),
    ],
)
def test_a_run_that_was_something_else_gives_no_figure(tmp_path, changes, error):
    with pytest.raises(ValueError, match=error):
        replicas._run_s(_run(tmp_path, **changes), replicas=2)


def test_help_says_what_it_needs_and_when_it_fails():
    done = CliRunner().invoke(replicas.main, ["--help"])
    assert done.exit_code == 0
    assert "two cores with nothing else to do" in done.output
    assert "Ends with 1" in done.output
