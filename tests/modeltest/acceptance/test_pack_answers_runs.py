"""Real runs that ask a pack: their files, and what becomes of them when a worker or the pack is lost."""

import json
import shutil
import signal
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_packs import letters, made_pack, text, with_manifest

from modeltest.api import (
    AnswersSummary,
    ModelTestError,
    PackOptions,
    RunSpec,
    RunStatus,
    SpecError,
    TaskOptions,
    Verdict,
)
from modeltest.cli.root import root
from modeltest.packs.files import write_pack
from modeltest.run.planning.plan import plan
from modeltest.run.record.directory import read_result
from modeltest.run.supervisor.launch import launch, resume
from modeltest.run.supervisor.progress import Silence

QUESTION = "mmlu/anatomy/5"
PACK = made_pack([letters(number) for number in range(12)], [text(0), text(1)], twins={})


def asking(folder, *, path=None, **options):
    """Return the run that asks a pack of fourteen, four at a time."""
    path = path or folder / "x.ref"
    pack_options = PackOptions(str(path), write_pack(path, PACK))
    return RunSpec(
        engine="fake",
        mode="pack_answers",
        task="pack_answers",
        model="auto",
        weights="none",
        options=TaskOptions(pack=pack_options),
        batch_sizes=((4,),),
        output_dir=str(folder / "out"),
        engine_options=options,
    )


def carried_out(spec):
    return launch(plan(spec), command=None, progress=Silence())


def lines_of(directory):
    lines = (directory / "samples.jsonl").read_text().splitlines()
    return {line["score"]["request_id"]: line for line in (json.loads(each)["sample"] for each in lines)}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    return carried_out(asking(tmp_path_factory.mktemp("undisturbed"))).directory


def test_a_run_counts_its_answers_and_writes_its_files(undisturbed):
    result = read_result(undisturbed)
    assert (result.status, result.verdict) == (RunStatus.COMPLETE, Verdict.VALID)
    assert result.summary == AnswersSummary(answered=14, expected=14, failed=0)
    assert {"junit.xml", "summary.md", "metrics.json", "run.json"} <= {
        path.name for path in undisturbed.iterdir()
    }
    assert "14 of 14 questions and texts answered" in (undisturbed / "summary.md").read_text()


def test_its_journal_keeps_log_probabilities_of_tokens_and_no_prompt(undisturbed):
    lines = lines_of(undisturbed)
    assert len(lines) == 14
    told = lines["text/0"]["completion"]
    assert [len(each) for each in told["token_logprobs"]] == [3]
    assert sum(told["token_logprobs"][0]) == pytest.approx(told["choice_logprobs"][0])
    assert told["prompt_tokens"] == told["choice_tokens"] == []
    assert lines[QUESTION]["score"]["margin"] is not None


def test_a_worker_that_is_lost_once_is_replaced_and_nothing_is_missing(tmp_path, undisturbed):
    outcome = carried_out(asking(tmp_path, crash_at=QUESTION, once=str(tmp_path / "happened")))
    assert lines_of(outcome.directory) == lines_of(undisturbed)
    (lost,) = outcome.result.interruptions
    assert (lost.done, lost.in_flight, lost.given_up) == (4, 4, False)
    assert outcome.result.verdict is Verdict.VALID


def test_a_batch_that_ends_two_workers_is_failed_and_the_others_are_answered(tmp_path, undisturbed):
    outcome = carried_out(asking(tmp_path, crash_at=QUESTION))
    first, second = outcome.result.interruptions
    assert (first.given_up, second.given_up) == (False, True)
    assert len(second.suspects) == 4
    found, expected = lines_of(outcome.directory), lines_of(undisturbed)
    assert found.keys() == expected.keys()
    for name, line in found.items():
        if name in second.suspects:
            assert line["score"]["error"] == second.reason
        else:
            assert line == expected[name]
    assert outcome.result.summary == AnswersSummary(answered=10, expected=14, failed=4)
    assert outcome.result.verdict is Verdict.INVALID
    assert "4 of 14" in " ".join(outcome.result.reasons)


def test_a_run_that_was_ended_goes_on_from_its_journal(tmp_path, undisturbed):
    with pytest.raises(ModelTestError) as caught:
        carried_out(asking(tmp_path, crash_after="1"))
    assert caught.value.exit_code == 128 + signal.SIGKILL
    (directory,) = (tmp_path / "out").iterdir()
    assert len(lines_of(directory)) == 12
    outcome = resume(directory, progress=Silence())
    assert outcome.result.verdict is Verdict.VALID
    assert lines_of(directory) == lines_of(undisturbed)


def test_a_run_whose_journal_has_all_answers_loads_no_model_to_go_on(tmp_path, undisturbed):
    class Phases(Silence):
        def __init__(self):
            self.names = []

        def phase(self, name):
            self.names.append(name)

    directory, phases = tmp_path / "run", Phases()
    shutil.copytree(undisturbed, directory)
    written = json.loads((directory / "run.json").read_text())
    (directory / "run.json").write_text(json.dumps({**written, "status": "running", "journal": None}))
    outcome = resume(directory, progress=phases)
    assert (outcome.result.status, outcome.result.verdict) == (RunStatus.COMPLETE, Verdict.VALID)
    assert phases.names == ["reading the reference pack"]


def test_a_run_goes_on_with_its_own_pack_alone(tmp_path):
    with pytest.raises(ModelTestError):
        carried_out(asking(tmp_path, crash_after="1"))
    (directory,) = (tmp_path / "out").iterdir()
    write_pack(tmp_path / "x.ref", with_manifest(PACK, created="2027-01-01T00:00:00+00:00"))
    with pytest.raises(SpecError, match="is another reference pack than the run began with"):
        resume(directory, progress=Silence())


def test_out_of_memory_ends_the_run(tmp_path):
    with pytest.raises(ModelTestError, match="out of memory with 4 rows"):
        carried_out(asking(tmp_path, out_of_memory_above="2"))


def test_questions_that_fail_make_the_run_invalid(tmp_path):
    result = carried_out(asking(tmp_path, fail_every="7")).result
    assert result.summary == AnswersSummary(answered=12, expected=14, failed=2)
    assert result.verdict is Verdict.INVALID


def test_reports_are_written_anew_and_only_beside_the_pack(tmp_path, undisturbed):
    directory = tmp_path / "run"
    shutil.copytree(undisturbed, directory)
    pack = Path(read_result(directory).spec.options.pack.path)
    (directory / "summary.md").unlink()
    words = ["report", str(directory)]
    done = CliRunner().invoke(root, words, standalone_mode=False)
    assert done.return_value == 0
    assert "14 of 14" in (directory / "summary.md").read_text()
    pack.rename(tmp_path / "moved.ref")
    try:
        with pytest.raises(SpecError, match=rf"{pack.name} is no file; give the reference pack"):
            CliRunner().invoke(root, words, standalone_mode=False, catch_exceptions=False)
    finally:
        (tmp_path / "moved.ref").rename(pack)


def test_an_engine_without_log_probabilities_of_tokens_is_refused_before_it_starts(tmp_path, monkeypatch):
    from engines.fake import FakeEngine
    from modeltest.api import Capability, PrerequisiteError

    monkeypatch.setattr(FakeEngine, "capabilities", FakeEngine.capabilities - {Capability.TOKEN_LOGPROBS})
    with pytest.raises(PrerequisiteError, match="it lacks token_logprobs"):
        plan(asking(tmp_path))
