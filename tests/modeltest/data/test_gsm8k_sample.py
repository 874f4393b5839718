"""The bundled word problems: laid out as the original, and right."""

import ast
import json
import operator
import re
from fractions import Fraction

import pytest

from modeltest.data.card import load_card
from modeltest.data.load import load_dataset

OPERATIONS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
MARK = re.compile(r"<<([^=<>]+)=([^<>]+)>>")
STATED = re.compile(r"(?<![\w.*/+-])(-?[\d.]+(?:[-+*/][\d.]+)+)=\$?(-?[\d,]*\.?\d+)")
GOLD = re.compile(r"#### (-?\d{1,3}(?:,\d{3})*|-?\d+)")


def problems(name: str) -> list[dict[str, str]]:
    text = (load_card("gsm8k").sample_folder / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.rstrip("\n").split("\n")]


PROBLEMS = [*problems("test"), *problems("train")]


def value_of(expression: str) -> Fraction:
    def of(node: ast.expr) -> Fraction:
        if isinstance(node, ast.BinOp):
            return OPERATIONS[type(node.op)](of(node.left), of(node.right))
        if isinstance(node, ast.UnaryOp):
            assert isinstance(node.op, ast.USub)
            return -of(node.operand)
        assert isinstance(node, ast.Constant)
        return Fraction(str(node.value))

    return of(ast.parse(expression, mode="eval").body)


def test_there_are_24_questions_and_8_examples() -> None:
    loaded = load_dataset("gsm8k", "sample", data_dir=None, shots_needed=True)
    assert (loaded.info.records, len(loaded.data.shots["gsm8k"])) == (24, 8)
    assert not loaded.info.official
    assert len({problem["question"] for problem in PROBLEMS}) == 32


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem["question"][:30])
def test_every_step_is_right_and_the_last_one_gives_the_answer(problem: dict[str, str]) -> None:
    steps, _, gold = problem["answer"].rpartition("\n")
    assert GOLD.fullmatch(gold)
    stated = MARK.findall(steps) or STATED.findall(steps)
    assert stated
    for expression, result in stated:
        assert value_of(expression) == Fraction(result.replace(",", "")), (expression, result)
    assert Fraction(stated[-1][1].replace(",", "")) == Fraction(gold.removeprefix("#### ").replace(",", ""))


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem["question"][:30])
def test_a_mark_is_followed_by_its_result(problem: dict[str, str]) -> None:
    for mark in MARK.finditer(problem["answer"]):
        shown = problem["answer"][mark.end() :].replace(",", "")
        assert shown.startswith(mark[2])
        assert not shown[len(mark[2]) :].startswith(tuple("0123456789"))


def test_samples_hold_what_is_rare_in_the_original() -> None:
    answers = [problem["answer"] for problem in problems("test")]
    golds = [answer.rpartition("#### ")[2] for answer in answers]
    assert any("," in gold for gold in golds)
    assert any(gold.startswith("-") for gold in golds)
    assert any("<<" not in answer for answer in answers)
    assert any(not problem["question"].isascii() for problem in problems("test"))
    assert (load_card("gsm8k").sample_folder / "test.jsonl").read_bytes().isascii()  # spelt as escapes
