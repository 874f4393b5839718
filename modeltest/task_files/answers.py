"""The answer that a text holds by the rule of a task file, and the expected one, as they compare."""

from __future__ import annotations

import re
import string

from modeltest.task_files.declaration import Compare, Declaration, Form, Match
from modeltest.tasks.number_answers import last_number

GROUP = "answer"
LONGEST = 200
"""Characters of an answer: what is longer is no answer, but a text that holds one somewhere."""

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(?:a|an|the)\b", re.IGNORECASE)


def answer_in(declaration: Declaration, text: str) -> str | None:
    """Return the answer that a text of the model holds; `None` without one.

    Of the match that counts it is the group `answer`, else the first group, else all of it. Without a pattern
    it is the whole text.
    """
    if declaration.pattern is None:
        return expected_answer(declaration, text)
    matches = list(declaration.pattern.finditer(text))
    if not matches:
        return None
    match = matches[0 if declaration.match is Match.FIRST else -1]
    groups = declaration.pattern.groups
    found = match[GROUP] if GROUP in declaration.pattern.groupindex else match[1 if groups else 0]
    return None if found is None else expected_answer(declaration, found)


def expected_answer(declaration: Declaration, answer: str) -> str | None:
    """Return an answer in the form in which two compare; `None` where nothing is left of it."""
    if declaration.compare is Compare.NUMBER:
        return last_number(answer)
    if Form.CASE in declaration.ignore:
        answer = answer.casefold()
    if Form.PUNCTUATION in declaration.ignore:
        answer = answer.translate(_PUNCTUATION)
    if Form.ARTICLES in declaration.ignore:
        answer = _ARTICLES.sub(" ", answer)
    if {Form.BLANKS, Form.ARTICLES} & {*declaration.ignore}:
        answer = " ".join(answer.split())
    return answer.strip() or None
