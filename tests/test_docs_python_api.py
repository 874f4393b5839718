"""The page of the Python API: its examples are run, its tables held against the code."""

import doctest
import os
import shutil

import click
import pandas
import pytest
from doc_blocks import ROOT, blocks, section, table_rows

import modeltest
from modeltest.library.frames import SAMPLES, TOKEN_LATENCY, TRIALS
from modeltest.options.asked import COMMANDS, OptionKind, keywords_of, kind_of
from modeltest.options.limits import limits_alone

PAGE = ROOT / "docs" / "python-api.md"
TEXT = PAGE.read_text(encoding="utf-8")


def rows_under(header: str) -> list[list[str]]:
    """Return the rows of the table whose first column is called `header`, its inline code bare."""
    table = TEXT[TEXT.index(f"| {header} |") :].partition("\n\n")[0]
    return [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]
    ]


def test_the_examples_give_what_the_page_shows(demo_model, tmp_path, monkeypatch):
    shutil.copytree(demo_model("llama"), tmp_path / "tiny")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODELTEST_OUTPUT_DIR", raising=False)
    text = "\n".join(block.text for block in blocks(PAGE, "pycon"))
    test = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, str(PAGE), 0)
    assert len(test.examples) > 15
    said: list[str] = []
    ended = doctest.DocTestRunner(optionflags=doctest.FAIL_FAST).run(test, out=said.append)
    assert ended.failed == 0, "".join(said)
    assert os.environ.get("MODELTEST_OUTPUT_DIR") is None


def test_every_public_name_is_on_the_page():
    named = {name for row in rows_under("name") for name in row[0].replace("`", "").split(", ")}
    assert named == {f"modeltest.{name}" for name in modeltest.__all__ if name != "__version__"}


@pytest.mark.parametrize(
    ("header", "dtypes"),
    [
        ("`samples`: one row per question", SAMPLES),
        ("`token_latency`: one row per output token", TOKEN_LATENCY),
        ("`trials`: one row per timed batch", TRIALS),
    ],
)
def test_columns_and_dtypes_of_the_frames_are_documented_in_order(header, dtypes):
    told = [(row[0], row[1]) for row in rows_under(header)]
    assert told == [(name, str(pandas.Series(dtype=dtype).dtype)) for name, dtype in dtypes.items()]


def keyword_rows() -> set[tuple[str, str, str, str]]:
    """Return command, keyword, what it takes and its default, of every keyword."""
    found = set()
    for name, command in COMMANDS.items():
        for source in (command, limits_alone):
            for keyword, option in keywords_of(source).items():
                found.add((name, keyword, takes(option), default_of(source, option)))
    return found


def takes(option: click.Option) -> str:
    kind = kind_of(option)
    if kind is OptionKind.FLAG:
        return "bool"
    if kind is OptionKind.PAIRS:
        return "pair or pairs"
    one = "text"
    if isinstance(option.type, click.Choice):
        one = " or ".join(option.type.choices)
    elif isinstance(option.type, click.IntRange):
        one = "int"
    elif isinstance(option.type, click.FloatRange):
        one = "float"
    return f"{one} or several" if kind is OptionKind.MANY else one


def default_of(command: click.Command, option: click.Option) -> str:
    if option.required:
        return "required"
    default = option.get_default(click.Context(command))
    if isinstance(default, tuple) and default:
        default = default[0]
    return str(default) if isinstance(default, (str, int, float)) and not isinstance(default, bool) else ""


def test_every_keyword_is_documented_with_its_default_and_no_other():
    told = set()
    for row in table_rows(section(PAGE, "Keywords")):
        keyword, what, default, commands = (cell.replace("`", "") for cell in row)
        names = COMMANDS if commands == "all" else commands.split(", ")
        told |= {(name, keyword, what, default) for name in names}
    assert told == keyword_rows()
