import shutil
from dataclasses import replace

import pytest
from made_packs import letters, made_pack, pack_task, text, with_manifest
from made_runs import MODEL

from modeltest.acceptance.pack_answers import PackAnswers
from modeltest.api import (
    AnswersSummary,
    Capability,
    Completion,
    PackOptions,
    RunSpec,
    Sample,
    Score,
    SequentialTask,
    SpecError,
    TaskOptions,
)
from modeltest.packs.files import write_pack
from modeltest.registry import load_task

PACK = made_pack()
TASK = PackAnswers()
ALL = frozenset(Capability)


@pytest.fixture
def spec(tmp_path):
    return asking(tmp_path / "x.ref", PACK)


def asking(path, pack, **options):
    pack_options = PackOptions(str(path), write_pack(path, pack), **options)
    return RunSpec(
        "fake", "pack_answers", "pack_answers", "auto", "/w", options=TaskOptions(pack=pack_options)
    )


def test_it_is_an_installed_task_of_its_kind():
    assert isinstance(load_task("pack_answers"), SequentialTask)
    assert TASK.modes == ()


def test_everything_is_asked_in_one_window(spec):
    inquiry = TASK.open(spec, ALL, MODEL)
    (window,) = list(inquiry.windows())
    names = [*(question.id for question in PACK.questions), *(text.id for text in PACK.texts)]
    assert [request.id for request in window] == names
    assert inquiry.most == 11


def test_a_limit_counts_for_each_task_and_texts_are_all_told(tmp_path):
    spec = asking(tmp_path / "x.ref", PACK, questions=1)
    (window,) = TASK.open(spec, ALL, MODEL).windows()
    assert len(window) == 1 + 1 + 3
    assert TASK.summarize_answers([], spec, MODEL) == AnswersSummary(0, 5, 0)
    many = asking(tmp_path / "y.ref", PACK, questions=100)
    assert TASK.summarize_answers([], many, MODEL).expected == 11


def test_of_no_question_and_no_text_nothing_is_asked(tmp_path):
    spec = asking(tmp_path / "x.ref", made_pack([letters(0)], [], twins={}), questions=0)
    assert list(TASK.open(spec, ALL, MODEL).windows()) == []


def test_it_requires_what_its_questions_and_texts_need(tmp_path):
    generate, choose, tell = Capability.GENERATE, Capability.CHOICE_LOGPROBS, Capability.TOKEN_LOGPROBS
    assert TASK.requires(asking(tmp_path / "a.ref", PACK)) == {generate, choose, tell}
    assert TASK.requires(asking(tmp_path / "b.ref", PACK, questions=0)) == {tell}
    of_letters = made_pack([letters(0)], [], twins={})
    assert TASK.requires(asking(tmp_path / "c.ref", of_letters)) == {choose}


def test_answers_are_counted(spec):
    scores = [Score("a", "s", "c", "A"), Score("b", "s", "c", "A", error="no")]
    samples = [Sample(score, Completion(score.request_id), "p") for score in scores]
    assert TASK.summarize_answers(samples, spec, MODEL) == AnswersSummary(answered=1, expected=11, failed=1)


@pytest.mark.parametrize(
    "use",
    [
        TASK.check,
        lambda spec: TASK.open(spec, ALL, MODEL),
        TASK.requires,
        lambda spec: TASK.summarize_answers([], spec, MODEL),
    ],
)
def test_a_pack_that_is_gone_or_another_is_refused_wherever_it_is_needed(spec, tmp_path, use):
    path = tmp_path / "x.ref"
    shutil.copy(path, tmp_path / "kept.ref")
    write_pack(path, with_manifest(PACK, created="2027-01-01T00:00:00+00:00"))
    with pytest.raises(SpecError, match=r"x\.ref is another reference pack than the run began with"):
        use(spec)
    path.unlink()
    with pytest.raises(SpecError, match=r"x\.ref is no file"):
        use(spec)
    (tmp_path / "kept.ref").rename(path)
    use(spec)


def test_options_that_make_no_sense_are_refused(spec):
    options = spec.options.pack
    for wrong, reason in (
        (TaskOptions(), "none is given"),
        (TaskOptions(pack=replace(options, questions=-1)), "cannot be asked"),
    ):
        with pytest.raises(SpecError, match=reason):
            TASK.check(replace(spec, options=wrong))
    with pytest.raises(SpecError, match="leave lora out"):
        TASK.check(replace(spec, lora="adapters.jsonl"))


def test_a_pack_whose_rules_are_others_is_refused_before_anything_is_loaded(tmp_path):
    tasks = (pack_task("mmlu", 6, protocol_version="0"), PACK.manifest.tasks[1])
    with pytest.raises(SpecError, match="by version 0 of the protocol"):
        TASK.check(asking(tmp_path / "x.ref", with_manifest(PACK, tasks=tasks)))


def test_a_draft_is_asked_too(tmp_path):
    assert TASK.open(asking(tmp_path / "x.ref", with_manifest(PACK, is_draft=True)), ALL, MODEL).most == 11


def test_given_ids_alone_are_asked_and_need_no_more_than_they_do(tmp_path):
    questions, texts = [letters(number) for number in range(6)], [text(number) for number in range(4)]
    pack = made_pack(questions, texts, twins={})
    names = (questions[4].id, texts[1].id)
    spec = asking(tmp_path / "x.ref", pack, only=names)
    (window,) = TASK.open(spec, TASK.requires(spec), MODEL).windows()
    assert {request.id for request in window} == set(names)
    assert Capability.TOKEN_LOGPROBS in TASK.requires(spec)
    assert TASK.summarize_answers([], spec, MODEL).expected == 2
    alone = asking(tmp_path / "x.ref", pack, only=names[:1])
    assert TASK.requires(alone) == {Capability.CHOICE_LOGPROBS}


def test_an_id_that_the_pack_has_not_is_refused(tmp_path):
    spec = asking(tmp_path / "x.ref", PACK, only=("mmlu/none",))
    with pytest.raises(SpecError, match="lacks some of the questions"):
        TASK.open(spec, frozenset(), MODEL)
