"""The option letter a free text settles on, found by an ordered list of patterns.

The first pattern that matches anywhere decides, and its first match counts: statements ("the answer is B")
come before verdicts on one option, those before a letter standing alone, and that before any letter at all.
Each pattern captures the letter itself, so letters around it play no part.

Source: the order of MindIE-LLM tests/modeltest (Chinese and English "the answer is X" forms, a lone
letter, the first option letter); the patterns are our own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from re import Pattern

from modeltest.api import OPTION_LETTERS

_USUAL_OPTIONS = 4
_PRONOUN = "I"

# Marks between a statement and its letter: blanks, brackets, quotes, markdown, `$\boxed{\text{`. The bound
# keeps a degenerate text ("答案____...") from costing quadratic time.
_OPEN = r"(?:[\s\"'“”‘’「『《(（\[【{*_`$:：]|\\(?:boxed|text|textbf|mathrm|mathbf)\b){0,12}"
_CLOSE = r"[)）\]】}*_`$\"'”’\s]{0,12}"
# "A good way", "A 5 % loss" and "I think" begin with a word; "A because" and "A is" with the first option.
_AS_A_WORD = (
    r"\s+(?:\d|(?!(?:and|as|because|but|by|due|for|given|in|is|or|since|that|which|while|with)\b)[a-z])"
)
# "A错误", "A is wrong": named only to be ruled out.
_NOT_REFUTED = rf"(?!{_CLOSE}(?:选项|项)?(?:是|为)?(?:错|不)|{_CLOSE}is\s+(?:not|wrong|incorrect|false)\b)"


@dataclass(frozen=True, slots=True)
class Answer:
    """An option letter; `is_stated` unless it is merely a letter that occurs in the text."""

    letter: str
    is_stated: bool


@cache
def _stated(options: int) -> Sequence[Pattern[str]]:
    """Return the patterns of a statement about one of so many options."""
    letter, named, letters = _letter(options), _named(options), _range(options)
    return (
        # 答案是选项B / 正确答案为：C / 答案应该选 D / 答案如下：A. A denial ends the match: 答案不是A.
        re.compile(
            rf"答案(?:选项)?(?:[^。\n是为选:：{letters[1:-1]}不非]{{0,8}}(?:是|为|选择?|[:：]))?{named}"
        ),
        # The (correct) answer is B / answer should be (D) / Answer: C / the answer to question 3 is option A.
        # The words between stay within the sentence; "is not A" fails for want of a letter after the verb.
        re.compile(rf"\b[Aa]nswers?\b[^.。\n:：]{{0,60}}?(?:\b(?:is|are|be|was)\b|[:：=]){named}"),
        # **Answer** B / ANSWER: B / answer (C): without a verb.
        re.compile(rf"\b(?:[Aa]nswer|ANSWER){named}"),
        # \boxed{B}: the habit of models tuned on mathematics.
        re.compile(rf"\\boxed\s*\{{{named}"),
        # 故选B / 因此选择 C / 应选：D. Not 不选A nor 不能选A; the noun 选项 names an option only in passing.
        re.compile(
            r"(?<![不勿别未])(?<!不[能应可该])(?<!不应该)(?<!不可以)"
            rf"选(?:择|出)?(?:答案)?(?:的?是|为)?{_OPEN}{letter}"
        ),
        # I choose B / select option (C) / we pick D. Not "do not choose A".
        re.compile(rf"(?<!not )(?<!n't )\b(?:choose|chose|select|selected|pick|picked)\b{named}"),
        # 正确的是B / 说法错误的选项是 C / 不正确的一项是D: the phrase of the question, completed.
        re.compile(
            rf"(?:正确|错误|不对|不当|恰当|合适|符合题意)的?(?:一项|选项|项|说法|表述)?(?:是|为){named}"
        ),
        # ...不是B，而是A / 应为C: a denial, put right.
        re.compile(rf"(?:而是|应为|应是){named}"),
        # 因此C。 / 所以，B / So it is D. / Therefore (A): a conclusion that ends its line.
        re.compile(
            r"(?:因此|所以|故|综上(?:所述)?"
            r"|\b(?:[Ss]o|[Tt]hus|[Tt]herefore|[Hh]ence)\b(?:,?\s*it(?:'s| is))?)"
            rf"[，,：:\s]{{0,3}}答?{named}(?={_CLOSE}[.。!！]?{_CLOSE}$)",
            re.MULTILINE,
        ),
        # B是正确的 / 选项B正确 / B选项是正确答案 / 只有A对. Neither 不正确 nor A对B的影响.
        re.compile(
            rf"{letter}{_CLOSE}(?:选项|项)?\s?[才就]?(?:是|为)?最?(?:正确|符合题意|对(?=[的。，,；;.!！\s]|$))"
        ),
        # (B) is correct / option C is the right answer. Neither "is not correct" nor "is incorrect".
        re.compile(rf"{letter}{_CLOSE}\bis\s+(?:the\s+)?(?:most\s+)?(?:correct|right|best)\b"),
        # B / C. because ... / (D) ...: the text opens with the letter, as a reply to "A:" does.
        re.compile(rf"\A{_OPEN}{letter}{_NOT_REFUTED}"),
    )


@cache
def _occurring(options: int) -> Sequence[Pattern[str]]:
    """Return the patterns of a letter that merely occurs."""
    pronoun = rf"(?!{_PRONOUN}(?:\s|['’]))" if _has_pronoun(options) else ""
    return (
        # A letter that stands alone or in Chinese text, and is not ruled out there.
        re.compile(rf"{_letter(options)}{_NOT_REFUTED}"),
        # The last resort of the reference: the first option letter, be it the initial of a word.
        re.compile(rf"{pronoun}(?P<letter>{_range(options)})"),
    )


def _range(options: int) -> str:
    return f"[A-{OPTION_LETTERS[options - 1]}]"


def _has_pronoun(options: int) -> bool:
    return _PRONOUN in OPTION_LETTERS[:options]


def _letter(options: int) -> str:
    """Return a pattern of a capital that is no word and no part of one, of a name (B52) or contraction."""
    words = rf"[A{_PRONOUN}]" if _has_pronoun(options) else "A"
    return (
        rf"(?<![A-Za-z0-9])(?!{words}{_AS_A_WORD})(?P<letter>{_range(options)})"
        r"(?![A-Za-z0-9]|[-'’][A-Za-z]|\+)"
    )


def _named(options: int) -> str:
    """Return a pattern of the letter, however it is dressed: "选项 B", "option (B)"."""
    return rf"{_OPEN}(?:选项|选|[Oo]ption|[Cc]hoice)?{_OPEN}{_letter(options)}"


def extract_answer(text: str, *, options: int = _USUAL_OPTIONS) -> Answer | None:
    """Return the option letter `text` settles on, `None` when it holds none of the first `options`."""
    squeezed = re.sub(r"\s+", lambda blanks: "\n" if "\n" in blanks[0] else " ", text)
    return _first_match(_stated(options), squeezed, is_stated=True) or _first_match(
        _occurring(options), squeezed, is_stated=False
    )


def _first_match(patterns: Sequence[Pattern[str]], text: str, *, is_stated: bool) -> Answer | None:
    for pattern in patterns:
        if match := pattern.search(text):
            return Answer(match["letter"], is_stated)
    return None
