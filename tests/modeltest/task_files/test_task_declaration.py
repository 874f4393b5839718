"""What a task file in TOML may say; what it may not is told with file, key and line."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import OPTION_LETTERS, SpecError
from modeltest.task_files.answers import answer_in, expected_answer
from modeltest.task_files.declaration import Declaration, Kind, read_declaration
from modeltest.task_files.fields import to_fields

DOCUMENT = Path(__file__).parents[3] / "docs" / "task-file.md"
CHOICES = 'name = "capitals"\nkind = "choices"\ndata = "rows.jsonl"\n'
YES_NO = 'name = "sea"\nkind = "yes_no"\ndata = "rows.csv"\nprompt = "{question}?"\n'
GENERATION = 'name = "sums"\nkind = "generation"\ndata = "rows.csv"\nprompt = "{question} ="\n'


@pytest.fixture
def declare(tmp_path):
    def read(text: str) -> Declaration:
        path = tmp_path / "task.toml"
        path.write_text(text, encoding="utf-8")
        return read_declaration(path)

    return read


def test_three_keys_make_a_task_of_choices(declare, tmp_path):
    found = declare(CHOICES)
    assert (found.name, found.title, found.kind) == ("capitals", "capitals", Kind.CHOICES)
    assert (found.data, found.shots) == (tmp_path / "rows.jsonl", None)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "task.toml: name is missing"),
        ('name = "capitals"\nkind = "choices"', "task.toml: data is missing"),
        (YES_NO.replace("prompt", "title"), "task.toml: prompt is missing"),
        (
            'nmae = "capitals"\n' + CHOICES,
            "task.toml, line 1: nmae is no key of a task; .*did you mean name?",
        ),
        (
            CHOICES + 'prompt = "{question}"',
            "task.toml, line 4: prompt is no key of a task of kind choices; there",
        ),
        (CHOICES.replace('"capitals"', "3"), "task.toml, line 1: name is 3; expected a letter, and up to 39"),
        (CHOICES.replace('"capitals"', '"../x"'), "task.toml, line 1: name is '../x'; expected a letter"),
        (
            CHOICES.replace('"capitals"', '"mmlu"'),
            "task.toml, line 1: name is 'mmlu'; that is a task of ModelTest",
        ),
        (
            CHOICES.replace('"choices"', '"choice"'),
            "line 2: kind is 'choice'; expected one of choices, yes_no, gen",
        ),
        (
            CHOICES.replace("rows.jsonl", "rows.json"),
            "line 3: data is 'rows.json'; expected the path of a file",
        ),
        (CHOICES + "shots = 5", "line 4: shots is 5; expected a text"),
        (CHOICES + "options = []", r"line 4: options is \[\]; expected a list of texts"),
        (CHOICES + 'options = ["a", "a"]', "line 4: options is .*; one of them stands there twice"),
        (
            CHOICES + 'options = ["a"]',
            "line 4: options is .*; expected two to 10 columns, or one that holds a list",
        ),
        (CHOICES + 'answers = "number"', "line 4: answers is 'number'; expected one of letter, index, text"),
        (
            CHOICES + 'zero_shot = "{question"',
            "line 4: zero_shot is '{question'; its braces cannot be filled in",
        ),
        (CHOICES + 'zero_shot = "{a.b}"', "line 4: zero_shot is '{a.b}'; .*the name of a column alone"),
        (
            CHOICES + 'lm_eval_header = "{topic}"',
            "line 4: lm_eval_header has {topic}; only {subject} is filled",
        ),
        (GENERATION + 'pattern = "("', r"line 5: pattern is '\('; it is no regular expression: missing \)"),
        (GENERATION + 'match = "any"', "line 5: match is 'any'; expected one of first, last"),
        (GENERATION + 'compare = "near"', "line 5: compare is 'near'; expected one of text, number"),
        (GENERATION + 'ignore = "case"', "line 5: ignore is 'case'; expected a list"),
        (
            GENERATION + 'ignore = ["dots"]',
            r"line 5: ignore is \['dots'\]; expected one of case, punctuation",
        ),
        (GENERATION + "max_new_tokens = 0", "line 5: max_new_tokens is 0; expected a whole number from 1 to"),
        (GENERATION + "max_new_tokens = true", "line 5: max_new_tokens is True; expected a whole number"),
        (GENERATION + 'stop = ""', "line 5: stop is ''; expected a list of texts"),
        ("name =\n", "task.toml: not a task file in TOML: .*line 1"),
        (CHOICES + CHOICES, "not a task file in TOML: .*line 4"),
    ],
)
def test_what_is_wrong_is_told_with_file_key_and_line(declare, text, told):
    with pytest.raises(SpecError, match=told) as raised:
        declare(text)
    assert raised.value.exit_code == 2
    assert "\n" not in str(raised.value)


def test_a_key_is_not_looked_for_within_a_text(declare):
    prompt = 'prompt = """\npattern = {question}\n"""\n'
    with pytest.raises(SpecError, match="line 7: pattern is"):
        declare(GENERATION.replace('prompt = "{question} ="\n', prompt) + 'pattern = "["\n')


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(SpecError, match=r"gone\.toml cannot be read: No such file"):
        read_declaration(tmp_path / "gone.toml")


ROW = {"question": "Which?", "A": "one", "B": "two", "answer": "B"}


@pytest.mark.parametrize(
    ("more", "row", "fields"),
    [
        ("", ROW, {"A": "one", "B": "two", "answer": "B"}),
        ("", {**ROW, "C": "", "D": ""}, {"A": "one", "B": "two", "answer": "B"}),
        ("", {**ROW, "C": None}, {"A": "one", "B": "two", "answer": "B"}),
        ('options = ["B", "A"]', ROW, {"A": "two", "B": "one", "answer": "B"}),
        ('answers = "index"', {**ROW, "answer": 1}, {"A": "one", "B": "two", "answer": "B"}),
        ('answers = "text"', {**ROW, "answer": "two "}, {"A": "one", "B": "two", "answer": "B"}),
        (
            'options = "choices"\nanswers = "index"\nanswer = "label"\nquestion = "q"',
            {"q": "Which?", "choices": ["x", 3, True], "label": 2},
            {"A": "x", "B": "3", "C": "true", "answer": "C"},
        ),
    ],
)
def test_a_row_becomes_options_and_the_letter_of_the_right_one(declare, more, row, fields):
    found = to_fields(declare(CHOICES + more))(row)
    assert {name: value for name, value in found.items() if name in (*OPTION_LETTERS, "answer")} == fields
    assert found["question"] == "Which?"


@pytest.mark.parametrize(
    ("more", "row", "told"),
    [
        ("", {**ROW, "answer": "C"}, "the answer is 'C'; expected one of A, B"),
        ("", {**ROW, "answer": ""}, "column 'answer' is empty"),
        ("", {**ROW, "answer": None}, "column 'answer' is empty"),
        ("", {"A": "one", "B": "two", "answer": "A"}, "no column 'question'; there are 'A', 'B', 'answer'"),
        ("", {**ROW, "B": "one"}, "option B is 'one', as one before it"),
        ("", {**ROW, "A": "", "C": "three"}, "option A is empty"),
        ("", {"question": "?", "A": "one", "answer": "A"}, "1 options; expected 2 to 10"),
        ('options = ["A", "X"]', ROW, "no column 'X', which is an option"),
        ('options = "choices"', ROW, "column 'choices' is None; expected a list of options"),
        ('options = "choices"', {**ROW, "choices": list(range(11))}, "11 options; expected 2 to 10"),
        (
            'options = "choices"',
            {**ROW, "choices": [["a"], "b"]},
            r"column 'choices' is \['a'\]; expected one value",
        ),
        ('answers = "index"', {**ROW, "answer": 2}, "the answer is '2'; expected one of 0, 1"),
        ('answers = "text"', {**ROW, "answer": "three"}, "the answer is 'three'; expected one of one, two"),
        (
            'zero_shot = "{topic}"',
            ROW,
            r"no text in column 'topic', which zero_shot names \(.*task.toml, line 4\)",
        ),
        ("", {**ROW, "question": "\ud800"}, "column 'question' holds half a character"),
    ],
)
def test_a_row_that_does_not_fit_is_told(declare, more, row, told):
    with pytest.raises(ValueError, match=told):
        to_fields(declare(CHOICES + more))(row)


@pytest.mark.parametrize(
    ("answer", "word"), [(True, "yes"), (False, "no"), (1, "yes"), ("No", "no"), ("TRUE", "yes"), ("0", "no")]
)
def test_truth_is_yes_or_no(declare, answer, word):
    assert to_fields(declare(YES_NO))({"question": "so", "answer": answer})["answer"] == word


@pytest.mark.parametrize(
    ("text", "row", "told"),
    [
        (
            YES_NO,
            {"question": "so", "answer": "maybe"},
            "the answer is 'maybe'; expected yes or no, true or false",
        ),
        (
            YES_NO,
            {"answer": "yes"},
            r"no text in column 'question', which prompt names \(.*task.toml, line 4\)",
        ),
        (YES_NO, {"question": ["so"], "answer": "yes"}, "no text in column 'question'"),
        (GENERATION, {"question": "1 + 1"}, "no column 'answer'"),
        (
            GENERATION + 'compare = "number"',
            {"question": "?", "answer": "two"},
            "'two', which is empty or no number",
        ),
        (
            GENERATION + 'ignore = ["punctuation"]',
            {"question": "?", "answer": "..."},
            "which is empty or no number",
        ),
        (GENERATION, {"question": "?", "answer": "x" * 201}, "the answer has 201 characters; at most 200"),
    ],
)
def test_a_row_without_a_usable_answer_is_told(declare, text, row, told):
    with pytest.raises(ValueError, match=told):
        to_fields(declare(text))(row)


@pytest.mark.parametrize(
    ("more", "text", "answer"),
    [
        ("", "  Forty two \n", "Forty two"),
        ("", "   ", None),
        (r"pattern = 'is (\w+)'", "It is so, that is all", "so"),
        ("pattern = 'is (\\w+)'\nmatch = \"last\"", "It is so, that is all", "all"),
        (r"pattern = '\w+$'", "the end", "end"),
        (r"pattern = '(?P<n>a)(?P<answer>b)'", "ab", "b"),
        (r"pattern = 'is (\w+)'", "It was", None),
        (r"pattern = 'x(y)?'", "x", None),
        ('compare = "number"', "first 3, then 1,234.0", "1234"),
        ('compare = "number"', "none", None),
        ('ignore = ["case", "punctuation", "articles", "blanks"]', "The  Big-Ben!", "bigben"),
        ('ignore = ["case"]', "PARIS", "paris"),
        ('ignore = ["blanks"]', "a \n b", "a b"),
    ],
)
def test_the_answer_in_a_text_is_what_the_file_says(declare, more, text, answer):
    assert answer_in(declare(GENERATION + more), text) == answer


@given(st.integers(-(10**9), 10**9), st.text(alphabet="abc .", max_size=20))
def test_a_number_is_found_behind_any_words(tmp_path_factory, number, words):
    path = tmp_path_factory.mktemp("t") / "task.toml"
    path.write_text(GENERATION + 'compare = "number"\n', encoding="utf-8")
    found = read_declaration(path)
    assert answer_in(found, f"{words} {number}") == expected_answer(found, str(number))


def test_the_keys_in_the_document_are_those_that_are_read(declare):
    cells = [
        cell.split("|")[1] for cell in DOCUMENT.read_text(encoding="utf-8").splitlines() if cell[:3] == "| `"
    ]
    with pytest.raises(SpecError) as raised:
        declare("nothing = 1")
    known = str(raised.value).partition("there are ")[2].partition(";")[0].split(", ")
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == set(known)


def test_the_example_of_the_document_is_the_file_beside_it():
    text, examples = DOCUMENT.read_text(encoding="utf-8"), DOCUMENT.parent / "examples"
    assert (examples / "capitals.toml").read_text(encoding="utf-8") in text
    rows = (examples / "capitals.jsonl").read_text(encoding="utf-8")
    assert rows in text
    assert [json.loads(row)["answer"] for row in rows.splitlines()] == ["B", "A", "D"]
