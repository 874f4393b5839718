"""docs/suites.md says what suites are: its example expands, its tables have every field and section."""

import json

import pytest
from doc_blocks import ROOT, blocks, names_in, section, table_rows

from modeltest.library.suites import catalogue
from modeltest.options.asked import COMMANDS
from modeltest.suite.matrix import SECTIONS, expand

pytest.importorskip("yaml")
SUITES = ROOT / "docs" / "suites.md"


def names(title: str) -> list[str]:
    return [name for row in table_rows(section(SUITES, title)) for name in names_in(row[0])]


def test_the_example_asks_for_what_the_document_says(tmp_path):
    from modeltest.suite.located_yaml import read_yaml

    (block,) = blocks(SUITES, "yaml")
    path = tmp_path / "suite.yaml"
    path.write_text(block.text, encoding="utf-8")
    found = expand(read_yaml(path), catalogue(), resolve=lambda text: [text], fill=lambda text: text)
    assert found.name == "nightly"
    assert found.notes == ()
    commands = [run.words[0] for run in found.runs]
    # 2 models: boolq and mmlu with 0 and 5 shots on 2 engines, maxbs on 2, performance on 1; and ceval.
    assert [commands.count(name) for name in ("accuracy", "performance", "maxbs")] == [2 * 2 * 4 + 1, 2, 4]
    assert all("--limit=50" in run.words for run in found.runs)


def test_every_section_of_a_file_is_documented():
    assert set(SECTIONS) <= set(names("The file"))


def test_every_command_of_a_suite_is_documented():
    row = next(row for row in table_rows(section(SUITES, "The file")) if row[0] == "`tasks`")
    assert names_in(row[1]) == list(COMMANDS)


def test_every_field_of_suite_json_is_documented():
    schema = json.loads((ROOT / "modeltest" / "schemas" / "suite.schema.json").read_text(encoding="utf-8"))
    documented = set(names("What comes out"))
    expected = set(schema["properties"]) | set(schema["$defs"]["SuiteRun"]["properties"])
    files = {name for name in documented if "." in name}
    assert files == {"suite.json", "suite.html", "junit.xml", "summary.md"}
    assert documented - files == expected


def test_every_status_of_a_run_is_documented():
    text = section(SUITES, "What comes out")
    schema = json.loads((ROOT / "modeltest" / "schemas" / "suite.schema.json").read_text(encoding="utf-8"))
    for status in schema["$defs"]["SuiteRun"]["properties"]["status"]["enum"]:
        assert status in text, status
