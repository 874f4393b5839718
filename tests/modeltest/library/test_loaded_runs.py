import json
import shutil
from pathlib import Path

import pytest

import modeltest
from modeltest.api import AccuracySummary, ModelTestError, RunStatus, SpecError, Verdict


def test_a_run_has_what_its_files_say(accuracy_run):
    run = modeltest.load_run(accuracy_run)
    said = json.loads((accuracy_run / "run.json").read_text(encoding="utf-8"))
    assert run.directory == accuracy_run
    assert run.status == RunStatus.COMPLETE
    assert run.verdict == said["verdict"]
    assert run.reasons == tuple(said["reasons"])
    assert run.spec.limit == 7
    assert isinstance(run.summary, AccuracySummary)
    assert run.summary.micro.total == 7
    assert repr(run) == f"Run({str(accuracy_run)!r}, complete, {said['verdict']})"


def test_the_path_may_be_a_text_and_begin_at_home(accuracy_run, monkeypatch):
    monkeypatch.setenv("HOME", str(accuracy_run.parent))
    assert modeltest.load_run(f"~/{accuracy_run.name}").spec == modeltest.load_run(str(accuracy_run)).spec


def test_a_frame_is_made_once(accuracy_run):
    run = modeltest.load_run(accuracy_run)
    assert run.samples is run.samples


@pytest.fixture
def stopped_run(accuracy_run: Path, tmp_path: Path) -> Path:
    """Return a run that was killed after three questions."""
    directory = tmp_path / "stopped"
    shutil.copytree(accuracy_run, directory)
    lines = (directory / "samples.jsonl").read_bytes().splitlines(keepends=True)
    (directory / "samples.jsonl").write_bytes(b"".join(lines[:3]))
    said = json.loads((directory / "run.json").read_text(encoding="utf-8"))
    said.update(status="running", summary=None, verdict=None, reasons=[], journal=None)
    (directory / "run.json").write_text(json.dumps(said), encoding="utf-8")
    return directory


def test_a_run_that_has_not_ended_is_read_as_far_as_it_came(stopped_run):
    run = modeltest.load_run(stopped_run)
    assert (run.status, run.verdict, run.summary) == (RunStatus.RUNNING, None, None)
    assert len(run.samples) == 3
    assert repr(run) == f"Run({str(stopped_run)!r}, running)"


def test_a_complete_run_whose_journal_was_cut_is_partial(accuracy_run, tmp_path):
    directory = tmp_path / "cut"
    shutil.copytree(accuracy_run, directory)
    lines = (directory / "samples.jsonl").read_bytes().splitlines(keepends=True)
    (directory / "samples.jsonl").write_bytes(b"".join(lines[:5]))
    run = modeltest.load_run(directory)
    assert (run.status, run.verdict) == (RunStatus.PARTIAL, None)
    assert len(run.samples) == 5


@pytest.mark.parametrize("made", [None, "folder", "file"])
def test_a_path_without_a_run_is_refused_by_name(tmp_path, made):
    path = tmp_path / "none"
    if made == "folder":
        path.mkdir()
    elif made == "file":
        path.write_text("x", encoding="utf-8")
    with pytest.raises(SpecError, match=r"none is not a run: it has no run\.json"):
        modeltest.load_run(path)


def test_a_damaged_file_is_an_error_of_ours(accuracy_run, tmp_path):
    directory = tmp_path / "damaged"
    shutil.copytree(accuracy_run, directory)
    (directory / "run.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelTestError, match=r"run\.json cannot be read"):
        modeltest.load_run(directory)


def test_a_damaged_journal_is_seen_when_its_frame_is_asked_for(accuracy_run, tmp_path):
    directory = tmp_path / "damaged"
    shutil.copytree(accuracy_run, directory)
    journal = directory / "samples.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"expected":"yes"', b'"expected":"nah"', 1))
    run = modeltest.load_run(directory)
    assert run.verdict in set(Verdict)
    with pytest.raises(ModelTestError, match=r"samples\.jsonl, line"):
        _ = run.samples
