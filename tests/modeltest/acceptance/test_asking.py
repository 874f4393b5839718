from dataclasses import replace

import pytest
from made_packs import letters, made_pack, pack_task, problem, text, with_manifest

from modeltest.acceptance.asking import PackScorer, drawn_questions, request_of, task_of_pack
from modeltest.api import (
    Completion,
    Finish,
    PackAnswer,
    PackOptions,
    PrerequisiteError,
    Request,
    Sample,
    SpecError,
    TokenPrompt,
)

PACK = made_pack()
SCORER = PackScorer(PACK)


def _sample(completion):
    return Sample(SCORER.score(completion), completion, "p")


def test_a_question_is_asked_by_its_token_ids():
    question = letters(1)
    assert request_of(question) == Request(
        "mmlu/anatomy/1", TokenPrompt(question.prompt), choices=((11,), (12,), (13,), (14,))
    )
    generated = request_of(problem(1))
    assert (generated.choices, generated.max_new_tokens, generated.stop) == ((), 16, ("Q:",))
    assert request_of(replace(problem(1), first_character_only=True)).first_character_only


def test_a_text_is_one_choice_of_which_each_token_is_told():
    assert request_of(text(0)) == Request(
        "text/0", TokenPrompt((5, 6, 1)), choices=((20, 21, 22),), each_token=True
    )


def test_all_questions_are_drawn_unless_there_is_a_limit():
    assert drawn_questions(PACK, PackOptions("/p", "s")) == list(PACK.questions)
    assert drawn_questions(PACK, PackOptions("/p", "s", questions=0)) == []


def test_a_limit_draws_as_many_of_each_task_in_the_order_of_the_pack_and_the_seed_says_which():
    def drawn(seed, limit=2):
        return [one.id for one in drawn_questions(PACK, PackOptions("/p", "s", seed, questions=limit))]

    names = [question.id for question in PACK.questions]
    found = {seed: drawn(seed) for seed in range(20)}
    for each in found.values():
        assert [name.partition("/")[0] for name in each] == ["mmlu", "mmlu", "gsm8k", "gsm8k"]
        assert each == sorted(each, key=names.index)
    assert len({tuple(each) for each in found.values()}) > 5
    assert drawn(3) == found[3]
    assert set(drawn(3)) < set(drawn(3, 4)), "a higher limit goes on in the same order"


def test_a_choice_is_scored_by_the_rule_of_its_task_under_the_name_in_the_pack():
    score = SCORER.score(Completion("mmlu/virology/4", choice_logprobs=(-0.5, -2.0, -3.0, -4.0)))
    assert (score.request_id, score.subject, score.category) == ("mmlu/virology/4", "virology", "STEM")
    assert (score.predicted, score.correct, score.margin) == ("A", True, 1.5)


def test_a_generated_answer_is_scored_by_the_rule_of_its_task():
    score = SCORER.score(Completion("gsm8k/gsm8k/1", text="it is #### 1", finish=Finish.STOP))
    assert (score.request_id, score.predicted, score.correct) == ("gsm8k/gsm8k/1", "1", True)


def test_what_failed_is_a_failed_score_and_no_answer():
    for name in ("mmlu/anatomy/0", "gsm8k/gsm8k/0", "text/0"):
        sample = _sample(Completion(name, error="out of luck"))
        assert (sample.score.request_id, sample.score.error, sample.score.correct) == (
            name,
            "out of luck",
            None,
        )
        assert SCORER.answer(sample) is None


@pytest.mark.parametrize("told", [(), ((-1.0, -2.0),), ((-1.0,), (-2.0,), (-3.0,))])
def test_a_text_whose_tokens_are_not_all_told_failed(told):
    score = SCORER.score(Completion("text/0", choice_logprobs=(-3.0,), token_logprobs=told))
    assert "for the 3 tokens of a text" in score.error


def test_answers_keep_what_a_pack_holds():
    chosen = _sample(Completion("mmlu/anatomy/0", choice_logprobs=(-1.0, -2.0, -3.0, -4.0)))
    assert SCORER.answer(chosen) == PackAnswer("mmlu/anatomy/0", (-1.0, -2.0, -3.0, -4.0), "A", True, 1.0)
    said = _sample(Completion("gsm8k/gsm8k/0", text="#### 7", finish=Finish.STOP))
    assert SCORER.answer(said) == PackAnswer("gsm8k/gsm8k/0", (), "7", False)  # its tokens are not told
    tokens = _sample(Completion("gsm8k/gsm8k/0", text="#### 7", output_tokens=(4, 2), finish=Finish.STOP))
    assert SCORER.answer(tokens) == PackAnswer("gsm8k/gsm8k/0", (), "7", False, output=(4, 2))
    told = _sample(Completion("text/1", choice_logprobs=(-6.0,), token_logprobs=((-1.0, -2.0, -3.0),)))
    assert SCORER.answer(told) == PackAnswer("text/1", (-1.0, -2.0, -3.0))


def test_a_task_that_is_not_installed_or_has_other_rules_is_refused():
    with pytest.raises(PrerequisiteError, match="'chess' is not available"):
        task_of_pack(replace(pack_task("mmlu", 1), task="chess"))
    with pytest.raises(SpecError, match="by version 0 of the protocol 'lm-eval'"):
        task_of_pack(replace(pack_task("mmlu", 1), protocol_version="0"))
    with pytest.raises(SpecError, match="is no task with questions"):
        task_of_pack(replace(pack_task("mmlu", 1), task="performance"))
    with pytest.raises(SpecError, match="by version 0"):
        PackScorer(with_manifest(PACK, tasks=(replace(PACK.manifest.tasks[0], protocol_version="0"),)))


@pytest.mark.parametrize("lost", ["answer", "A"])
def test_a_row_that_is_none_of_its_task_is_refused_before_anything_is_asked(lost):
    question = letters(0)
    fields = {name: value for name, value in question.record.fields.items() if name != lost}
    wrong = replace(question, record=replace(question.record, fields=fields))
    pack = replace(PACK, questions=(wrong,))
    with pytest.raises(SpecError, match="question 'mmlu/anatomy/0' of the reference pack cannot be scored"):
        PackScorer(pack)
