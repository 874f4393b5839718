"""Findings in words: the one place where a code and its values become a sentence, in each language.

`modeltest/sentences/*.toml` has the sentences. Of each code it has `example`, which declares the values that
findings of this code carry, and a sentence per language. A sentence names a value in braces, and how it is
written:

| in a sentence | is written |
|---|---|
| `{share:.2%}` | by the format language of Python |
| `{answer:quoted}` | in quotation marks, and not at length |
| `{size:GiB:.1f}` | in a larger unit: `giga`, `tera` or `GiB` |
| `{error:or:no answer}` | as it is, and where it is `None` so |
| `{low:if: ({low:.2%})}` | only where there is a value, 0 too, and no empty text or list |
| `{count:plural:question is\\|questions are}` | the first where the value is 1 |
| `{phase:choose:warmup=warm-up\\|bare=end}` | the text of the value, or else the value |
| `{names}` | the names, or other findings, with commas between |
| `{names:of:{count}}` | as many names as there are, and how many more |
| `{reasons:in turn}` | with semicolons between |
| `{about}` | another finding, as a sentence in the same language |

`None` is written as nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

from modeltest.api import Finding, FindingCode, RunResult
from modeltest.plain.toml_file import read_toml

ENGLISH = "en"
LANGUAGES = (ENGLISH, "zh")

OF_QUESTIONS = frozenset({FindingCode.QUESTIONS_AMONG_SHOTS, FindingCode.REPEATED_QUESTIONS})
"""What only the worker sees, who reads the questions: it is told once, and kept."""

FOLDER = Path(__file__).parent / "sentences"
EXAMPLE = "example"

_COMMAS = {ENGLISH: ", ", "zh": "、"}
_STOPS = {ENGLISH: "; ", "zh": "；"}
_QUOTED = 20
_MORE = {ENGLISH: " and {} more", "zh": " 等，另有 {} 个"}


def sentence(finding: Finding, language: str = ENGLISH) -> str:
    """Return `finding` in words; one that is not known here, or lacks a value, by its code and values."""
    if (words := _words(finding, language)) is not None:
        return words
    values = ", ".join(f"{name} {value}" for name, value in finding.values.items())
    return f"{finding.code}: {values}" if values else str(finding.code)


def sentences(findings: Iterable[Finding], language: str = ENGLISH) -> tuple[str, ...]:
    """Return each of `findings` in words."""
    return tuple(sentence(finding, language) for finding in findings)


def in_every_language(recorded: Sequence[str], findings: Sequence[Finding]) -> tuple[Mapping[str, str], ...]:
    """Return sentences that were recorded, by language; `findings` are the same as values.

    What an older version recorded has no values, or not those that the sentences need: it is there in
    English alone, as it was recorded.
    """
    return tuple(map(_by_language, recorded, as_findings(recorded, findings)))


def as_findings(recorded: Sequence[str], findings: Sequence[Finding]) -> Sequence[Finding]:
    """Return `findings`, or else the sentences that were recorded without values, each as a text."""
    if len(recorded) == len(findings):
        return findings
    return [Finding(FindingCode.TEXT, {"text": text}) for text in recorded]


def with_warnings(result: RunResult, found: Sequence[Finding]) -> RunResult:
    """Return `result` with warnings beside its own."""
    warnings = (*as_findings(result.warnings, result.warning_codes), *found)
    return replace(result, warnings=(*result.warnings, *sentences(found)), warning_codes=warnings)


def catalogue() -> Mapping[str, Mapping[str, Any]]:
    """Return what `sentences/` says of every code: its example, and its sentence in each language.

    Raises: ValueError where two files have one code.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for path in sorted(FOLDER.glob("*.toml")):
        table = read_toml(path)
        if twice := found.keys() & table.keys():
            raise ValueError(f"{path.name}: {sorted(twice)} are in another file already")
        found.update(table)
    return found


_sentences = cache(catalogue)


def _words(finding: Finding, language: str) -> str | None:
    """Return `finding` in words; `None` where there are none for its code with these values."""
    try:
        return _FORMATTERS[language].vformat(_sentences()[finding.code][language], (), finding.values)
    except (KeyError, ValueError, TypeError):  # of another version, or a plug-in
        return None


def _by_language(recorded: str, finding: Finding) -> Mapping[str, str]:
    if finding.code == FindingCode.TEXT:
        return {ENGLISH: recorded}
    others = ((language, _words(finding, language)) for language in LANGUAGES if language != ENGLISH)
    return {ENGLISH: recorded, **{language: words for language, words in others if words is not None}}


class _Words(Formatter):
    """Fills a sentence of one language."""

    def __init__(self, language: str) -> None:
        self._language = language

    def format_field(self, value: Any, format_spec: str) -> str:
        """Return a value as the spec says; see the head of this module."""
        name, _, rest = format_spec.partition(":")
        if name == "if":
            return "" if value in (None, "", ()) else rest
        if value is None:
            return rest if name == "or" else ""
        if isinstance(value, Finding):
            return sentence(value, self._language)
        if isinstance(value, tuple):
            of_each = "" if name in ("of", "in turn") else format_spec
            between = _STOPS if name == "in turn" else _COMMAS
            listed = between[self._language].join(self.format_field(each, of_each) for each in value)
            more = int(rest) - len(value) if name == "of" else 0
            return listed + (_MORE[self._language].format(more) if more > 0 else "")
        return _FORMS[name](value, rest) if name in _FORMS else format(value, format_spec)


def _plural(value: Any, words: str) -> str:
    one, many = words.split("|")
    return one if value == 1 else many


def _chosen(value: Any, texts: str) -> str:
    return dict(each.split("=", 1) for each in texts.split("|")).get(str(value), str(value))


def _scaled(unit: float) -> Callable[[Any, str], str]:
    return lambda value, spec: format(value / unit, spec)


_FORMS: Mapping[str, Callable[[Any, str], str]] = {
    "or": lambda value, _: str(value),
    "plural": _plural,
    "choose": _chosen,
    "quoted": lambda value, _: f"{value!r:.{_QUOTED}}",
    "giga": _scaled(1e9),
    "tera": _scaled(1e12),
    "GiB": _scaled(2.0**30),
}

_FORMATTERS = {language: _Words(language) for language in LANGUAGES}
