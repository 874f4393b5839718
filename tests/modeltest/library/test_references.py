"""Reference packs made by real runs of the fake engine: whole, gone on with, of runs that were there."""

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

import modeltest
from modeltest.api import Capability, ModelTestError, PackOptions, PrerequisiteError, Role, SpecError
from modeltest.library.carrying_out import How
from modeltest.library.reference_runs import threads
from modeltest.library.references import carry_out_reference, read_reference
from modeltest.options.references import reference_make
from modeltest.packs.files import pack_digest
from modeltest.run.pipes.deadlines import Limits
from modeltest.run.record.directory import read_result
from modeltest.run.supervisor.progress import Silence

TASKS = ("--task", "mmlu:5", "--task", "boolq", "--protocol", "lm-eval", "--split", "sample")
MODEL = ("--model", "none", "--engine", "fake")
FEW = ("--texts", "6", "--twin-questions", "3", "--twin-batch-size", "1", "--twin-batch-size", "8")


def make(out, *words):
    context = reference_make.make_context("make", ["--out", str(out), *words])
    with context:
        asked = reference_make.callback(**context.params)
    return carry_out_reference(asked, command=None, how=How(Silence(), Limits()))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make(tmp_path_factory.mktemp("made") / "tiny.ref", *TASKS, *MODEL, *FEW)


@pytest.fixture(scope="module")
def runs(made):
    """Return the runs of the reference."""
    return [made.work / "reference-mmlu", made.work / "reference-boolq"]


def test_a_pack_has_all_questions_texts_and_what_twins_answered(made):
    pack = read_reference(made.path)
    assert pack == made.pack
    assert [(task.task, task.questions) for task in pack.manifest.tasks] == [("mmlu", 24), ("boolq", 24)]
    assert [task.spec.options.shots for task in pack.manifest.tasks] == [5, 0]
    assert [one.name for one in pack.of_role(Role.TWIN)] == ["bf16-batch-1", "bf16-batch-8"]
    assert [one.batch_size for one in pack.manifest.computations] == [8, 1, 8]
    assert len(pack.texts) == 6
    assert len(pack.reference) == 48 + 6
    for twin in pack.of_role(Role.TWIN):
        assert len(pack.answers[twin.name]) == 3 + 3 + 6
    assert pack.manifest.is_draft is False
    assert made.sha256 == pack_digest(made.path)


def test_questions_and_answers_are_those_of_the_run(made, runs):
    pack = made.pack
    lines = (runs[0] / "samples.jsonl").read_text().splitlines()
    samples = {sample.score.request_id: sample for sample in read_result(runs[0]).samples}
    assert len(lines) == len(samples) == 24
    for question in pack.questions[:24]:
        sample = samples[question.record.id]
        assert question.prompt == sample.completion.prompt_tokens
        assert question.choices == ((32, 65), (32, 66), (32, 67), (32, 68))
        answer = pack.reference[question.id]
        assert answer.logprobs == sample.completion.choice_logprobs
        assert (answer.predicted, answer.correct) == (sample.score.predicted, sample.score.correct)
        assert bytes(question.prompt).decode().endswith("Answer:")
        assert question.record.fields["question"].strip() in bytes(question.prompt).decode()


def test_a_pack_of_the_same_is_made_of_runs_that_are_there(made, runs, tmp_path):
    words = [word for run in runs for word in ("--from-run", str(run))]
    again = make(tmp_path / "again.ref", *words, *FEW)
    assert again.pack.questions == made.pack.questions
    assert again.pack.texts == made.pack.texts
    assert again.pack.answers == made.pack.answers
    assert sorted(path.name for path in again.work.iterdir() if path.is_dir()) == [
        *("bf16-batch-1", "bf16-batch-8", "reference-texts")
    ]


def test_what_was_stopped_goes_on_where_it_was(tmp_path):
    out = tmp_path / "x.ref"
    crash = ("--engine-option", "crash_after=1", "--batch-size", "4")
    with pytest.raises(ModelTestError) as caught:
        make(out, *TASKS, *MODEL, *FEW, *crash)
    assert caught.value.exit_code == 128 + signal.SIGKILL
    assert not out.exists()
    directory = tmp_path / "x.ref.work" / "reference-mmlu"
    begun = (directory / "samples.jsonl").read_bytes()
    assert begun.count(b"\n") > 0
    for _ in range(20):
        try:
            made = make(out, *TASKS, *MODEL, *FEW, *crash)
            break
        except ModelTestError:
            continue
    assert (directory / "samples.jsonl").read_bytes().startswith(begun), "nothing is asked again"
    assert len(made.pack.reference) == 54
    assert len(read_result(directory).interruptions) > 0


