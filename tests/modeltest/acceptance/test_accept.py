from dataclasses import replace

import pytest
from made_packs import computation, with_manifest, with_wordings
from made_runs import MODEL
from noisy_packs import candidate, noisy_pack

from modeltest.acceptance.accept import Accept
from modeltest.acceptance.asking import request_of
from modeltest.api import (
    Capability,
    Completion,
    Decision,
    FindingCode,
    Leaning,
    PackOptions,
    PackText,
    RunSpec,
    Sample,
    SequentialTask,
    SpecError,
    TaskOptions,
    Verdict,
)
from modeltest.grammar.modes import all_modes
from modeltest.grammar.parse import parse, to_words
from modeltest.packs.drafting import tokenizer_digest
from modeltest.packs.files import pack_digest, write_pack
from modeltest.present import presentation_of
from modeltest.registry import load_task

PACK = noisy_pack(questions=160, texts=120)
CLEAN = candidate(PACK, seed=3)
TASK = Accept()
TELLING = frozenset({Capability.CHOICE_LOGPROBS, Capability.TOKEN_LOGPROBS})


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("pack") / "x.ref"
    write_pack(path, PACK)
    return path


def asking(path, **options):
    known = PackOptions(str(path), pack_digest(path), **options)
    words = ("fake", "accept", "accept", "auto", "/w")
    return RunSpec(*words, dtype="bfloat16", options=TaskOptions(pack=known))


def completion(unit, answer):
    if isinstance(unit, PackText):
        return Completion(unit.id, choice_logprobs=(sum(answer.logprobs),), token_logprobs=(answer.logprobs,))
    return Completion(unit.id, choice_logprobs=answer.logprobs)


def asked(spec, answers, capabilities=TELLING):
    """Return the samples of a run whose engine gives these answers, window by window."""
    inquiry = TASK.open(spec, capabilities, MODEL)
    units = {each.id: each for each in (*PACK.questions, *PACK.texts)}
    windows, found = inquiry.windows(), []
    window = next(windows, None)
    while window is not None:
        samples = []
        for request in window:
            assert request == request_of(units[request.id])
            said = completion(units[request.id], answers[request.id])
            samples.append(Sample(inquiry.score(said), said, "0" * 64))
        found.append(samples)
        try:
            window = windows.send(samples)
        except StopIteration:
            window = None
    return found


def journal(spec, answers, capabilities=TELLING):
    return [sample for window in asked(spec, answers, capabilities) for sample in window]


def test_it_is_an_installed_task_of_its_kind_with_a_word_of_its_own():
    assert isinstance(load_task("accept"), SequentialTask)
    words = ["pa_bf16", "accept", "gemma.ref", "gemma", "W", "8"]
    spec = parse(words, modes=all_modes(TASK.modes), model_keys={"gemma"})
    assert spec.options.pack == PackOptions("gemma.ref")
    assert spec.batch_sizes == ((8,),)
    assert to_words(spec, modes=all_modes(TASK.modes)) == words


def test_texts_are_not_required_of_an_engine(path):
    assert TASK.requires(asking(path)) == {Capability.CHOICE_LOGPROBS}


def test_a_drop_that_is_none_is_refused(path):
    with pytest.raises(SpecError, match="drop of 0 cannot"):
        TASK.check(asking(path, max_drop=0.0))


def test_a_correct_port_is_accepted_with_its_evidence_and_cost(path):
    samples = journal(asking(path), CLEAN)
    found = TASK.summarize_answers(samples, asking(path), MODEL)
    assert found.decision is Decision.ACCEPT
    assert {each.leaning for each in found.tests} == {Leaning.PASSED}
    assert [each.name for each in found.tests][:2] == ["accuracy", "wide flips"]
    assert found.cost.questions <= 160
    assert found.cost.scored_tokens == found.cost.texts * 16
    assert [each.code for each in found.not_run_codes] == [
        FindingCode.NO_PROMPTS_IN_PACK,
        FindingCode.UNKNOWN_TOKENIZER,
    ]
    assert found.locate == ()


def test_a_window_is_asked_by_prompts_so_that_equal_beginnings_are_neighbours(path):
    first = asked(asking(path), CLEAN)[0]
    prompts = {each.id: each.prompt for each in PACK.questions}
    questions = [prompts[sample.score.request_id] for sample in first if sample.score.request_id in prompts]
    assert questions == sorted(questions)


def test_the_order_of_the_journal_changes_nothing(path):
    samples = journal(asking(path), CLEAN)
    one = TASK.summarize_answers(samples, asking(path), MODEL)
    assert TASK.summarize_answers(reversed(samples), asking(path), MODEL) == one


