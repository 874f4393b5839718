"""Which letter a free text settles on."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import OPTION_LETTERS
from modeltest.tasks.answers import extract_answer

LETTERS = OPTION_LETTERS[:4]


def letter_of(text: str) -> str | None:
    answer = extract_answer(text)
    return answer.letter if answer else None


STATED = [
    # The two defects of the predecessor: letters scanned alphabetically in the whole match.
    ("答案是选项B，因为A错误。", "B"),
    ("A good way to see this: the answer should be (D).", "D"),
    # Chinese statements.
    ("答案：C", "C"),
    ("答案: C", "C"),
    ("答案是C。", "C"),
    ("答案为C", "C"),
    ("答案选C", "C"),
    ("答案选择 C", "C"),
    ("答案是：C", "C"),
    ("正确答案是：\n\nC", "C"),
    ("正确答案为选项C", "C"),
    ("答案应该是C", "C"),
    ("答案应该选 C", "C"),
    ("答案选项是C", "C"),
    ("答案选项为：C", "C"),
    ("答案应为选项 C。", "C"),
    ("答案如下：C", "C"),
    ("答案是“C”", "C"),
    ("答案是（C）", "C"),
    ("答案是【C】", "C"),
    ("**答案：C**", "C"),
    ("A、B都不全面，所以答案是**C**。", "C"),
    ("A错误，B错误，D错误，故选：C。", "C"),
    ("因此选择C", "C"),
    ("应选C", "C"),
    ("故本题选C。", "C"),
    ("不选A，也不能选B，应该选C。", "C"),
    ("以上说法正确的是C", "C"),
    ("说法错误的选项是C", "C"),
    ("不正确的一项是 C", "C"),
    ("答案不是A，而是C", "C"),
    ("所以C。", "C"),
    ("因此，C", "C"),
    ("选项A错误，选项C正确。", "C"),
    ("C是正确的", "C"),
    ("C选项是正确答案", "C"),
    ("A不正确，只有C对。", "C"),
    # English statements.
    ("The answer is C", "C"),
    ("The answer is A because B is wrong.", "A"),
    ("The correct answer is (C), not A.", "C"),
    ("the correct answer to this question is option C", "C"),
    ("Therefore, the best answer would be C.", "C"),
    ("The answer is not A, the answer is C", "C"),
    ("The answer is: **C**", "C"),
    ("Answer: C", "C"),
    ("**Answer:** C", "C"),
    ("**Answer**: (C)", "C"),
    ("ANSWER: C", "C"),
    ("answer (C)", "C"),
    ("Answer = C", "C"),
    (r"so the result is $\boxed{C}$", "C"),
    (r"\boxed{\text{C}}", "C"),
    ("I would choose C", "C"),
    ("We select option (C) and not A", "C"),
    ("I do not choose A, I pick C", "C"),
    ("A is incorrect. B is not correct. C is correct.", "C"),
    ("(C) is the right answer", "C"),
    ("Since A fails, it cannot hold.\nSo it is C.", "C"),
    ("Therefore C", "C"),
    # The reply opens with its letter.
    ("C", "C"),
    (" C", "C"),
    ("C.", "C"),
    ("C. three, as B is two", "C"),
    ("(C) three", "C"),
    ("C，因为A不对", "C"),
    ("C\n\nQ: next question", "C"),
    ("**C**", "C"),
    ("A because of it", "A"),
]

GUESSED = [
    ("First look at C", "C"),
    ("我认为C更好", "C"),
    ("A good way to look at it is via B, perhaps", "B"),
    ("A错误，可能C", "C"),
    ("A 5 % loss, hence not C++ but maybe D then", "D"),
    ("It's an A-level question, see B", "B"),
    ("Apparently", "A"),
    ("maybe aCb", "C"),
    ("A good question", "A"),
]

SILENT = ["", " \n\t", "no idea", "答案是", "无法确定。", "E", "the answer is b", "42", "ＡＢ"]


@pytest.mark.parametrize(("text", "letter"), STATED)
def test_stated_answer_is_found(text, letter):
    answer = extract_answer(text)
    assert answer is not None
    assert (answer.letter, answer.is_stated) == (letter, True)


@pytest.mark.parametrize(("text", "letter"), GUESSED)
def test_letter_that_merely_occurs_is_not_a_statement(text, letter):
    answer = extract_answer(text)
    assert answer is not None
    assert (answer.letter, answer.is_stated) == (letter, False)


@pytest.mark.parametrize("text", SILENT)
def test_text_without_an_option_letter_has_no_answer(text):
    assert extract_answer(text) is None


@pytest.mark.parametrize("letter", LETTERS)
@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "({})",
        "答案是{}",
        "故选{}",
        "The answer is ({}).",
        "Answer: {}",
        "{}选项正确",
        "so $\\boxed{{{}}}$",
    ],
)
def test_every_letter_is_found_in_every_form(form, letter):
    assert letter_of(form.format(letter)) == letter


@pytest.mark.parametrize("decoy", LETTERS)
@pytest.mark.parametrize("letter", LETTERS)
def test_letters_around_the_statement_play_no_part(letter, decoy):
    assert letter_of(f"{decoy}错误，{decoy}也错误。答案是选项{letter}，因为{decoy}错误。") == letter
    assert letter_of(f"{decoy} is wrong. The answer should be ({letter}), not {decoy}.") == letter


def test_first_statement_counts_when_a_model_runs_on():
    assert letter_of("The answer is B.\n\nQ: another one\nThe answer is C.") == "B"


def test_statement_counts_before_an_earlier_lone_letter():
    assert letter_of("C is a language. The answer is D") == "D"


@given(st.text())
def test_no_text_raises_and_the_answer_is_a_letter_of_the_text(text):
    answer = extract_answer(text)
    has_letter = any(letter in text for letter in LETTERS)
    assert (answer is not None) is has_letter
    assert answer is None or answer.letter in text


@given(
    st.lists(
        st.sampled_from(["答案", "选", "是", "不", "A", "B", "answer", " ", "\n", "(", "因此", "is", "."])
    )
)
def test_fragments_of_statements_never_raise(fragments):
    text = "".join(fragments)
    assert (extract_answer(text) is None) is not any(letter in text for letter in "AB")


@given(st.sampled_from(LETTERS), st.text(alphabet=" \n\t", max_size=40))
def test_blanks_before_the_letter_do_not_matter(letter, blanks):
    assert letter_of(f"答案是{blanks}{letter}") == letter
    assert letter_of(f"The answer is{blanks or ' '}{letter}") == letter


@pytest.mark.parametrize(
    "text",
    [
        "答案" + "_" * 20_000,
        "answer " * 5_000,
        " " * 50_000,
        "答案" + " *" * 10_000,
        "所以" * 9_000,
        "选" * 20_000,
    ],
)
def test_degenerate_text_takes_no_noticeable_time(text):
    begin = time.perf_counter()
    assert extract_answer(text) is None
    assert time.perf_counter() - begin < 2
