"""Reports by name: `modeltest report DIR --format NAME`."""

import csv
import json
import shutil
import signal

import pytest
from run_processes import PERFORMANCE, option, read, run, run_directory

from modeltest import registry
from modeltest.api import SpecError
from modeltest.cli import main
from modeltest.run.ending.formats import reports_named

RUNS = {
    "boolq": ["fake", "sample_BoolQ", "4", "llama", "none", "1"],
    "ceval": ["fake", "sample_CEval", "5", "8", "llama", "none", "1"],
    "performance": [*PERFORMANCE, "--quick"],
    "precision": ["fake", "precision_single", "[[8,4]]", "[1,2,3]", "1", "llama", "none", "1"],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a function from a kind of run to its directory, run once."""
    known = {}

    def make(kind):
        if kind not in known:
            output = tmp_path_factory.mktemp(kind)
            run(*RUNS[kind], output=output)
            known[kind] = run_directory(output)
        return known[kind]

    return make


@pytest.fixture
def copy_of(made, tmp_path):
    """Return a function from a kind of run to a directory of its own."""
    return lambda kind: shutil.copytree(made(kind), tmp_path / "run")


@pytest.fixture
def report(capsys):
    """Return a function that runs the command and returns its status, output and errors."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def call(*words):
        status = main(["report", *map(str, words)])
        return status, *capsys.readouterr()

    yield call
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _contents(directory):
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def test_names_are_looked_up_and_asked_for_once():
    names = [report.name for report in reports_named(["legacy", "accuracy", "legacy"])]
    assert names == ["legacy", "accuracy"]


def test_an_unknown_name_is_refused_with_all_names_and_the_nearest():
    with pytest.raises(SpecError) as caught:
        reports_named(["legcy"])
    text = str(caught.value)
    assert text.startswith("unknown report 'legcy'; available: ")
    assert all(name in text for name in registry.report_names())
    assert text.endswith("did you mean legacy?")


def test_a_report_that_is_asked_for_is_not_written_unasked(made):
    names = {path.name for path in made("performance").iterdir()}
    assert "performance.json" in names
    assert not names & {"benchmark.csv", "performance_test_npu_llama_bs1.csv"}


def test_the_files_asked_for_are_printed_and_nothing_else_is_touched(copy_of, report):
    directory = copy_of("performance")
    before = _contents(directory)
    status, out, err = report(directory, "--format", "legacy", "--format", "benchmark")
    written = ["performance_test_npu_llama_bs1.csv", "performance_test_npu_llama_bs2.csv", "benchmark.csv"]
    assert out.splitlines() == [str(directory / name) for name in written]
    assert (status, err) == (0, "")
    after = _contents(directory)
    assert set(after) - set(before) == set(written)
    assert {name: after[name] for name in before} == before


def test_a_report_that_is_written_anyway_can_be_asked_for_alone(copy_of, report):
    directory = copy_of("performance")
    before = (directory / "performance.json").read_bytes()
    for name in ("performance.json", "token_latency.csv"):
        (directory / name).unlink()
    assert report(directory, "--format", "performance") == (0, f"{directory / 'performance.json'}\n", "")
    assert (directory / "performance.json").read_bytes() == before
    assert not (directory / "token_latency.csv").exists()


def test_a_run_of_questions_gives_their_answers_and_accuracies(copy_of, report):
    directory = copy_of("ceval")
    assert report(directory, "--format", "legacy")[0] == 0
    folder = directory / "test_result"
    with (folder / "cache0.csv").open(newline="") as file:
        lines = list(csv.reader(file))
    accuracy = read(directory, "accuracy.json")
    assert len(lines) == accuracy["total"]
    assert sum(expected == given for _, _, expected, given in lines) == accuracy["correct"]
    by_category = {name: each["accuracy"] for name, each in accuracy["categories"].items()}
    classes = json.loads((folder / "result_0_classes_acc.json").read_text())
    assert classes == {**by_category, "Avg": accuracy["accuracy"]}
    subjects = json.loads((folder / "result_0_subject_acc.json").read_text())
    assert subjects == {name: each["accuracy"] for name, each in accuracy["subjects"].items()}


@pytest.mark.parametrize(
    ("kind", "suits", "name", "reason"),
    [
        ("boolq", "accuracy", "benchmark", "this run has no times of tokens"),
        (
            "boolq",
            "accuracy",
            "performance",
            "it has nothing to say of a run of boolq; this run gives accuracy",
        ),
        (
            "performance",
            "benchmark",
            "accuracy",
            "it has nothing to say of a run of performance; this run gives",
        ),
        (
            *("precision", "precision", "legacy"),
            "a run of precision_single has neither scored answers nor times of tokens",
        ),
    ],
)
def test_when_a_report_cannot_be_given_the_reason_is_told_and_none_is_written(
    copy_of, report, kind, suits, name, reason
):
    directory = copy_of(kind)
    before = _contents(directory)
    status, out, err = report(directory, "--format", suits, "--format", name)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: report {name!r} cannot be written of {directory}: {reason}")
    assert _contents(directory) == before


def test_an_unknown_word_is_told_before_the_run_is_read(tmp_path, report):
    status, _, err = report(tmp_path / "nowhere", "--format", "pdf")
    assert status == 2
    assert err.startswith("error: unknown report 'pdf'; available: accuracy, ")


def test_the_help_names_every_report(report):
    _, out, _ = report("--help")
    assert ",".join(registry.report_names()) in "".join(out.split())


def test_reports_are_listed_with_when_they_are_written(capsys):
    main(["list", "reports"])
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert set(registry.report_names()) <= set(rows)
    assert "modeltest report DIR --format legacy" in rows["legacy"]
    assert "--format" not in rows["accuracy"]


def test_failed_questions_refuse_the_folder_that_could_not_tell_of_them(tmp_path, report):
    run(*RUNS["boolq"], *option("fail_every=5"), output=tmp_path, expect=1)
    status, _, err = report(run_directory(tmp_path), "--format", "legacy")
    assert status == 2
    assert "the run is INVALID, which these files cannot say: 4 of 24 questions failed" in err


def test_a_run_that_was_cut_short_gives_what_it_finished_in_a_folder_apart(tmp_path, report):
    run(*PERFORMANCE, *option("crash_after=6"), output=tmp_path, expect=137)
    directory = run_directory(tmp_path)
    status, out, err = report(directory, "--format", "benchmark")
    assert (status, out) == (1, f"{directory / 'partial' / 'benchmark.csv'}\n")
    assert "verdict: INVALID\n  the run is failed" in err
    lines = (directory / "partial" / "benchmark.csv").read_text().splitlines()
    assert {line.split(",")[0] for line in lines[1:]} == {"1"}
