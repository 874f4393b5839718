"""GSM8K: prompts byte for byte, answers found by three rules, cut answers, shots."""

import json
from dataclasses import replace
from itertools import islice

import pytest
from lm_eval_reference import gsm8k_of_lm_eval, judged_by
from prompt_checks import assert_golden, assert_known_digest, real_data, sample_data

from modeltest.api import (
    AccuracyTask,
    Argument,
    Capability,
    ChatPrompt,
    Completion,
    DatasetError,
    Finish,
    Record,
    Sample,
    SelfChecking,
    SpecError,
    TaskData,
    Turn,
)
from modeltest.tasks.gsm8k import GSM8K

PROTOCOLS = ("modeltest", "lm-eval", "lm-eval-flexible")
OF_LM_EVAL = PROTOCOLS[1:]


def row(number: int, question: str = "How many?", answer: str = "2 + 16 = 18\n#### 18") -> Record:
    return Record(f"gsm8k/{number}", "gsm8k", {"question": question, "answer": answer})


def data_of(*records: Record, shots: tuple[Record, ...] = ()) -> TaskData:
    return TaskData(records, {"gsm8k": shots} if shots else {}, {"gsm8k": {"category": "mathematics"}})


EXAMPLES = tuple(row(number, f"Example {number}?", f"It is {number}.\n#### {number}") for number in range(9))


def score_of(text, spec, *, answer="#### 18", finish=Finish.STOP, error=None):
    record = row(0, answer=answer)
    return GSM8K().score(
        record, data_of(record), Completion(record.id, text, finish=finish, error=error), spec
    )


def test_is_an_accuracy_task_with_a_batch_word_only():
    task = GSM8K()
    assert isinstance(task, AccuracyTask)
    assert isinstance(task, SelfChecking)
    assert {mode.word: mode.split for mode in task.modes} == {"full_GSM8K": "full", "sample_GSM8K": "sample"}
    assert {mode.arguments for mode in task.modes} == {(Argument.BATCH,)}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_answers_are_generated_by_every_protocol(make_spec, protocol):
    GSM8K().check(make_spec(protocol))
    assert GSM8K().requires(make_spec(protocol)) == {Capability.GENERATE}
    assert GSM8K.protocols[protocol] == ("1" if protocol == "modeltest" else "0.4.13")


def test_unknown_protocol_is_refused_with_the_three_of_the_task(make_spec):
    with pytest.raises(
        SpecError, match=r"unknown protocol 'helm' .*; available: lm-eval, lm-eval-flexible, mod"
    ):
        GSM8K().check(make_spec("helm"))


def test_negative_shots_are_refused(make_spec):
    with pytest.raises(SpecError, match="number of shots -1 is negative"):
        GSM8K().check(make_spec(shots=-1))


def test_modeltest_asks_the_bare_question_and_stops_nowhere(make_spec):
    (request,) = GSM8K().requests(data_of(row(0, " Why?  ")), make_spec())
    assert request.prompt.text == " Why?  "
    assert (request.id, request.max_new_tokens, request.stop, request.choices) == ("gsm8k/0", 512, (), ())


def test_modeltest_with_shots_asks_after_the_first_examples_and_stops_at_a_next_question(make_spec):
    first, second = GSM8K().requests(data_of(row(0), row(1), shots=EXAMPLES), make_spec(shots=2))
    assert (
        first.prompt.text
        == second.prompt.text
        == (
            "Question: Example 0?\nAnswer: It is 0.\n#### 0\n\n"
            "Question: Example 1?\nAnswer: It is 1.\n#### 1\n\n"
            "Question: How many?\nAnswer:"
        )
    )
    assert (first.max_new_tokens, first.stop) == (512, ("Question:",))


@pytest.mark.parametrize("protocol", OF_LM_EVAL)
@pytest.mark.parametrize("shots", [0, 3])
def test_lm_eval_asks_for_256_tokens_and_has_three_stops(make_spec, protocol, shots):
    (request,) = GSM8K().requests(data_of(row(0), shots=EXAMPLES), make_spec(protocol, shots))
    assert request.prompt.text.endswith("Question: How many?\nAnswer:")
    assert (request.max_new_tokens, request.stop) == (256, ("Question:", "</s>", "<|im_end|>"))


@pytest.mark.parametrize("shots", [0, 1, 5, 8])
def test_lm_eval_prompts_are_those_of_lm_evaluation_harness(make_spec, shots):
    data = sample_data("gsm8k")
    test, train = ([dict(record.fields) for record in rows] for rows in (data.records, data.shots["gsm8k"]))
    theirs = gsm8k_of_lm_eval(test, train)
    ours = [request.prompt.text for request in GSM8K().requests(data, make_spec("lm-eval", shots))]
    assert ours == [theirs.fewshot_context(question, shots) for question in test]


