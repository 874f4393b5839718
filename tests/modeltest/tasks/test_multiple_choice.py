"""Questions with two to ten options, each with as many as its record: prompts, answers, chance, suspicion."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import (
    OPTION_LETTERS,
    AccuracyTask,
    Argument,
    Completion,
    DatasetError,
    FindingCode,
    Finish,
    Record,
    RunSpec,
    Sample,
    SelfChecking,
    SpecError,
    TaskData,
    TaskOptions,
)
from modeltest.suspicion import suspicions
from modeltest.tasks import ENGLISH, MultipleChoice, Wording, options_of
from modeltest.tasks.answers import extract_answer
from modeltest.tasks.mmlu import MMLU

OPTION_COUNTS = st.integers(2, 10)
WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


class Colours(MultipleChoice):
    """Questions about colours."""

    name = "colours"
    title = "Colours"
    dataset = "colours"
    word = "Colours"


def record(options: int, answer: str = "A", number: int = 0) -> Record:
    fields = dict(zip(OPTION_LETTERS[:options], WORDS, strict=False))
    return Record(f"sky/{number}", "sky", {"question": "Which?", **fields, "answer": answer})


def data(*records: Record, shots: tuple[Record, ...] = ()) -> TaskData:
    return TaskData(records, {"sky": shots}, {"sky": {}})


def spec(protocol: str = "modeltest", shots: int = 0, **fields) -> RunSpec:
    options = TaskOptions(shots=shots)
    return RunSpec(
        "fake", "full_Colours", "colours", "auto", "none", protocol=protocol, options=options, **fields
    )


def request(asked: Record, how: RunSpec, *shots: Record):
    return next(iter(Colours().requests(data(asked, shots=shots), how)))


def likeliest(asked: Record, letter: str) -> Completion:
    letters = options_of(asked)
    logprobs = tuple(-1.0 if each == letter else -2.0 for each in letters)
    return Completion(asked.id, prompt_tokens=(1,), choice_logprobs=logprobs)


def said(asked: Record, text: str, **more) -> Completion:
    return Completion(asked.id, text=text, prompt_tokens=(1,), output_tokens=(2,), finish=Finish.STOP, **more)


def score(asked: Record, completion: Completion, how: RunSpec):
    return Colours().score(asked, data(asked), completion, how)


def test_names_alone_make_a_task_with_its_modes():
    assert isinstance(Colours(), AccuracyTask)
    assert isinstance(Colours(), SelfChecking)
    assert [(mode.word, mode.task, mode.split) for mode in Colours.modes] == [
        ("full_Colours", "colours", "full"),
        ("sample_Colours", "colours", "sample"),
    ]
    assert {mode.arguments for mode in Colours.modes} == {(Argument.SHOTS, Argument.BATCH)}


def test_the_prompt_lists_the_options_of_its_record():
    assert request(record(2), spec()).prompt.text == (
        "\nThere is a single choice question about sky. Answer the question by replying A or B.\n"
        "Q: Which?\nA. one\nB. two\nLet's think step by step. A: "
    )
    assert "replying A, B, C, D or E.\n" in request(record(5), spec()).prompt.text


def test_a_worked_example_may_have_another_number_of_options():
    asked = request(record(2), spec(shots=1), record(3, "C", number=9))
    assert asked.prompt.text == (
        "The following are multiple choice questions (with answers) about  sky.\n\n"
        "Which?\nA. one\nB. two\nC. three\nAnswer: C\n\n"
        "Which?\nA. one\nB. two\nAnswer:"
    )


def test_four_options_are_asked_in_the_words_of_mmlu():
    class OfMMLU(MMLU):
        option_count = None

    for how in (spec(), spec(shots=1), spec("lm-eval")):
        given_data = data(record(4), shots=(record(4, number=9),))
        assert list(OfMMLU().requests(given_data, how)) == list(MMLU().requests(given_data, how))


@given(OPTION_COUNTS)
def test_lm_eval_compares_as_many_letters_as_there_are_options(options):
    assert request(record(options), spec("lm-eval")).choices == tuple(
        f" {letter}" for letter in OPTION_LETTERS[:options]
    )
    chat = request(record(options), spec("lm-eval", chat=True))
    assert chat.choices == OPTION_LETTERS[:options]


@given(OPTION_COUNTS, st.data())
def test_the_likeliest_letter_is_right_where_it_is_the_expected_one(options, drawn):
    expected, predicted = (drawn.draw(st.sampled_from(OPTION_LETTERS[:options])) for _ in range(2))
    asked, how = record(options, expected), spec("lm-eval")
    completion = likeliest(asked, predicted)
    scored = score(asked, completion, how)
    assert (scored.predicted, scored.correct, scored.choices) == (predicted, predicted == expected, options)
    assert Colours().contradiction(how, scored, completion.choice_logprobs) is None


@given(OPTION_COUNTS, st.data(), st.sampled_from([0, 1]))
def test_a_letter_that_is_said_is_right_where_it_is_the_expected_one(options, drawn, shots):
    expected, predicted = (drawn.draw(st.sampled_from(OPTION_LETTERS[:options])) for _ in range(2))
    asked = record(options, expected)
    text = f" {predicted}" if shots else f"The answer is ({predicted})."
    scored = score(asked, said(asked, text), spec(shots=shots))
    assert (scored.predicted, scored.correct, scored.choices) == (predicted, predicted == expected, options)


@given(st.integers(2, 9))
def test_a_letter_behind_the_last_option_is_no_answer(options):
    letter = OPTION_LETTERS[options]
    assert extract_answer(f"The answer is {letter}.", options=options) is None
    assert extract_answer(f"The answer is {letter}.", options=options + 1).letter == letter


def test_one_log_probability_too_few_is_a_failed_request():
    asked = record(5)
    scored = score(asked, likeliest(record(4), "A"), spec("lm-eval"))
    assert scored.correct is None
    assert scored.error == "the engine gave 4 log-probabilities for 5 choices"


def test_a_journal_line_whose_choices_are_not_those_of_its_score_contradicts_itself():
    asked, how = record(3, "B"), spec("lm-eval")
    scored = score(asked, likeliest(asked, "B"), how)
    assert "2 log-probabilities for 3 choices" in Colours().contradiction(how, scored, (-1.0, -2.0))


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("I think the answer is J.", "J"),
        ("I'm sure it is (C)", "C"),
        ("The answer is I", "I"),
        ("I", "I"),
        ("I is correct", "I"),
        ("I don't know", None),
        ("A good way to see it: I would say H", "H"),
    ],
)
def test_the_pronoun_is_no_option(text, letter):
    answer = extract_answer(text, options=10)
    assert (answer.letter if answer else None) == letter


def summary_of(records: list[Record], correct: int, how: RunSpec):
    samples = []
    for number, asked in enumerate(records):
        letters = options_of(asked)
        wrong = letters[1 - letters.index(asked.fields["answer"])]
        answer = asked.fields["answer"] if number < correct else wrong
        completion = likeliest(asked, answer) if how.protocol == "lm-eval" else said(asked, answer)
        samples.append(Sample(score(asked, completion, how), completion, "0" * 64))
    return Colours().summarize(samples, {"sky": {}})


@pytest.mark.parametrize("protocol", ["modeltest", "lm-eval"])
@given(counts=st.lists(OPTION_COUNTS, min_size=1, max_size=20))
def test_the_chance_level_is_the_mean_over_the_questions(counts, protocol):
    records = [record(count, number=number) for number, count in enumerate(counts)]
    found = summary_of(records, len(records), spec(protocol))
    assert found.guess_rate == pytest.approx(math.fsum(1 / count for count in counts) / len(counts))


@pytest.mark.parametrize("options", [2, 5, 10])
def test_fewer_right_answers_than_guessing_gives_are_suspicious(options):
    records = [record(options, "AB"[number % 2], number=number) for number in range(400)]
    chance = 400 // options
    codes = [each.code for each in suspicions(summary_of(records, chance // 3, spec("lm-eval")))]
    assert FindingCode.BELOW_GUESSING in codes
    assert list(suspicions(summary_of(records, chance, spec("lm-eval")))) == []


@pytest.mark.parametrize(
    ("letters", "told"), [("", "none"), ("A", "A"), ("AC", "A, C"), ("BC", "B, C")], ids=repr
)
def test_a_record_without_options_or_with_a_gap_is_refused(letters, told):
    asked = Record("sky/0", "sky", {"question": "Which?", "answer": "A", **dict.fromkeys(letters, "x")})
    with pytest.raises(
        DatasetError, match=f"sky/0 has the options {told}; expected the fields A, B ... without"
    ):
        list(Colours().requests(data(asked), spec()))


def test_a_wording_that_names_what_no_question_has_is_refused():
    class Odd(Colours):
        wording = Wording("{qestion}", ENGLISH.lm_eval_header, ENGLISH.lm_eval_cue)

    with pytest.raises(
        SpecError, match=r"the wording of task 'colours' cannot be filled in: 'qestion'; there are"
    ):
        list(Odd().requests(data(record(2)), spec()))
