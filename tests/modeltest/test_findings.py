"""Every code has its words in every language, of the values that findings of it carry."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from string import Formatter

import pytest
from made_runs import accuracy_result

import engines
import modeltest
import reports
from modeltest.api import Finding, FindingCode
from modeltest.findings import (
    ENGLISH,
    EXAMPLE,
    LANGUAGES,
    as_findings,
    catalogue,
    in_every_language,
    sentence,
    sentences,
    with_warnings,
)
from modeltest.plain.contracts import from_plain, to_plain

CATALOGUE = catalogue()
WORDLESS = {FindingCode.TEXT, FindingCode.INTERVAL_WIDTH}
"""What has values alone, in no language."""

PACKAGES = [Path(package.__file__).parent for package in (modeltest, engines, reports)]
SOURCES = sorted(chain.from_iterable(package.rglob("*.py") for package in PACKAGES))


def example(code: str) -> Finding:
    return from_plain(Finding, {"code": code, "values": CATALOGUE[code][EXAMPLE]})


def fields_in(text: str) -> set[str]:
    """Return the names of all values that a sentence writes, those inside of other formats too."""
    found = set()
    for _, name, spec, _ in Formatter().parse(text):
        if name is not None:
            found |= {name} | fields_in(spec or "")
    return found


def test_every_code_is_declared_once_and_has_every_language_and_nothing_else():
    assert set(CATALOGUE) == set(FindingCode)
    assert {code: set(entry) for code, entry in CATALOGUE.items()} == {
        code: {EXAMPLE, *LANGUAGES} for code in FindingCode
    }


@pytest.mark.parametrize("code", FindingCode)
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_code_is_said_in_every_language(code, language):
    said = sentence(example(code), language)
    assert said
    assert said != str(code)  # as what has no words is shown
    assert not said.startswith(f"{code}: ")
    assert "{" not in said
    assert "None" not in said
    has_chinese = any("\u4e00" <= letter <= "\u9fff" for letter in said)
    assert has_chinese is (language == "zh" and code not in WORDLESS)


def test_only_what_has_no_words_of_its_own_is_alike_in_both_languages():
    assert {code for code, entry in CATALOGUE.items() if entry["en"] == entry["zh"]} == WORDLESS


@pytest.mark.parametrize("code", FindingCode)
def test_the_languages_of_a_code_write_the_same_values_and_no_others_than_it_carries(code):
    entry = CATALOGUE[code]
    written = fields_in(entry[ENGLISH])
    assert written <= entry[EXAMPLE].keys()
    assert all(fields_in(entry[language]) == written for language in LANGUAGES)


@pytest.mark.parametrize("code", FindingCode)
def test_a_finding_is_the_same_after_a_file(code):
    assert from_plain(Finding, to_plain(example(code))) == example(code)


# What the code makes: every `Finding(FindingCode.X, {...})` carries the values of the example.


def _calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield node


def _keys(node: ast.expr, within: ast.AST, module: ast.Module) -> set[str]:
    """Return the keys of a dictionary that is written in place, just before, or by a function beside it."""
    if isinstance(node, ast.Dict):
        found = set()
        for key, value in zip(node.keys, node.values, strict=True):
            found |= {key.value} if isinstance(key, ast.Constant) else _keys(value, within, module)
        return found
    if isinstance(node, ast.Name):
        (value,) = [
            each.value
            for each in ast.walk(within)
            if (isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == node.id)
            or (isinstance(each, ast.AnnAssign) and ast.unparse(each.target) == node.id)
        ]
        return _keys(value, within, module)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        (function,) = [
            each for each in module.body if isinstance(each, ast.FunctionDef) and each.name == node.func.id
        ]
        (returned,) = [each.value for each in ast.walk(function) if isinstance(each, ast.Return)]
        assert returned is not None
        return _keys(returned, function, module)
    raise AssertionError(f"line {node.lineno}: the values of a finding are not written out")


def _codes(node: ast.expr, within: ast.AST) -> set[str]:
    """Return the codes of a call: the one named there, or all that its function names."""
    named = within if isinstance(node, ast.Name) else node
    return {
        FindingCode[each.attr].value
        for each in ast.walk(named)
        if isinstance(each, ast.Attribute) and ast.unparse(each.value) == "FindingCode"
    }


def made_findings() -> Iterator[tuple[str, set[str], set[str]]]:
    """Yield where a finding is made, its codes and the values it carries."""
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        module = ast.parse(text if "FindingCode" in text else "")
        for function in (each for each in ast.walk(module) if isinstance(each, ast.FunctionDef)):
            for call in _calls(function, "Finding"):
                values = call.args[1] if len(call.args) > 1 else ast.Dict([], [])
                where = f"{path.name}:{call.lineno}"
                yield where, _codes(call.args[0], function), _keys(values, function, module)


MADE = list(made_findings())


@pytest.mark.parametrize(("codes", "keys"), [pytest.param(*each[1:], id=each[0]) for each in MADE])
def test_a_finding_carries_the_values_that_its_code_declares(codes, keys):
    assert codes
    assert dict.fromkeys(codes, keys) == {code: set(CATALOGUE[code][EXAMPLE]) for code in codes}


def test_every_code_is_made_somewhere():
    assert set().union(*(codes for _, codes, _ in MADE)) == set(FindingCode)


# What a finding is decided on by.

SENTENCES = {"reason", "reasons", "warning", "warnings", "note", "notes", "statement", "problem", "problems"}
TEXT_METHODS = {"startswith", "endswith", "split", "partition", "rpartition", "find", "index", "count"}


def decisions_on_sentences(module: ast.AST) -> Iterator[int]:
    """Yield the lines that look into a sentence, or compare it with another text."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in TEXT_METHODS and _is_sentence(node.func.value):
                yield node.lineno
        elif isinstance(node, ast.Compare):
            sides = (node.left, *node.comparators)
            has_text = any(isinstance(side, ast.Constant) and isinstance(side.value, str) for side in sides)
            if has_text and any(_is_sentence(side) for side in sides):
                yield node.lineno