def test_lm_eval_draws_other_shots_for_every_question_and_the_same_in_every_run(make_spec):
    data = data_of(*(row(number) for number in range(20)), shots=EXAMPLES)
    spec = make_spec("lm-eval", 3)
    shots = [request.prompt.shots for request in GSM8K().requests(data, spec)]
    assert len(set(shots)) > 10
    assert shots == [request.prompt.shots for request in GSM8K().requests(data, spec)]
    assert shots[:5] == [
        r.prompt.shots for r in GSM8K().requests(data_of(*data.records[:5], shots=EXAMPLES), spec)
    ]


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("shots", [0, 5])
def test_both_scores_of_lm_eval_have_the_same_prompts(make_spec, shots, chat):
    data = sample_data("gsm8k")
    strict, flexible = (
        list(GSM8K().requests(data, make_spec(protocol, shots, chat=chat))) for protocol in OF_LM_EVAL
    )
    assert strict == flexible


def test_a_request_is_made_when_it_is_asked_for(make_spec):
    def endless():
        yield from (row(number) for number in range(10))
        raise AssertionError("a record was read that nobody asked for")

    data = TaskData(endless(), {"gsm8k": EXAMPLES}, {})
    assert len(list(islice(GSM8K().requests(data, make_spec("lm-eval", 5)), 10))) == 10


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_more_shots_than_examples_are_refused_with_both_numbers(make_spec, protocol):
    with pytest.raises(
        SpecError, match="10 shots asked for, but 'gsm8k' has 9 examples; use 9 shots or fewer"
    ):
        next(GSM8K().requests(data_of(row(0), shots=EXAMPLES), make_spec(protocol, 10)))


@pytest.mark.parametrize(
    ("protocol", "answer"),
    [
        *((protocol, answer) for protocol in PROTOCOLS for answer in ("none", "#### ", "")),
        *((protocol, answer) for protocol in OF_LM_EVAL for answer in ("18 dollars", "#### " + "1." * 30)),
    ],
)
def test_a_record_without_a_number_is_refused_before_anything_is_asked(make_spec, protocol, answer):
    with pytest.raises(DatasetError, match=r"gsm8k/7: answer ends .*; expected a number, as in '#### 18'"):
        list(GSM8K().requests(data_of(row(7, answer=answer)), make_spec(protocol)))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_chat_with_shots_has_a_turn_for_every_question_and_answer(make_spec, protocol):
    (request,) = GSM8K().requests(data_of(row(0), shots=EXAMPLES[:1]), make_spec(protocol, 1, chat=True))
    turns = (Turn("user", "Question: Example 0?\nAnswer:"), Turn("assistant", "It is 0.\n#### 0"))
    assert request.prompt == ChatPrompt((), (turns,), (Turn("user", "Question: How many?\nAnswer:"),))


