"""docs/dashboard.md describes the index as it is: tables, columns, versions, rules."""

import re
import sqlite3

import pytest
from doc_blocks import ROOT, blocks, names_in, section, table_rows

from modeltest.compare.tolerances import MAX_BATCH_TOLERANCE, MAX_DROP, RELATIVE_TOLERANCE
from modeltest.dashboard.index import VERSION, Index

DOCUMENT = ROOT / "docs" / "dashboard.md"
TEXT = section(DOCUMENT, "The index")


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "index.sqlite"
    with Index(path):
        pass
    connection = sqlite3.connect(path)
    yield connection
    connection.close()


def documented() -> dict[str, list[str]]:
    """Return the columns of each table, from the rows of a table or from the sentence that names them."""
    found = {}
    for part in re.split(r"\n(?=`\w+`[,:])", TEXT)[1:]:
        head, _, _ = part.partition("\n\n")
        names = names_in(head)
        rows = [name for row in table_rows(part) for name in names_in(row[0])]
        found[names[0]] = rows or [name for name in names[1:] if name != "rules"]
    return found


def test_every_table_and_column_of_the_index_is_documented(database):
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    real = {
        table: {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
        for table in tables
        if not table.startswith("sqlite_")
    }
    assert {table: set(columns) for table, columns in documented().items()} == real


def test_the_query_shown_can_be_asked(database):
    (block,) = blocks(DOCUMENT, "sql")
    assert database.execute(block.text).fetchall() == []


def test_the_version_and_the_rules_are_those_of_the_code():
    assert f"`PRAGMA user_version` is {VERSION}" in TEXT
    rules = section(DOCUMENT, "Worse and better")
    assert f"`--max-drop` ({MAX_DROP:.1%})" in rules
    assert f"`--tolerance` ({RELATIVE_TOLERANCE:.0%})" in rules
    assert f"within {MAX_BATCH_TOLERANCE:.0%} of the reference" in rules
