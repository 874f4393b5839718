"""Numbers in texts: the golden vectors of the references, and lm-evaluation-harness's own functions."""

import math
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval_reference import gsm8k_of_lm_eval, judged_by

from modeltest.tasks.number_answers import (
    are_close,
    exact_number,
    flexible_extract,
    last_number,
    short_number,
    shortened,
    strict_match,
)

GOLD = "She has 3 of 4.\n#### {}"
# What texts about numbers are made of, so that random ones reach the corners of the patterns.
PIECES = st.lists(
    st.sampled_from(
        [
            *"0123456789",
            *"+-.,$% \n",
            "#### ",
            "####",
            "1,234",
            "００",
            "x",
            "٣",
            "Question:",
            "½",
            "<|im_end|>",
        ]
    )
    | st.text(max_size=3),
    max_size=12,
).map("".join)
NUMBERS = st.from_regex(r"-?[1-9][0-9]{0,2}(,[0-9]{3}){0,2}(\.[0-9]{1,2})?", fullmatch=True)


@pytest.fixture(scope="module")
def judges():
    """Return lm-evaluation-harness's own judgement by strict-match and by flexible-extract."""
    row = {"question": "q", "answer": GOLD.format(1)}
    return judged_by(gsm8k_of_lm_eval([row], [row]))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The answer is $1,234.50.", "1234.5"),
        ("x = -3", "-3"),
        ("between 5-10", "-10"),
        ("3/4", "4"),
        ("50%", "50"),
        ("2.", "2"),
        (r"\boxed{204}", "204"),
        (r"\boxed{\frac{1}{2}}", "2"),
        ("025", "25"),
        ("1e3", "3"),
        ("1,23", "23"),
        ("12,34,567", "34567"),
        ("1234,567", "567"),
        ("12:30", "30"),
        ("3 × 10^5", "5"),
        ("Step 1. foo", "1"),
        ("A: 12 apples (6 each)", "6"),
        ("１８", None),
        ("= 18<|im_end|>", "18"),
        ("+7", "7"),
        (".5", "0.5"),
        ("-0", "0"),
        ("", None),
        ("no number - none.", None),
    ],
)
def test_the_last_number_is_that_of_the_reference(text, number):
    assert last_number(text) == number


@given(PIECES)
def test_the_last_number_of_any_text_is_close_to_the_decimal_of_the_reference(text):
    # The reference: all matches, the last one without commas and plus signs, as a decimal.
    pattern = r"([+-])?(?=([0-9]|\.[0-9]))(0|([1-9](\d{0,2}(,\d{3})*)|\d*))?(\.\d*)?(?=\D|$)"
    matches = [match[0] for match in re.finditer(pattern, text)]
    found = last_number(text)
    if not matches:
        assert found is None
    else:
        decimal = Decimal(matches[-1].replace(",", "").replace("+", "").strip())
        assert math.isclose(decimal, Decimal(found), rel_tol=0, abs_tol=1e-4)


@pytest.mark.parametrize(
    ("predicted", "expected", "close"),
    [
        ("18", "18", True),
        ("18.00005", "18", True),
        ("18.001", "18", False),
        ("-18", "18", False),
        ("1234.5", "1234.50", True),
        (None, "18", False),
        ("1000000", "1000001", False),
        ("inf", "18", False),
    ],
)
def test_numbers_are_close_within_a_ten_thousandth_whatever_their_size(predicted, expected, close):
    assert are_close(predicted, expected) is close


@given(st.floats(allow_nan=False))
def test_a_short_number_reads_as_the_same_value(value):
    assert float(short_number(value)) == value


@pytest.mark.parametrize("digits", [1, 15, 16, 400])
def test_a_number_of_many_digits_is_written_in_few_characters(digits):
    assert len(last_number("9" * digits)) <= 24


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("#### 18", "18"),
        ("so\n#### 1,234.\n#### 5", "1234"),
        ("#### -10", "-10"),
        ("#### $18", None),
        ("####18", None),
        ("the answer is 18", None),
        ("#### 1234.50", "1234.50"),
        ("#### .", None),
        ("", None),
    ],
)
def test_strict_match_is_what_follows_the_first_mark(text, number):
    assert strict_match(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The answer is $1,234.50.", "1234.50"),
        ("2.", "2"),
        ("18. done. ...", None),
        ("the answer is 18, ok..", None),
        ("1,000,000.", "1000000"),
        ("5-10", "-10"),
        ("#### 18\n\nso 19", "19"),
        ("７", None),
        ("none", None),
    ],
)
def test_flexible_extract_is_the_last_number_or_run_of_its_punctuation(text, number):
    assert flexible_extract(text) == number


@pytest.mark.parametrize("number", ["18", "1,450,000", "-10", "3", "2.5"])
def test_the_expected_number_is_what_the_mark_of_an_answer_leaves(number):
    assert exact_number(GOLD.format(number)) == number.replace(",", "")


@pytest.mark.parametrize("answer", ["18 dollars", "#### none", "#### ...", "", "#### 18\n", "4\n18"])
def test_an_answer_that_does_not_end_with_a_number_has_none(answer):
    assert exact_number(answer) is None


@pytest.mark.parametrize(
    "text",
    [
        *("#### 18", "#### 18.", "#### 1,8", "#### 18.0", "$18", "18", "18.", "x 18, ok..", "18. ...", "-18"),
        *(
            "#### 17\n#### 18",
            "#### 18\n#### 17",
            "#### $18",
            "#### -18",
            "[invalid]",
            "",
            "####  18",
            "１８",
        ),
        *("#### 18\0", "18\0", "1$8", "$1,8.", "#### 1.8"),
    ],
)
def test_both_matches_judge_golden_texts_as_lm_evaluation_harness_does(judges, text):
    answer = GOLD.format(18)
    assert (strict_match(text) == exact_number(answer)) == judges["strict-match"](text, answer)
    assert (flexible_extract(text) == exact_number(answer)) == judges["flexible-extract"](text, answer)


@given(
    data=st.data(),
    number=NUMBERS,
    form=st.sampled_from(["{}", "#### {}", "${}.", "#### {}.", "so {}\n", "#### ${}", "{}{}"]),
)
def test_both_matches_judge_any_text_as_lm_evaluation_harness_does(judges, data, number, form):
    answer = GOLD.format(number)
    before, after = data.draw(PIECES), data.draw(PIECES)
    text = before + form.format(number, number) + after
    assert (strict_match(text) == exact_number(answer)) == judges["strict-match"](text, answer)
    assert (flexible_extract(text) == exact_number(answer)) == judges["flexible-extract"](text, answer)


def test_a_long_text_is_shortened_for_tables_and_a_short_one_is_not():
    assert shortened("1" * 40) == "1" * 40
    assert shortened("1" * 41) == "1" * 39 + "…"