def _is_sentence(node: ast.expr) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name in SENTENCES


@pytest.mark.parametrize(
    "source",
    [
        "if 'memory' in result.reasons: pass",
        "if reason == 'too large': pass",
        "gate.statement.split()[0]",
        "note.startswith('3')",
    ],
)
def test_a_decision_on_a_sentence_is_seen(source):
    assert list(decisions_on_sentences(ast.parse(source))) == [1]


def test_nothing_is_decided_on_a_sentence():
    found = [
        f"{path}:{line}"
        for path in SOURCES
        for line in decisions_on_sentences(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert found == []


# How values are written.


def written(text: str, language: str = ENGLISH, **values: object) -> str:
    from modeltest.findings import _FORMATTERS

    mapping: Mapping[str, object] = values
    return _FORMATTERS[language].vformat(text, (), mapping)


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("{share:.1%}", {"share": 0.5}, "50.0%"),
        ("{size:GiB:.1f}", {"size": 3 * 2**30}, "3.0"),
        ("{rate:giga:.3g}", {"rate": 4.5e9}, "4.5"),
        ("{n} {n:plural:row|rows}", {"n": 1}, "1 row"),
        ("{n} {n:plural:row|rows}", {"n": 0}, "0 rows"),
        ("a{low:if: ({low:.2f})}", {"low": 1.5}, "a (1.50)"),
        ("a{low:if: ({low:.2f})}", {"low": None}, "a"),
        ("{said:or:nothing}", {"said": None}, "nothing"),
        ("{said:or:nothing}", {"said": "a{b}:c"}, "a{b}:c"),
        ("{phase:choose:a=first|b=second}", {"phase": "b"}, "second"),
        ("{phase:choose:a=first|b=second}", {"phase": "c"}, "c"),
        ("{answer:quoted}", {"answer": "a" * 30}, "'" + "a" * 19),
        ("{names}", {"names": ("a", "b")}, "a, b"),
        ("{names:of:{n}}", {"names": ("a", "b"), "n": 5}, "a, b and 3 more"),
        ("{names:of:{n}}", {"names": ("a", "b"), "n": 2}, "a, b"),
        ("{names:in turn}", {"names": ("a", "b")}, "a; b"),
    ],
)
def test_values_are_written_as_the_table_of_the_module_says(text, values, expected):
    assert written(text, **values) == expected


def test_names_are_listed_as_the_language_does():
    assert written("{names:of:{n}}", "zh", names=("a", "b"), n=5) == "a、b 等，另有 3 个"


def test_a_finding_inside_of_another_is_in_the_same_language():
    inner = Finding(FindingCode.ROW_MISSING, {"row": 2})
    outer = Finding(FindingCode.IN_PROMPT, {"prompt": 1, "about": inner})
    assert sentence(outer) == "prompt 1: row 2 did not come back"
    assert sentence(outer, "zh") == "提示 1：第 2 行没有返回"


def test_what_has_no_words_here_is_shown_by_its_values():
    assert sentences([Finding("later", {"n": 3}), Finding("bare")]) == ("later: n 3", "bare")
    assert sentence(Finding(FindingCode.ROW_MISSING, {"column": 2})) == "row_missing: column 2"


# What older versions have recorded.


def test_a_recorded_sentence_without_values_is_shown_as_it_is():
    assert in_every_language(["an older one"], []) == ({"en": "an older one"},)
    assert as_findings(["an older one"], []) == [Finding(FindingCode.TEXT, {"text": "an older one"})]


def test_a_recorded_sentence_keeps_its_words_and_gets_the_other_language():
    finding = Finding(FindingCode.ROW_MISSING, {"row": 2})
    (said,) = in_every_language(["row 2 was lost"], [finding])
    assert said == {"en": "row 2 was lost", "zh": "第 2 行没有返回"}


def test_a_code_of_a_later_version_is_shown_in_english():
    assert in_every_language(["something new"], [Finding("later")]) == ({"en": "something new"},)


def test_warnings_are_added_with_their_values_beside_recorded_ones():
    older = replace(accuracy_result([]), warnings=("an older one",), warning_codes=())
    found = with_warnings(older, [Finding(FindingCode.NO_METRIC)])
    assert found.warnings == ("an older one", "there is not one metric")
    assert found.warning_codes == (
        Finding(FindingCode.TEXT, {"text": "an older one"}),
        Finding(FindingCode.NO_METRIC),
    )