def test_a_journal_that_breaks_off_says_what_its_whole_windows_say(path):
    windows = asked(asking(path), CLEAN)
    begun = [sample for window in windows[:-1] for sample in window] + windows[-1][:3]
    found = TASK.summarize_answers(begun, asking(path), MODEL)
    assert found.decision is Decision.UNDECIDED
    assert "undecided after" in found.reasons[0]


def test_without_tokens_a_port_that_answers_well_is_undecided_unless_that_is_enough(path):
    samples = journal(asking(path), CLEAN, {Capability.CHOICE_LOGPROBS})
    found = TASK.summarize_answers(samples, asking(path), MODEL)
    assert found.decision is Decision.UNDECIDED
    assert "--answers-alone" in found.reasons[0]
    assert "120 texts" in found.not_run[0]
    alone = TASK.summarize_answers(samples, asking(path, answers_alone=True), MODEL)
    assert alone.decision is Decision.ACCEPT
    assert "on the answers alone" in alone.reasons[1]


def test_a_faulty_port_is_rejected_and_the_reason_names_what_shows_it(path):
    faulty = candidate(PACK, seed=3, fault=lambda unit, at, _: 0.1 if unit.startswith("text/") else 0.0)
    found = TASK.summarize_answers(journal(asking(path), faulty), asking(path), MODEL)
    assert found.decision is Decision.REJECT
    assert "shift of texts" in found.reasons[0]
    reference = PACK.manifest.tasks[0].spec.weights
    assert found.locate == (
        *(
            "modeltest",
            "locate",
            "--reference",
            reference,
            "--model",
            "/w",
            "--engine",
            "fake",
            "--dtype",
            "bf16",
        ),
    )


def test_a_pack_of_texts_alone_is_judged_by_them(tmp_path):
    pack = noisy_pack(questions=0, texts=120)
    write_pack(tmp_path / "x.ref", pack)
    spec = asking(tmp_path / "x.ref")
    clean = candidate(pack, seed=3)
    samples = [
        Sample(inquiry.score(said), said, "0" * 64)
        for inquiry in [TASK.open(spec, TELLING, MODEL)]
        for text in pack.texts
        for said in [completion(text, clean[text.id])]
    ]
    found = TASK.summarize_answers(samples, spec, MODEL)
    assert found.decision is Decision.ACCEPT
    assert found.tests[0].statement.startswith("accuracy of questions: over 0 of 0")
    assert not any("answers alone" in reason for reason in found.reasons)


def test_failed_answers_are_lost_ones(path):
    def lost(unit):
        return Completion(unit.id, error="the engine gave no answer")

    inquiry = TASK.open(asking(path), TELLING, MODEL)
    score = inquiry.score(lost(PACK.questions[0]))
    assert score.error == "the engine gave no answer"


def test_a_pack_without_texts_says_so(tmp_path):
    pack = noisy_pack(questions=160, texts=0)
    write_pack(tmp_path / "x.ref", pack)
    spec = asking(tmp_path / "x.ref")
    inquiry = TASK.open(spec, TELLING, MODEL)
    inquiry.replay({})
    found = TASK.summarize_answers([], spec, MODEL)
    assert found.decision is Decision.UNDECIDED
    assert found.not_run[0].startswith("texts: the pack has none")
    assert found.not_run[1].startswith("prompts as text: the pack has none")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"tokenizer.json": "1" * 64}, ()),
        ({"tokenizer.json": "2" * 64}, (FindingCode.OTHER_TOKENIZER,)),
        ({"tokenizer.json": "1" * 64, "chat_template.jinja": "3" * 64}, (FindingCode.OTHER_TOKENIZER,)),
        ({}, (FindingCode.UNKNOWN_TOKENIZER,)),
    ],
)
def test_a_tokenizer_that_is_not_known_to_be_the_references_is_told(tmp_path, files, said):
    known = tokenizer_digest({"tokenizer.json": "1" * 64})
    model = replace(PACK.manifest.model, tokenizer_sha256=known)
    path = tmp_path / "x.ref"
    write_pack(path, replace(PACK, manifest=replace(PACK.manifest, model=model)))
    samples = journal(asking(path), CLEAN)
    found = TASK.summarize_answers(samples, asking(path), replace(MODEL, files=files))
    assert tuple(each.code for each in found.not_run_codes) == (FindingCode.NO_PROMPTS_IN_PACK, *said)


WORDED = with_wordings(PACK, 3)


def reading(ids_of):
    """Return the answers of the correct port, whose questions as text become the ids of `ids_of`."""

    def completed(unit):
        question = next(each for each in WORDED.questions if each.id == unit.question)
        return Completion(
            unit.id,
            prompt_tokens=ids_of(question.prompt),
            choice_tokens=question.choices,
            choice_logprobs=(-1.0, -2.0, -3.0, -4.0),
        )

    return completed


