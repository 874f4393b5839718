"""A task file in TOML as frozen values: what its keys mean is in `docs/task-file.md`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from itertools import chain
from pathlib import Path
from types import MappingProxyType

from modeltest.task_files import keys as read
from modeltest.task_files.keys import Keys, names_in, read_keys
from modeltest.tasks import ENGLISH, Wording


class Kind(str, Enum):
    """What kind of questions a task file asks."""

    CHOICES = "choices"
    YES_NO = "yes_no"
    GENERATION = "generation"


class AnswerForm(str, Enum):
    """How the answer column of a question with options names the right one."""

    LETTER = "letter"
    INDEX = "index"
    """Counted from 0."""

    TEXT = "text"
    """As the option itself."""


class Match(str, Enum):
    """Which match of the answer pattern counts."""

    FIRST = "first"
    LAST = "last"


class Form(str, Enum):
    """What makes no difference between two answers; blanks around one never do."""

    CASE = "case"
    PUNCTUATION = "punctuation"
    ARTICLES = "articles"
    BLANKS = "blanks"


class Compare(str, Enum):
    """When an answer is right."""

    TEXT = "text"
    """It is the expected text."""

    NUMBER = "number"
    """Its last number is the expected one, within 0.0001."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """A task as its file describes it. Keys of other kinds than its own have their defaults."""

    keys: Keys
    name: str
    title: str
    kind: Kind
    data: Path
    shots: Path | None
    question: str
    answer: str
    options: tuple[str, ...] | str | None
    answers: AnswerForm
    wording: Wording
    prompt: str
    pattern: re.Pattern[str] | None
    match: Match
    ignore: tuple[Form, ...]
    compare: Compare
    max_new_tokens: int
    stop: tuple[str, ...]


_OF_ALL = ("name", "title", "kind", "data", "shots", "answer")
_OF_KIND: Mapping[Kind, tuple[str, ...]] = MappingProxyType(
    {
        Kind.CHOICES: ("question", "options", "answers", "zero_shot", "lm_eval_header", "lm_eval_cue"),
        Kind.YES_NO: ("prompt",),
        Kind.GENERATION: ("prompt", "pattern", "match", "ignore", "compare", "max_new_tokens", "stop"),
    }
)
_REQUIRED: Mapping[Kind, tuple[str, ...]] = MappingProxyType(
    {Kind.CHOICES: (), Kind.YES_NO: ("prompt",), Kind.GENERATION: ("prompt",)}
)


def read_declaration(path: Path) -> Declaration:
    """Return the task that the file at `path` describes; its rows are not read.

    Raises: SpecError naming file, key and line of what is wrong.
    """
    keys = read_keys(path)
    _check_known(keys, tuple(dict.fromkeys((*_OF_ALL, *chain(*_OF_KIND.values())))))
    for key in ("name", "kind", "data"):
        _require(keys, key)
    kind = keys.read("kind", read.one_of(Kind))
    _check_known(keys, (*_OF_ALL, *_OF_KIND[kind]), f" of kind {kind.value}")
    for key in _REQUIRED[kind]:
        _require(keys, key)
    name = keys.read("name", read.task_name)
    shots = keys.read("shots", read.rows_file)
    return Declaration(
        keys=keys,
        name=name,
        title=keys.read("title", read.text, name),
        kind=kind,
        data=path.parent / keys.read("data", read.rows_file),
        shots=None if shots is None else path.parent / shots,
        question=keys.read("question", read.text, "question"),
        answer=keys.read("answer", read.text, "answer"),
        options=keys.read("options", read.columns),
        answers=keys.read("answers", read.one_of(AnswerForm), AnswerForm.LETTER),
        wording=_wording(keys),
        prompt=keys.read("prompt", read.template, ""),
        pattern=keys.read("pattern", read.pattern),
        match=keys.read("match", read.one_of(Match), Match.FIRST),
        ignore=keys.read("ignore", read.several_of(Form), ()),
        compare=keys.read("compare", read.one_of(Compare), Compare.TEXT),
        max_new_tokens=keys.read("max_new_tokens", read.token_count, 32),
        stop=keys.read("stop", read.texts, ()),
    )


def _check_known(keys: Keys, known: Sequence[str], of_kind: str = "") -> None:
    for key in keys.values:
        if key not in known:
            close = get_close_matches(key, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise keys.error(key, f"is no key of a task{of_kind}; there are {', '.join(known)}{hint}")


def _require(keys: Keys, key: str) -> None:
    if key not in keys.values:
        raise keys.error(key, "is missing")


def _wording(keys: Keys) -> Wording:
    header = keys.read("lm_eval_header", read.template, ENGLISH.lm_eval_header)
    if unknown := [name for name in names_in(header) if name != "subject"]:
        raise keys.error(
            "lm_eval_header", f"has {{{unknown[0]}}}; only {{subject}} is filled in, the task's name"
        )
    return Wording(
        zero_shot=keys.read("zero_shot", read.template, ENGLISH.zero_shot),
        lm_eval_header=header,
        lm_eval_cue=keys.read("lm_eval_cue", read.text, ENGLISH.lm_eval_cue),
    )
