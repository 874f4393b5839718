"""MMLU: the three ways to ask, byte for byte, and the three ways to judge."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_checks import COLUMNS, assert_golden, assert_known_digest, letter_rows, real_data

from modeltest.api import (
    AccuracyTask,
    Argument,
    Capability,
    ChoiceRule,
    Completion,
    Finish,
    Record,
    RunSpec,
    Sample,
    Score,
    SpecError,
    TaskData,
    TaskOptions,
    Turn,
)
from modeltest.tasks.mmlu import MMLU

PROTOCOLS = ("modeltest", "lm-eval")
CARD = {"abstract_algebra": {"category": "STEM"}, "world_religions": {"category": "humanities"}}
BODY = "A. one\nB. two\nC. three\nD. four\nAnswer:"


def data_of(*records: Record, shots: tuple[Record, ...] = ()) -> TaskData:
    return TaskData(records, {"abstract_algebra": shots}, CARD)


def first_request(data: TaskData, spec: RunSpec):
    return next(iter(MMLU().requests(data, spec)))


def test_is_an_accuracy_task_with_shots_and_batch_words():
    task = MMLU()
    assert isinstance(task, AccuracyTask)
    assert {mode.word: mode.split for mode in task.modes} == {"full_MMLU": "full", "sample_MMLU": "sample"}
    assert {mode.arguments for mode in task.modes} == {(Argument.SHOTS, Argument.BATCH)}


def test_few_shot_prompt_has_two_spaces_after_about_and_keeps_blanks(make_spec, letter_record):
    example = letter_record(" What? ", "C", number=9)
    request = first_request(data_of(letter_record("Which? "), shots=(example,)), make_spec(shots=1))
    assert request.prompt.text == (
        "The following are multiple choice questions (with answers) about  abstract algebra.\n\n"
        f" What? \n{BODY} C\n\n"
        f"Which? \n{BODY}"
    )


def test_lm_eval_prompt_has_one_space_and_stripped_questions(make_spec, letter_record):
    example = letter_record(" What? ", "C", number=9)
    data = data_of(letter_record("Which? "), shots=(example,))
    assert first_request(data, make_spec("lm-eval", 1)).prompt.text == (
        "The following are multiple choice questions (with answers) about abstract algebra.\n\n"
        f"What?\n{BODY} C\n\n"
        f"Which?\n{BODY}"
    )


def test_lm_eval_without_shots_keeps_header_and_body(make_spec, letter_record):
    assert first_request(data_of(letter_record("Which?")), make_spec("lm-eval")).prompt.text == (
        "The following are multiple choice questions (with answers) about abstract algebra.\n\n"
        f"Which?\n{BODY}"
    )


def test_zero_shot_prompt_asks_for_reasoning(make_spec, letter_record):
    assert first_request(data_of(letter_record("Which?")), make_spec()).prompt.text == (
        "\nThere is a single choice question about abstract algebra. "
        "Answer the question by replying A, B, C or D.\n"
        "Q: Which?\nA. one\nB. two\nC. three\nD. four\nLet's think step by step. A: "
    )


def test_braces_in_a_question_are_text(make_spec, letter_record):
    record = letter_record("Is {A} in {subject}?")
    for spec in (make_spec(), make_spec("lm-eval")):
        assert "Is {A} in {subject}?" in first_request(data_of(record), spec).prompt.text


def test_few_shot_generates_twenty_tokens_without_stop_texts(make_spec, letter_record):
    data = data_of(letter_record("Which?"), shots=(letter_record("What?", number=9),))
    request = first_request(data, make_spec(shots=1))
    assert (request.max_new_tokens, request.stop, request.choices) == (20, (), ())


def test_zero_shot_generates_256_tokens_without_stop_texts(make_spec, letter_record):
    request = first_request(data_of(letter_record("Which?")), make_spec())
    assert (request.max_new_tokens, request.stop, request.choices) == (256, (), ())


def test_lm_eval_compares_four_continuations(make_spec, letter_record):
    request = first_request(data_of(letter_record("Which?")), make_spec("lm-eval"))
    assert request.choices == (" A", " B", " C", " D")
    assert (request.choice_rule, request.max_new_tokens) == (ChoiceRule.CONTINUATION, 0)


def test_lm_eval_chat_choices_have_no_leading_space(make_spec, letter_record):
    request = first_request(data_of(letter_record("Which?")), make_spec("lm-eval", chat=True))
    assert request.choices == ("A", "B", "C", "D")


def test_chat_with_shots_is_system_pairs_and_question(make_spec, letter_record):
    data = data_of(letter_record("Which?"), shots=(letter_record("What?", "C", number=9),))
    header = "The following are multiple choice questions (with answers) about  abstract algebra.\n\n"
    assert first_request(data, make_spec(shots=1, chat=True)).prompt.turns == (
        Turn("system", header),
        Turn("user", f"What?\n{BODY}"),
        Turn("assistant", "C"),
        Turn("user", f"Which?\n{BODY}"),
    )


def test_zero_shot_chat_is_one_user_turn_with_the_text(make_spec, letter_record):
    data = data_of(letter_record("Which?"))
    text = first_request(data, make_spec()).prompt.text
    assert first_request(data, make_spec(chat=True)).prompt.turns == (Turn("user", text),)


def test_shots_are_those_of_the_record_s_own_subject(make_spec, letter_record):
    records = (letter_record("Which?"), letter_record("Whose?", subject="world_religions"))
    shots = {
        "abstract_algebra": [letter_record("algebra shot", number=9)],
        "world_religions": [letter_record("religion shot", number=9, subject="world_religions")],
    }
    algebra, religion = MMLU().requests(TaskData(records, shots, CARD), make_spec(shots=1))
    assert "algebra shot" in algebra.prompt.text
    assert "religion shot" in religion.prompt.text
    assert "about  world religions." in religion.prompt.text


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_more_shots_than_examples_are_refused_with_both_numbers(make_spec, letter_record, protocol):
    data = data_of(letter_record("Which?"), shots=(letter_record("What?", number=9),))
    with pytest.raises(SpecError, match=r"^6 shots asked for, but 'abstract_algebra' has 1 examples"):
        list(MMLU().requests(data, make_spec(protocol, 6)))


def test_unknown_protocol_is_refused(make_spec):
    with pytest.raises(SpecError, match="unknown protocol 'helm' of task 'x'; available: lm-eval, modeltest"):
        MMLU().check(make_spec("helm"))


def test_requirements_follow_the_protocol(make_spec):
    assert MMLU().requires(make_spec()) == {Capability.GENERATE}
    assert MMLU().requires(make_spec(shots=5)) == {Capability.GENERATE}
    assert MMLU().requires(make_spec("lm-eval")) == {Capability.CHOICE_LOGPROBS}


def judge(text: str | None, *, shots: int, finish: Finish = Finish.STOP, error: str | None = None) -> Score:
    record = Record("abstract_algebra/0", "abstract_algebra", dict.fromkeys(COLUMNS, "x") | {"answer": "B"})
    completion = Completion(record.id, text=text, finish=finish, error=error)
    spec = RunSpec("fa", "full_MMLU", "mmlu", "m", "w", options=TaskOptions(shots=shots))
    return MMLU().score(record, data_of(record), completion, spec)


@pytest.mark.parametrize(
    ("text", "predicted"), [(" B\n\nWhich", "B"), ("\n\t B", "B"), ("B. two", "B"), ("A or B", "A")]
)
def test_few_shot_answer_is_the_first_character_that_is_not_blank(text, predicted):
    score = judge(text, shots=5, finish=Finish.LENGTH)
    assert (score.predicted, score.correct) == (predicted, predicted == "B")
    assert (score.no_answer, score.truncated) == (False, False)


def test_few_shot_answer_outside_the_options_is_wrong_and_shown():
    score = judge(" The answer is B", shots=5, finish=Finish.LENGTH)
    assert (score.predicted, score.correct, score.no_answer, score.truncated) == ("T", False, False, False)


def test_nothing_generated_is_no_answer():
    score = judge("", shots=5)
    assert (score.predicted, score.correct, score.no_answer, score.truncated) == (None, False, True, False)


@pytest.mark.parametrize("shots", [0, 5])
def test_blanks_up_to_the_limit_are_truncated(shots):
    score = judge("\n \n", shots=shots, finish=Finish.LENGTH)
    assert (score.predicted, score.correct, score.no_answer, score.truncated) == (None, False, False, True)


def test_zero_shot_answer_is_extracted():
    score = judge("A good way to see it. The answer should be (B)", shots=0)
    assert (score.predicted, score.correct) == ("B", True)


def test_zero_shot_answer_stated_before_the_cut_counts():
    score = judge("The answer is B. Q: What is", shots=0, finish=Finish.LENGTH)
    assert (score.predicted, score.correct, score.truncated) == ("B", True, False)


def test_zero_shot_letter_in_a_reasoning_that_was_cut_is_not_an_answer():
    reasoning = "First consider option B, which"
    cut = judge(reasoning, shots=0, finish=Finish.LENGTH)
    assert (cut.predicted, cut.correct, cut.no_answer, cut.truncated) == (None, False, False, True)
    assert judge(reasoning, shots=0, finish=Finish.STOP).predicted == "B"


def test_zero_shot_without_a_letter_is_no_answer():
    score = judge("no idea", shots=0)
    assert (score.predicted, score.correct, score.no_answer) == (None, False, True)


@pytest.mark.parametrize("shots", [0, 5])
def test_failed_request_is_failed_not_wrong(shots):
    assert (judge("B", shots=shots, error="lost").correct, judge("B", shots=shots, error="lost").error) == (
        None,
        "lost",
    )
    assert judge(None, shots=shots).error == "the engine gave no text"


@given(st.text(), st.sampled_from([0, 5]), st.sampled_from(Finish))
def test_every_text_has_exactly_one_outcome(text, shots, finish):
    score = judge(text, shots=shots, finish=finish)
    assert [score.predicted is not None, score.no_answer, score.truncated].count(True) == 1
    assert score.correct is (score.predicted == "B")


def test_lm_eval_takes_the_likeliest_letter_and_the_first_of_equals(make_spec, letter_record):
    record = letter_record("Which?", "C")
    completion = Completion(record.id, choice_logprobs=(-3.0, -2.0, -0.5, -0.5))
    score = MMLU().score(record, data_of(record), completion, make_spec("lm-eval"))
    assert (score.predicted, score.correct, score.margin, score.category) == ("C", True, 0.0, "STEM")


def test_summary_has_categories_and_macro_accuracy():
    def sample(number: int, subject: str, correct: bool) -> Sample:
        request_id = f"{subject}/{number}"
        score = Score(request_id, subject, CARD[subject]["category"], "A", correct=correct)
        return Sample(score, Completion(request_id), "0" * 64)

    samples = [sample(number, "abstract_algebra", number == 0) for number in range(3)]
    summary = MMLU().summarize([*samples, sample(0, "world_religions", True)], CARD)
    assert (summary.micro.correct, summary.micro.total) == (2, 4)
    assert summary.macro == pytest.approx((1 / 3 + 1) / 2)
    assert {name: p.total for name, p in summary.categories.items()} == {"STEM": 3, "humanities": 1}
    assert summary.groups == {}


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("shots", [0, 5])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_prompt_of_the_first_bundled_row_is_golden(make_spec, protocol, shots, chat):
    assert_golden(MMLU(), make_spec(protocol, shots, chat=chat))


def expected_text(spec: RunSpec, subject: str, row: dict[str, str], examples: list[dict[str, str]]) -> str:
    about = subject.replace("_", " ")
    if spec.protocol == "modeltest" and not examples:
        return (
            f"\nThere is a single choice question about {about}. "
            "Answer the question by replying A, B, C or D."
            f"\nQ: {row['question']}\nA. {row['A']}\nB. {row['B']}\nC. {row['C']}\nD. {row['D']}"
            "\nLet's think step by step. A: "
        )
    is_lm_eval = spec.protocol == "lm-eval"
    blanks = " " if is_lm_eval else "  "
    text = f"The following are multiple choice questions (with answers) about{blanks}{about}."
    for shown in (*examples, row):
        question = shown["question"].strip() if is_lm_eval else shown["question"]
        text += f"\n\n{question}\nA. {shown['A']}\nB. {shown['B']}\nC. {shown['C']}\nD. {shown['D']}\nAnswer:"
        text += "" if shown is row else f" {shown['answer']}"
    return text


@pytest.mark.parametrize("shots", [0, 5])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_prompts_of_all_real_rows_follow_the_template(make_spec, shared_data, protocol, shots):
    spec = make_spec(protocol, shots)
    texts = {
        request.id: request.prompt.text for request in MMLU().requests(real_data("mmlu", shared_data), spec)
    }
    for path in (shared_data / "mmlu" / "test").glob("*_test.csv"):
        subject = path.name.removesuffix("_test.csv")
        examples = letter_rows(shared_data / "mmlu" / "dev" / f"{subject}_dev.csv", COLUMNS)[:shots]
        for number, row in enumerate(letter_rows(path, COLUMNS)):
            assert texts.pop(f"{subject}/{number}") == expected_text(spec, subject, row, examples)
    assert texts == {}


@pytest.mark.parametrize("shots", [0, 5])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_first_real_prompt_is_the_one_on_record(make_spec, shared_data, protocol, shots):
    spec = make_spec(protocol, shots)
    assert_known_digest(MMLU(), spec, first_request(real_data("mmlu", shared_data), spec).prompt.text)
