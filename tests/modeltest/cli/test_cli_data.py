import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from modeltest.api import DatasetError, PrerequisiteError, SpecError
from modeltest.cli.data import data
from modeltest.data import fetch as dataset_fetch

MadeUp = Callable[[str], Path]


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(data, [str(word) for word in words])


@pytest.mark.parametrize("command", ["list", "verify", "add", "fetch"])
def test_every_command_explains_itself(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "--data-dir DIR" in result.output
    assert "MODELTEST_DATA_DIR" in result.output


def test_the_group_shows_the_layout_of_the_files() -> None:
    output = run("--help").output
    for words in (
        "DIR/boolq/dev.jsonl",
        "DIR/mmlu/test/*_test.csv",
        "DIR/ceval/val/*_val.csv",
        "data add NAME PATH",
    ):
        assert words in output


def test_list_names_licences_and_what_is_here(tmp_path: Path, made_up_dataset: MadeUp) -> None:
    folder = made_up_dataset("boolq")
    lines = run("list", "--data-dir", folder.parent).output.splitlines()
    boolq, ceval, mmlu = (
        next(line for line in lines if f" {name} " in line) for name in ("boolq", "ceval", "mmlu")
    )
    assert "CC BY-SA 3.0" in boolq
    assert "dev different" in boolq
    assert "sample only" in ceval
    assert "MIT" in mmlu


def test_verify_of_official_files_succeeds(shared_data: Path) -> None:
    result = run("verify", "mmlu", "--data-dir", shared_data)
    assert result.exit_code == 0
    assert "14042/14042" in result.output
    assert "fa58faff5210aee66e8791f191a56016fa3d33be6b7f484a1463ae5984b834e0" in result.output


def test_verify_without_a_name_takes_what_is_here(shared_data: Path) -> None:
    result = run("verify", "--data-dir", shared_data)
    assert result.exit_code == 0
    assert result.output.count("official") == 8


def test_verify_without_a_name_passes_over_absent_datasets(tmp_path: Path) -> None:
    result = run("verify", "--data-dir", tmp_path)
    assert result.exit_code == 0
    assert result.output.count("absent") == 11


def test_verify_of_an_absent_dataset_fails(tmp_path: Path) -> None:
    result = run("verify", "ceval", "--data-dir", tmp_path)
    assert isinstance(result.exception, DatasetError)
    assert "modeltest data fetch ceval" in str(result.exception)


def test_verify_shows_the_table_and_fails_on_a_mismatch(made_up_dataset: MadeUp) -> None:
    folder = made_up_dataset("mmlu")
    result = run("verify", "--data-dir", folder.parent)
    assert isinstance(result.exception, DatasetError)
    assert "mmlu/test: not the official files: 114 of 14042 rows" in str(result.exception)
    assert "114/14042" in result.output


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    result = run("verify", "mmlu2", "--data-dir", tmp_path)
    assert isinstance(result.exception, SpecError)
    assert "available: boolq, ceval, gsm8k, humaneval, mmlu" in str(result.exception)


def test_add_copies_and_says_where(tmp_path: Path, made_up_dataset: MadeUp) -> None:
    target = tmp_path / "data"
    result = run("add", "boolq", made_up_dataset("boolq") / "dev.jsonl", "--data-dir", target)
    assert result.exit_code == 0
    assert f"boolq is in {target / 'boolq'}" in result.output
    assert "runs will report this dataset as not official: boolq/dev: not the official files" in result.output
    assert (target / "boolq/dev.jsonl").is_file()


def test_add_of_official_files_has_no_note(tmp_path: Path, shared_data: Path) -> None:
    result = run("add", "ceval", shared_data / "ceval", "--data-dir", tmp_path)
    assert result.exit_code == 0
    assert "note" not in result.output


def test_add_uses_the_environments_folder(
    tmp_path: Path, made_up_dataset: MadeUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODELTEST_DATA_DIR", str(tmp_path / "env"))
    run("add", "boolq", made_up_dataset("boolq"))
    assert (tmp_path / "env/boolq/dev.jsonl").is_file()


def test_add_replaces_other_content_only_by_force(tmp_path: Path, made_up_dataset: MadeUp) -> None:
    source = made_up_dataset("boolq") / "dev.jsonl"
    words = ("add", "boolq", source, "--data-dir", tmp_path / "data")
    run(*words)
    row = {"question": "new", "title": "T", "answer": True, "passage": "p"}
    source.write_text(json.dumps(row) + "\n")
    assert isinstance(run(*words).exception, DatasetError)
    assert run(*words, "--force").exit_code == 0
    assert "new" in (tmp_path / "data/boolq/dev.jsonl").read_text()


def test_fetch_writes_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"question": "q", "passage": "T -- p", "label": 1}]
    monkeypatch.setattr(dataset_fetch, "_hub_reader", lambda name: lambda *words: rows)
    result = run("fetch", "boolq", "--data-dir", tmp_path)
    assert result.exit_code == 0
    assert json.loads((tmp_path / "boolq/dev.jsonl").read_text())["answer"] is True
    assert "1/3270" in result.output


def test_fetch_without_a_network_passes_the_error_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reader(name: str) -> Any:
        raise PrerequisiteError("no network")

    monkeypatch.setattr(dataset_fetch, "_hub_reader", reader)
    assert isinstance(run("fetch", "mmlu", "--data-dir", tmp_path).exception, PrerequisiteError)
