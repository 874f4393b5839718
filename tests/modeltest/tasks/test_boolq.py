"""BoolQ: prompts byte for byte, tie rules, shots."""

import json
from dataclasses import replace

import pytest
from prompt_checks import assert_golden, assert_known_digest, real_data

from modeltest.api import (
    AccuracyTask,
    Argument,
    Capability,
    ChatPrompt,
    ChoiceRule,
    Completion,
    Record,
    SpecError,
    TaskData,
    Turn,
)
from modeltest.tasks.boolq import BoolQ

PROTOCOLS = ("modeltest", "lm-eval")


def row(number: int, question: str, answer: str = "yes", title: str = "Sky") -> Record:
    fields = {"question": question, "title": title, "passage": "It is blue.", "answer": answer}
    return Record(f"boolq/{number}", "boolq", fields)


def data_of(*records: Record, shots: tuple[Record, ...] = ()) -> TaskData:
    return TaskData(records, {"boolq": shots} if shots else {}, {"boolq": {"category": "reading"}})


def text_of(data: TaskData, spec, index: int = 0) -> str:
    return list(BoolQ().requests(data, spec))[index].prompt.text


def test_is_an_accuracy_task_with_a_batch_word_only():
    task = BoolQ()
    assert isinstance(task, AccuracyTask)
    assert {mode.word: mode.split for mode in task.modes} == {"full_BoolQ": "full", "sample_BoolQ": "sample"}
    assert {mode.arguments for mode in task.modes} == {(Argument.BATCH,)}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_prompt_is_title_passage_question_and_cue(make_spec, protocol):
    text = text_of(data_of(row(0, "is the sky blue")), make_spec(protocol))
    assert text == "Sky -- It is blue.\nQuestion: is the sky blue?\nAnswer:"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_both_sources_give_the_same_prompt(make_spec, protocol):
    google = row(0, "is the sky blue")
    superglue = replace(google, fields={**google.fields, "title": "", "passage": "Sky -- It is blue."})
    spec = make_spec(protocol)
    assert text_of(data_of(google), spec) == text_of(data_of(superglue), spec)


def test_passage_without_a_title_column_is_complete(make_spec):
    fields = {"question": "q", "passage": "Sky -- It is blue.", "answer": "no"}
    text = text_of(data_of(Record("boolq/0", "boolq", fields)), make_spec())
    assert text == "Sky -- It is blue.\nQuestion: q?\nAnswer:"


def test_modeltest_asks_for_the_last_token_of_yes_then_no(make_spec):
    (request,) = BoolQ().requests(data_of(row(0, "q")), make_spec())
    assert request.choices == (" yes", " no")
    assert request.choice_rule is ChoiceRule.LAST_TOKEN
    assert (request.id, request.max_new_tokens, request.stop) == ("boolq/0", 0, ())


def test_lm_eval_asks_for_the_continuation_no_then_yes(make_spec):
    (request,) = BoolQ().requests(data_of(row(0, "q")), make_spec("lm-eval"))
    assert request.choices == (" no", " yes")
    assert request.choice_rule is ChoiceRule.CONTINUATION


def test_lm_eval_chat_choices_have_no_leading_space(make_spec):
    (request,) = BoolQ().requests(data_of(row(0, "q")), make_spec("lm-eval", chat=True))
    assert request.choices == ("no", "yes")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_chat_is_one_user_turn_with_the_same_text(make_spec, protocol):
    data = data_of(row(0, "q"))
    (request,) = BoolQ().requests(data, make_spec(protocol, chat=True))
    assert request.prompt == ChatPrompt((), (), (Turn("user", text_of(data, make_spec(protocol))),))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_shots_come_from_the_examples_in_file_order(make_spec, protocol):
    examples = (row(7, "one", "yes"), row(8, "two", "no"), row(9, "three"))
    text = text_of(data_of(row(0, "asked"), shots=examples), make_spec(protocol, 2))
    assert text == (
        "Sky -- It is blue.\nQuestion: one?\nAnswer: yes\n\n"
        "Sky -- It is blue.\nQuestion: two?\nAnswer: no\n\n"
        "Sky -- It is blue.\nQuestion: asked?\nAnswer:"
    )