def judged(tmp_path, ids_of, files=None):
    """Return the summary of a run in which questions as text become other ids."""
    path = tmp_path / "worded.ref"
    write_pack(path, WORDED)
    spec = asking(path)
    inquiry, read = TASK.open(spec, TELLING, MODEL), reading(ids_of)
    units = {each.id: each for each in (*WORDED.questions, *WORDED.texts)}
    wordings = {each.id: each for each in WORDED.wordings}
    samples, windows = [], inquiry.windows()
    window = next(windows, None)
    while window is not None:
        said = [
            read(wordings[each.id]) if each.id in wordings else completion(units[each.id], CLEAN[each.id])
            for each in window
        ]
        batch = [Sample(inquiry.score(each), each, "0" * 64) for each in said]
        samples += batch
        try:
            window = windows.send(batch)
        except StopIteration:
            window = None
    return TASK.summarize_answers(samples, spec, replace(MODEL, files=files or {}))


def test_prompts_as_text_are_asked_first_and_say_what_they_became(tmp_path):
    found = judged(tmp_path, lambda ids: ids)
    assert found.decision is Decision.ACCEPT
    prompts = found.tests[0]
    assert (prompts.name, prompts.of, prompts.asked, prompts.value) == ("token ids", "prompts", 3, 0.0)
    assert prompts.leaning is Leaning.PASSED
    assert (
        prompts.statement
        == "all 3 prompts that were asked as text became the token ids that the reference read"
    )
    assert found.not_run_codes == ()


def test_a_second_token_at_the_begin_rejects_before_anything_else_is_asked(tmp_path):
    found = judged(tmp_path, lambda ids: (1, *ids))
    assert found.decision is Decision.REJECT
    assert [each.code for each in found.reason_codes] == [FindingCode.PROMPTS_DIFFER]
    assert found.reasons[0].startswith("3 of 3 prompts that were asked as text became other token ids")
    assert (found.cost.questions, found.cost.texts) == (0, 0)
    assert found.locate == (), "the model itself was not found wrong"
    assert [each.code for each in found.not_run_codes] == [FindingCode.UNKNOWN_TOKENIZER], (
        "texts were not asked, and could have been"
    )
    verdict = presentation_of(found).judgement(found, expected_questions=None, findings=frozenset())
    assert verdict == (Verdict.VALID, ())


def test_an_engine_that_does_not_tell_what_it_reads_is_accepted_with_that_named(tmp_path):
    found = judged(tmp_path, lambda _: ())
    assert found.decision is Decision.ACCEPT
    assert FindingCode.PROMPTS_NOT_TOLD in [each.code for each in found.not_run_codes]
    assert all(each.of != "prompts" for each in found.tests)


def test_other_files_of_a_tokenizer_are_told_beside_prompts_that_agree(tmp_path):
    found = judged(tmp_path, lambda ids: ids, {"tokenizer.json": "2" * 64})
    assert [(each.code, each.values) for each in found.not_run_codes] == [
        (FindingCode.OTHER_TOKENIZER, {"told": 3})
    ]


@pytest.mark.parametrize(
    ("asked_for", "of_checkpoint", "said"),
    [
        ("bfloat16", "float16", None),
        (None, "bfloat16", None),
        ("float16", "bfloat16", FindingCode.NO_TWIN_IN_DTYPE),
        (None, "float32", FindingCode.NO_TWIN_IN_DTYPE),
        (None, None, FindingCode.UNKNOWN_DTYPE),
    ],
)
def test_rounding_that_is_of_another_dtype_than_the_ports_is_told(path, asked_for, of_checkpoint, said):
    spec, model = replace(asking(path), dtype=asked_for), replace(MODEL, dtype=of_checkpoint)
    found = TASK.summarize_answers(journal(spec, CLEAN), spec, model)
    others = {FindingCode.NO_PROMPTS_IN_PACK, FindingCode.UNKNOWN_TOKENIZER}
    assert [each.code for each in found.not_run_codes if each.code not in others] == ([said] if said else [])


def test_a_port_is_held_against_the_twins_of_its_own_dtype_as_the_checkpoint_names_it(tmp_path):
    """Another twin rounds ten times as coarsely: beside it the fault would pass."""
    coarse = candidate(PACK, seed=4, rounding=0.5)
    computations = (*PACK.manifest.computations, computation("coarse", dtype="float16"))
    pack = replace(PACK, answers={**PACK.answers, "coarse": coarse})
    write_pack(tmp_path / "x.ref", with_manifest(pack, computations=computations))
    faulty = candidate(PACK, seed=3, rounding=0.5)
    spec = replace(asking(tmp_path / "x.ref"), dtype=None)
    decisions = [
        TASK.summarize_answers(answers, spec, model).decision
        for model in (replace(MODEL, dtype="bfloat16"), replace(MODEL, dtype="float16"))
        for answers in [journal(spec, faulty)]
    ]
    assert decisions[0] is Decision.REJECT
    assert decisions[1] is not Decision.REJECT