TEXTS = (
    "It is 18.\n#### 18",
    "#### 18\n\nAnother 7",
    "The answer is $18.00",
    "so 18, done. ...",
    "#### 17",
    "eighteen",
    "",
)
VERDICTS = {
    "modeltest": (True, False, True, True, False, False, False),
    "lm-eval": (True, True, False, False, False, False, False),
    "lm-eval-flexible": (True, False, False, False, False, False, False),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_each_protocol_has_its_own_rule(make_spec, protocol):
    spec = make_spec(protocol)
    scores = [score_of(text, spec) for text in TEXTS]
    assert tuple(score.correct for score in scores) == VERDICTS[protocol]
    assert all(score.expected == "18" for score in scores)
    assert [score.no_answer for score in scores] == [score.predicted is None for score in scores]
    assert scores[0].predicted == "18"
    assert (scores[0].subject, scores[0].category, scores[0].margin) == ("gsm8k", "mathematics", None)


@pytest.mark.parametrize("protocol", OF_LM_EVAL)
def test_lm_eval_scores_are_those_of_lm_evaluation_harness_on_the_sample(make_spec, protocol):
    data, spec = sample_data("gsm8k"), make_spec(protocol)
    rows = [dict(record.fields) for record in data.records]
    judge = judged_by(gsm8k_of_lm_eval(rows, rows))[
        "strict-match" if protocol == "lm-eval" else "flexible-extract"
    ]
    for record in data.records:
        answer = record.fields["answer"]
        for text in (answer, answer + ".", answer.replace("####", "so"), answer + "\n\nThe 3rd", answer[:-1]):
            score = GSM8K().score(record, data, Completion(record.id, text), spec)
            assert score.correct == judge(text, answer)


@pytest.mark.parametrize(
    ("protocol", "answer", "expected"),
    [
        ("modeltest", "#### 1,450,000", "1450000"),
        ("lm-eval", "3 - 13 = -10\n#### -10", "-10"),
        ("lm-eval-flexible", "#### 1,450,000", "1450000"),
        ("modeltest", "18", "18"),
    ],
)
def test_what_is_expected_is_a_short_number(make_spec, protocol, answer, expected):
    score = score_of(f"#### {expected}", make_spec(protocol), answer=answer)
    assert (score.expected, score.predicted, score.correct) == (expected, expected, True)


def test_modeltest_takes_numbers_that_differ_by_a_rounding_error(make_spec):
    spec = make_spec()
    near, far = score_of("18.00004", spec), score_of("18.004", spec)
    assert (near.predicted, near.correct) == ("18.00004", True)
    assert (far.predicted, far.correct) == ("18.004", False)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_digits_of_a_model_in_a_loop_fill_no_table(make_spec, protocol):
    score = score_of("#### " + "18" * 250, make_spec(protocol))
    assert len(score.predicted) <= 40
    assert score.correct is False


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_cut_text_that_holds_an_answer_is_scored_as_the_references_do(make_spec, protocol):
    right = score_of("#### 18", make_spec(protocol), finish=Finish.LENGTH)
    wrong = score_of("#### 1", make_spec(protocol), finish=Finish.LENGTH)
    assert (right.correct, right.truncated, right.no_answer) == (True, False, False)
    assert (wrong.correct, wrong.truncated, wrong.no_answer) == (False, False, False)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_text_cut_before_an_answer_is_truncated_and_wrong(make_spec, protocol):
    score = score_of("Let me think", make_spec(protocol), finish=Finish.LENGTH)
    assert (score.correct, score.predicted, score.truncated, score.no_answer) == (False, None, True, False)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("text", "error", "said"),
    [("#### 18", "device lost", "device lost"), (None, None, "the engine gave no text")],
)
def test_failed_request_is_failed_not_wrong(make_spec, protocol, text, error, said):
    score = score_of(text, make_spec(protocol), error=error)
    assert (score.correct, score.predicted, score.error, score.expected) == (None, None, said, "18")


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("text", [*TEXTS, "18.00004", "9" * 500, "#### " + "9" * 500])
def test_no_score_contradicts_itself(make_spec, protocol, text):
    spec = make_spec(protocol)
    assert GSM8K().contradiction(spec, score_of(text, spec), ()) is None


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_verdict_that_was_turned_contradicts_its_numbers(make_spec, protocol):
    spec = make_spec(protocol)
    turned = replace(score_of("#### 18", spec), correct=False)
    assert "correct is false, but '18' was answered and '18' is exp" in GSM8K().contradiction(
        spec, turned, ()
    )
    damaged = replace(turned, predicted="x8")
    assert (GSM8K().contradiction(spec, damaged, ()) is None) == (protocol != "modeltest")


def test_the_summary_knows_no_rate_of_guessing(make_spec):
    samples = [
        Sample(score_of(text, make_spec()), Completion("gsm8k/0", text), "0" * 64) for text in ("18", "17")
    ]
    summary = GSM8K().summarize(samples, {"gsm8k": {"category": "mathematics"}})
    assert (summary.micro.correct, summary.micro.total, summary.guess_rate) == (1, 2, None)
    assert summary.answers == {"18": 1, "17": 1}
    assert summary.expected_answers == {"18": 2, "17": 0}


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("shots", [0, 5])
@pytest.mark.parametrize("protocol", ["modeltest", "lm-eval"])
def test_prompt_of_the_first_bundled_row_is_golden(make_spec, protocol, shots, chat):
    assert_golden(GSM8K(), make_spec(protocol, shots, chat=chat))


def real_rows(shared_data, name):
    text = (shared_data / "gsm8k" / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.rstrip("\n").split("\n")]


@pytest.mark.parametrize("shots", [0, 5])
@pytest.mark.parametrize("protocol", ["modeltest", "lm-eval"])
def test_prompts_of_all_real_rows_are_those_of_the_reference(make_spec, shared_data, protocol, shots):
    test, train = real_rows(shared_data, "test"), real_rows(shared_data, "train")
    if protocol == "lm-eval":
        reference = gsm8k_of_lm_eval(test, train)
        expected = [reference.fewshot_context(each, shots) for each in test]
    else:
        before = "".join(
            "Question: {question}\nAnswer: {answer}\n\n".format_map(each) for each in train[:shots]
        )
        asked = "Question: {question}\nAnswer:" if shots else "{question}"
        expected = [before + asked.format_map(each) for each in test]
    spec = make_spec(protocol, shots)
    texts = [request.prompt.text for request in GSM8K().requests(real_data("gsm8k", shared_data), spec)]
    assert texts == expected
    assert_known_digest(GSM8K(), spec, texts[0])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_answers_of_all_real_rows_are_right(make_spec, shared_data, protocol):
    data, spec = real_data("gsm8k", shared_data), make_spec(protocol)
    for record in data.records:
        score = GSM8K().score(record, data, Completion(record.id, record.fields["answer"]), spec)
        assert (score.correct, score.predicted) == (True, score.expected)