def test_without_examples_the_first_other_questions_are_shots(make_spec):
    data = data_of(row(0, "zero"), row(1, "one"), row(2, "two"))
    first, second, third = (text_of(data, make_spec(shots=1), index) for index in range(3))
    assert first.index("Question: one?") < first.index("Question: zero?")
    assert second.index("Question: zero?") < second.index("Question: one?")
    assert third.index("Question: zero?") < third.index("Question: two?")


def test_shots_stay_apart_so_that_an_engine_may_drop_them(make_spec):
    data = data_of(row(0, "zero"), row(1, "one"), row(2, "two"))
    request = next(iter(BoolQ().requests(data, make_spec(shots=2))))
    assert len(request.prompt.shots) == 2
    assert all(shot.endswith("Answer: yes\n\n") for shot in request.prompt.shots)


def test_more_shots_than_examples_are_refused_with_both_numbers(make_spec):
    data = data_of(row(0, "zero"), row(1, "one"))
    with pytest.raises(SpecError, match=r"^5 shots asked for, but 'boolq' has 1 examples; use 1 shots or"):
        list(BoolQ().requests(data, make_spec(shots=5)))


def test_unknown_protocol_is_refused_with_the_known_ones(make_spec):
    with pytest.raises(
        SpecError, match=r"^unknown protocol 'helm' of task 'x'; available: lm-eval, modeltest$"
    ):
        BoolQ().check(make_spec("helm"))


def test_negative_shots_are_refused(make_spec):
    with pytest.raises(SpecError, match="number of shots -1 is negative"):
        BoolQ().check(make_spec(shots=-1))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_nothing_is_generated(make_spec, protocol):
    assert BoolQ().requires(make_spec(protocol)) == {Capability.CHOICE_LOGPROBS}


@pytest.mark.parametrize(
    ("protocol", "logprobs", "predicted"),
    [
        ("modeltest", (-1.0, -2.0), "yes"),
        ("modeltest", (-2.0, -1.0), "no"),
        ("modeltest", (-1.0, -1.0), "no"),
        ("lm-eval", (-1.0, -2.0), "no"),
        ("lm-eval", (-2.0, -1.0), "yes"),
        ("lm-eval", (-1.0, -1.0), "no"),
    ],
)
def test_yes_needs_to_be_strictly_likelier(make_spec, protocol, logprobs, predicted):
    record = row(0, "q", "yes")
    completion = Completion(record.id, choice_logprobs=logprobs)
    score = BoolQ().score(record, data_of(record), completion, make_spec(protocol))
    assert score.predicted == predicted
    assert score.correct is (predicted == "yes")
    assert score.margin == abs(logprobs[0] - logprobs[1])
    assert (score.expected, score.subject, score.category) == ("yes", "boolq", "reading")


def test_failed_request_is_failed_not_wrong(make_spec):
    record = row(0, "q")
    completion = Completion(record.id, choice_logprobs=(-1.0, -2.0), error="device lost")
    score = BoolQ().score(record, data_of(record), completion, make_spec())
    assert (score.correct, score.predicted, score.error) == (None, None, "device lost")


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("shots", [0, 5])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_prompt_of_the_first_bundled_row_is_golden(make_spec, protocol, shots, chat):
    assert_golden(BoolQ(), make_spec(protocol, shots, chat=chat))


@pytest.mark.parametrize("shots", [0, 5])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_prompts_of_all_real_rows_follow_the_template(make_spec, shared_data, protocol, shots):
    lines = (shared_data / "boolq" / "dev.jsonl").read_text(encoding="utf-8").splitlines()
    asked = [
        "{title} -- {passage}\nQuestion: {question}?\nAnswer:".format_map(json.loads(line)) for line in lines
    ]
    answers = [" yes" if json.loads(line)["answer"] else " no" for line in lines]
    solved = [question + answer + "\n\n" for question, answer in zip(asked, answers, strict=True)]
    spec = make_spec(protocol, shots)
    texts = [request.prompt.text for request in BoolQ().requests(real_data("boolq", shared_data), spec)]
    assert texts == [
        "".join((solved[:index] + solved[index + 1 : 10])[:shots]) + question
        for index, question in enumerate(asked)
    ]
    assert_known_digest(BoolQ(), spec, texts[0])