def test_other_options_than_those_it_was_begun_with_are_refused(tmp_path):
    out = tmp_path / "x.ref"
    with pytest.raises(ModelTestError):
        make(out, *TASKS, *MODEL, *FEW, "--engine-option", "crash_after=1", "--batch-size", "4")
    with pytest.raises(
        SpecError, match=r"reference-mmlu was begun with another limit, engine_options: remove it"
    ):
        make(out, *TASKS, *MODEL, *FEW, "--limit", "1", "--batch-size", "4")


def test_a_place_that_is_taken_or_not_there_is_refused_before_anything_is_asked(tmp_path, made):
    with pytest.raises(SpecError, match=r"tiny\.ref is there already"):
        make(made.path, *TASKS, *MODEL)
    with pytest.raises(SpecError, match="there is no folder"):
        make(tmp_path / "none" / "x.ref", *TASKS, *MODEL)


def test_an_engine_that_tells_no_tokens_is_refused_before_anything_is_asked(tmp_path, monkeypatch):
    from engines.fake import FakeEngine

    monkeypatch.setattr(FakeEngine, "capabilities", FakeEngine.capabilities - {Capability.TOKEN_LOGPROBS})
    with pytest.raises(PrerequisiteError, match="leave texts out with --texts 0"):
        make(tmp_path / "x.ref", *TASKS, *MODEL)
    assert list(tmp_path.iterdir()) == []


def test_a_pack_without_texts_needs_no_log_probabilities_of_tokens(tmp_path):
    words = ("--task", "boolq", *TASKS[4:], *MODEL, "--texts", "0", "--twin-batch-size", "4")
    pack = make(tmp_path / "x.ref", *words).pack
    assert pack.texts == ()
    assert not (tmp_path / "x.ref.work" / "reference-texts").exists()


def test_a_reference_whose_questions_failed_is_refused(tmp_path):
    with pytest.raises(SpecError, match=r"reference-mmlu"):
        make(tmp_path / "x.ref", *TASKS, *MODEL, *FEW, "--engine-option", "fail_every=5")
    assert not (tmp_path / "x.ref").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"status": "partial"}, "has not come to its end"),
        ({"verdict": "INVALID", "reasons": ["too few"]}, "gives no reference: too few; give another run"),
    ],
)
def test_runs_that_give_no_reference_are_refused(runs, tmp_path, change, reason):
    copy = tmp_path / "run"
    shutil.copytree(runs[1], copy)
    written = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**written, **change}))
    with pytest.raises(SpecError, match=reason):
        make(tmp_path / "x.ref", "--from-run", str(copy))


def test_runs_that_are_no_runs_of_questions_are_refused(made, tmp_path):
    with pytest.raises(SpecError, match="asks no questions of a dataset"):
        make(tmp_path / "x.ref", "--from-run", str(made.work / "bf16-batch-1"))
    with pytest.raises(SpecError, match="is not a run"):
        make(tmp_path / "x.ref", "--from-run", str(tmp_path))
    run = str(made.work / "reference-boolq")
    with pytest.raises(SpecError, match="both ask 'boolq'"):
        make(tmp_path / "x.ref", "--from-run", run, "--from-run", run)


def test_twins_are_of_the_reference_s_checkpoint_and_ask_the_draft(made):
    spec = read_result(made.work / "bf16-batch-1").spec
    reference = read_result(made.work / "reference-mmlu").spec
    options = spec.options.pack
    assert isinstance(options, PackOptions)
    assert Path(options.path) == made.work / "draft.ref"
    assert (options.questions, options.order_seed) == (3, 0)
    assert (spec.dtype, spec.batch_sizes) == ("bfloat16", ((1,),))
    assert replace(
        spec,
        **{name: getattr(reference, name) for name in ("mode", "task", "split", "options", "dtype")},
        batch_sizes=reference.batch_sizes,
    ) == replace(reference)


def test_threads_are_set_for_workers_alone(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with threads(2):
        assert os.environ["OMP_NUM_THREADS"] == "2"
    with threads(None):
        assert os.environ["OMP_NUM_THREADS"] == "7"
    monkeypatch.delenv("OMP_NUM_THREADS")
    with pytest.raises(KeyError), threads(3):
        raise KeyError
    assert "OMP_NUM_THREADS" not in os.environ


def test_a_pack_is_read_from_python(made):
    assert modeltest.read_reference(made.path) == made.pack
    with pytest.raises(modeltest.ModelTestError, match="is no file"):
        modeltest.read_reference("nowhere.ref")
