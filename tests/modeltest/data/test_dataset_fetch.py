import builtins
import csv
import gzip
import json
import re
import sys
import types
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modeltest.api import DatasetError, PrerequisiteError
from modeltest.data.card import load_card
from modeltest.data.fetch import fetch_dataset, original_files
from modeltest.data.store import SplitStatus
from modeltest.installation import install_command

BOOLQ, MMLU, CEVAL = load_card("boolq"), load_card("mmlu"), load_card("ceval")
Row = Mapping[str, Any]


def mmlu_row(**changes: Any) -> Row:
    return {"question": "q", "subject": "anatomy", "choices": ["a", "b", "c", "d"], "answer": 2} | changes


def boolq_row(**changes: Any) -> Row:
    return {"question": "q", "passage": "T -- p -- r", "idx": 0, "label": 1} | changes


def ceval_row(**changes: Any) -> Row:
    row = {
        "id": 0,
        "question": "问",
        "A": "a",
        "B": "b",
        "C": "c",
        "D": "d",
        "answer": "B",
        "explanation": "",
    }
    return row | changes


class Hub:
    """Rows in the shape of the hub's, made from files in the original layout."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.asked: list[tuple[str, str, str]] = []

    def __call__(self, repository: str, config: str, split: str) -> Iterable[Row]:
        self.asked.append((repository, config, split))
        rows = {
            "cais/mmlu": self.mmlu,
            "ceval/ceval-exam": self.ceval,
            "aps/super_glue": self.boolq,
            "openai/gsm8k": self.gsm8k,
            "openai/openai_humaneval": self.humaneval,
        }
        return rows[repository](config, split)

    def mmlu(self, config: str, split: str) -> Iterable[Row]:
        for path in sorted((self.data_dir / "mmlu" / split).iterdir()):
            with path.open(encoding="utf-8", newline="") as file:
                for question, *choices, answer in csv.reader(file):
                    subject = path.name.removesuffix(f"_{split}.csv")
                    index = "ABCD".index(answer)
                    yield {"question": question, "subject": subject, "choices": choices, "answer": index}

    def ceval(self, config: str, split: str) -> Iterable[Row]:
        path = self.data_dir / "ceval" / split / f"{config}_{split}.csv"
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield {**row, "id": int(row["id"]), "explanation": row.get("explanation", "")}

    def gsm8k(self, config: str, split: str) -> Iterable[Row]:
        for line in (self.data_dir / f"gsm8k/{split}.jsonl").read_text(encoding="utf-8").splitlines():
            yield json.loads(line)

    def humaneval(self, config: str, split: str) -> Iterable[Row]:
        with gzip.open(self.data_dir / "humaneval/HumanEval.jsonl.gz", "rt", encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)

    def boolq(self, config: str, split: str) -> Iterable[Row]:
        with (self.data_dir / "boolq/dev.jsonl").open(encoding="utf-8") as file:
            for index, line in enumerate(file):
                row = json.loads(line)
                passage = f"{row['title']} -- {row['passage']}"
                yield {
                    "question": row["question"],
                    "passage": passage,
                    "idx": index,
                    "label": int(row["answer"]),
                }


def test_the_answer_index_of_mmlu_becomes_a_letter() -> None:
    rows = {"anatomy": [mmlu_row(answer=index) for index in range(4)]}
    assert original_files(MMLU, MMLU.splits[0], rows) == {
        "test/anatomy_test.csv": b"q,a,b,c,d,A\nq,a,b,c,d,B\nq,a,b,c,d,C\nq,a,b,c,d,D\n"
    }


def test_rows_of_the_hub_may_have_as_many_options_as_the_card() -> None:
    columns = ("question", *"ABCDE", "answer")
    card = replace(MMLU, fields=("question", "A", "B", "answer"), optional_fields=tuple("CDE"))
    split = replace(MMLU.splits[0], columns=columns)
    rows = [mmlu_row(choices=["a", "b", "c", "d", "e"], answer=4), mmlu_row(choices=["a", "b"], answer=1)]
    assert original_files(card, split, {"anatomy": rows}) == {
        "test/anatomy_test.csv": b"q,a,b,c,d,e,E\nq,a,b,,,,B\n"
    }


def test_cells_are_quoted_only_where_they_must_be() -> None:
    rows = {"anatomy": [mmlu_row(question='a "b", c', choices=["None", "two\nlines", "", " x"])]}
    content = original_files(MMLU, MMLU.splits[0], rows)["test/anatomy_test.csv"]
    assert content == b'"a ""b"", c",None,"two\nlines",, x,C\n'


def test_files_get_the_line_ends_of_the_official_ones() -> None:
    rows = {"virology": [mmlu_row()], "human_sexuality": [mmlu_row()], "nutrition": [mmlu_row()]}
    files = original_files(MMLU, MMLU.splits[0], rows)
    assert files["test/virology_test.csv"] == b"q,a,b,c,d,C\n"
    assert files["test/human_sexuality_test.csv"] == b"q,a,b,c,d,C\r\n"
    assert files["test/nutrition_test.csv"] == b"q,a,b,c,d,C"


def test_ceval_files_have_a_header_and_crlf() -> None:
    val, dev = CEVAL.splits
    assert original_files(CEVAL, val, {"law": [ceval_row()]}) == {
        "val/law_val.csv": "id,question,A,B,C,D,answer\r\n0,问,a,b,c,d,B\r\n".encode()
    }
    assert original_files(CEVAL, dev, {"law": [ceval_row(explanation="因为")]}) == {
        "dev/law_dev.csv": "id,question,A,B,C,D,answer,explanation\r\n0,问,a,b,c,d,B,因为\r\n".encode()
    }


def test_titles_of_boolq_are_parted_from_the_passage() -> None:
    files = original_files(BOOLQ, BOOLQ.splits[0], {"boolq": [boolq_row(), boolq_row(label=0)]})
    assert files == {
        "dev.jsonl": b'{"question": "q", "title": "T", "answer": true, "passage": "p -- r"}\n'
        b'{"question": "q", "title": "T", "answer": false, "passage": "p -- r"}\n'
    }


def test_text_is_written_as_it_is() -> None:
    files = original_files(BOOLQ, BOOLQ.splits[0], {"boolq": [boolq_row(passage="É -- “p”")]})
    assert '"title": "É", "answer": true, "passage": "“p”"'.encode() in files["dev.jsonl"]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"answer": 4}, "answer 4 is no index of a choice"),
        ({"answer": -1}, "answer -1 is no index of a choice"),
        ({"answer": "A"}, "answer 'A' is no index of a choice"),
        ({"choices": ["a", "b", "c"]}, "3 choices"),
        ({"choices": ["a", "b", "c", "d", "e"]}, "5 choices"),
        ({"choices": None}, "NoneType"),
    ],
)
def test_mmlu_rows_that_do_not_fit_are_refused(changes: dict[str, Any], problem: str) -> None:
    rows = {"anatomy": [mmlu_row(), mmlu_row(**changes)]}
    with pytest.raises(
        DatasetError, match=f"cais/mmlu, anatomy, row 1: .*{problem}.*; expected rows that give"
    ):
        original_files(MMLU, MMLU.splits[0], rows)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (boolq_row(label=-1), "label -1 is neither 0 nor 1"),
        (boolq_row(passage="no title"), "passage without a title"),
        ({"question": "q", "passage": "T -- p"}, "label"),
    ],
)
def test_boolq_rows_that_do_not_fit_are_refused(row: Row, problem: str) -> None:
    with pytest.raises(DatasetError, match=f"aps/super_glue, boolq, row 0: .*{problem}"):
        original_files(BOOLQ, BOOLQ.splits[0], {"boolq": [row]})


@pytest.mark.parametrize("name", ["boolq", "mmlu", "ceval", "gsm8k", "humaneval"])
def test_fetched_rows_give_the_official_bytes(shared_data: Path, tmp_path: Path, name: str) -> None:
    findings = fetch_dataset(name, str(tmp_path), read=Hub(shared_data))
    there = {finding.split: finding.status for finding in findings if finding.files}
    assert there == {split.name: SplitStatus.OFFICIAL for split in load_card(name).splits if split.hub_split}


def test_ceval_is_fetched_subject_by_subject(shared_data: Path, tmp_path: Path) -> None:
    hub = Hub(shared_data)
    fetch_dataset("ceval", str(tmp_path), read=hub)
    assert len(hub.asked) == 104
    assert ("ceval/ceval-exam", "law", "val") in hub.asked


def test_mmlu_is_fetched_whole(shared_data: Path, tmp_path: Path) -> None:
    hub = Hub(shared_data)
    fetch_dataset("mmlu", str(tmp_path), read=hub)
    assert hub.asked == [("cais/mmlu", "all", "test"), ("cais/mmlu", "all", "dev")]


@pytest.mark.parametrize("subject", [None, "astrology"])
def test_rows_of_an_unknown_subject_are_refused(tmp_path: Path, subject: str | None) -> None:
    with pytest.raises(DatasetError, match=f"cais/mmlu, row 0: subject {subject!r}; expected one of the 57"):
        fetch_dataset("mmlu", str(tmp_path), read=lambda *_: [mmlu_row(subject=subject)])
    assert list(tmp_path.iterdir()) == []


def test_a_hub_that_lacks_subjects_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nothing was added: mmlu/test: 56 files are missing"):
        fetch_dataset("mmlu", str(tmp_path), read=lambda *_: [mmlu_row()])
    assert list(tmp_path.iterdir()) == []


def test_other_files_are_replaced_only_by_force(tmp_path: Path) -> None:
    fetch_dataset("boolq", str(tmp_path), read=lambda *_: [boolq_row()])
    with pytest.raises(DatasetError, match="give --force"):
        fetch_dataset("boolq", str(tmp_path), read=lambda *_: [boolq_row(label=0)])
    assert b"true" in (tmp_path / "boolq/dev.jsonl").read_bytes()
    fetch_dataset("boolq", str(tmp_path), read=lambda *_: [boolq_row(label=0)], force=True)
    assert b"false" in (tmp_path / "boolq/dev.jsonl").read_bytes()


def fake_package(monkeypatch: pytest.MonkeyPatch, **attributes: Any) -> None:
    package = types.ModuleType("datasets")
    for name, value in attributes.items():
        setattr(package, name, value)
    monkeypatch.setitem(sys.modules, "datasets", package)


def test_the_hub_is_read_through_the_hugging_face_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def load_dataset(*args: Any, **options: Any) -> Iterable[Row]:
        calls.append((args, options))
        return iter([boolq_row()])

    fake_package(monkeypatch, load_dataset=load_dataset)
    fetch_dataset("boolq", str(tmp_path))
    assert calls == [(("aps/super_glue", "boolq"), {"split": "validation", "streaming": True})]
    assert (tmp_path / "boolq/dev.jsonl").is_file()


def test_without_the_package_the_install_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_import = builtins.__import__

    def refusing(name: str, *args: Any, **options: Any) -> Any:
        if name == "datasets":
            raise ModuleNotFoundError("No module named 'datasets'")
        return real_import(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", refusing)
    with pytest.raises(
        PrerequisiteError, match=f"{re.escape(install_command('fetch'))}.*modeltest data add boolq"
    ):
        fetch_dataset("boolq", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_our_own_folder_is_not_taken_for_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without Hugging Face's package, `import datasets` succeeds in a checkout: a namespace without functions.
    fake_package(monkeypatch)
    with pytest.raises(PrerequisiteError, match="fetching needs the Hugging Face package"):
        fetch_dataset("boolq", str(tmp_path))


@pytest.mark.parametrize("problem", [ConnectionError("no route\nto host"), OSError("503"), ValueError("")])
def test_whatever_the_hub_raises_is_one_plain_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    def load_dataset(*args: Any, **options: Any) -> Iterable[Row]:
        raise problem

    fake_package(monkeypatch, load_dataset=load_dataset)
    with pytest.raises(PrerequisiteError) as raised:
        fetch_dataset("mmlu", str(tmp_path))
    message = str(raised.value)
    assert raised.value.exit_code == 3
    assert "\n" not in message
    assert "there is no network" in message
    assert "`modeltest data add mmlu PATH`" in message
    assert list(tmp_path.iterdir()) == []


def test_a_connection_lost_between_rows_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_dataset(*args: Any, **options: Any) -> Iterable[Row]:
        yield boolq_row()
        raise ConnectionResetError("reset by peer")

    fake_package(monkeypatch, load_dataset=load_dataset)
    with pytest.raises(PrerequisiteError, match="reset by peer"):
        fetch_dataset("boolq", str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_real_package_without_a_network_is_a_plain_line(tmp_path: Path) -> None:
    package = pytest.importorskip("datasets")
    if not hasattr(package, "load_dataset"):
        pytest.skip("the Hugging Face package is not installed")
    with pytest.raises(PrerequisiteError, match=r"cannot read aps/super_glue .*there is no network"):
        fetch_dataset("boolq", str(tmp_path))
