import pytest

import modeltest
from modeltest.api import SpecError, SuiteStatus

FILE = """
name: two
defaults: {engine: fake, model: none}
tasks:
  - accuracy: {task: boolq, split: sample, limit: 3}
  - performance: {case: [8, 4], quick: true}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "nightly.yaml"
    path.write_text(FILE.replace("tasks:", "include:").replace("    - ", "  - "), encoding="utf-8")
    return path


def test_a_suite_returns_what_came_of_each_run(file, tmp_path, capfd):
    suite = modeltest.run_suite(file, output=tmp_path / "out")
    assert capfd.readouterr() == ("", "")
    assert suite.status is SuiteStatus.COMPLETE
    assert suite.directory.parent == tmp_path / "out"
    assert [run.status for run in suite.result.runs] == [SuiteStatus.COMPLETE] * 2
    runs = suite.load_runs()
    assert list(runs) == [run.name for run in suite.result.runs]
    assert {len(run.samples) for run in runs.values()} == {0, 3}
    assert repr(suite) == f"Suite({str(suite.directory)!r}, complete, 2 runs)"


def test_a_complete_suite_is_gone_on_with_for_nothing(file, tmp_path):
    first = modeltest.run_suite(file, output=tmp_path / "out")
    again = modeltest.run_suite(resume=first.directory)
    assert again.directory == first.directory
    assert again.result.loads == first.result.loads
    assert again.exit_status == first.exit_status


def test_a_run_that_is_refused_is_in_the_result_and_stops_no_other(file, tmp_path):
    text = file.read_text(encoding="utf-8")
    file.write_text(text + "  - accuracy: {task: boolq, model: /nowhere, engine: hf}\n", encoding="utf-8")
    suite = modeltest.run_suite(file, output=tmp_path / "out")
    refused = [run for run in suite.result.runs if run.status is SuiteStatus.REFUSED]
    assert len(refused) == 1
    assert refused[0].error is not None
    assert suite.exit_status == refused[0].exit_status
    assert len(suite.load_runs()) == 2


def test_a_wrong_file_is_refused_by_its_line(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text("include:\n  - accuracy: {tsk: boolq}\n", encoding="utf-8")
    with pytest.raises(SpecError, match="line 2: accuracy has no option 'tsk'"):
        modeltest.run_suite(path)


@pytest.mark.parametrize("given", [{}, {"file": "x.yaml", "resume": "DIR"}])
def test_a_file_or_a_directory_to_go_on_with_is_needed(given):
    with pytest.raises(SpecError, match="give a suite file, or resume=DIR"):
        modeltest.run_suite(**given)
