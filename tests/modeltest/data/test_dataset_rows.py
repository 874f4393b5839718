import csv
import gzip
import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import DatasetError, Record
from modeltest.data.card import FileFormat, load_card
from modeltest.data.rows import files_sha256, read_records

MMLU = load_card("mmlu")
CEVAL = load_card("ceval")
BOOLQ = load_card("boolq")
GOOD = "q,a,b,c,d,A\n"
HEADER = "id,question,A,B,C,D,answer\r\n"


def read_mmlu(path: Path, content: str | bytes, limit: int | None = None) -> list[Record]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(read_records(MMLU, MMLU.splits[0], "astronomy", path, limit=limit))


def read_ceval(path: Path, content: str) -> list[Record]:
    path.write_bytes(content.encode())
    return list(read_records(CEVAL, CEVAL.splits[0], "logic", path))


def read_boolq(path: Path, *rows: object, split: str = "dev") -> list[Record]:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    card = next(each for each in BOOLQ.splits if each.name == split)
    return list(read_records(BOOLQ, card, "boolq", path))


def boolq_row(**changes: object) -> dict[str, object]:
    return {"question": "q", "title": "t", "answer": True, "passage": "p"} | changes


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rows"


def test_a_row_becomes_a_record_numbered_from_zero(path: Path) -> None:
    records = read_mmlu(path, "q,a,b,c,d,A\nr,1,2,3,4,D\n")
    assert [record.id for record in records] == ["astronomy/0", "astronomy/1"]
    assert records[1].subject == "astronomy"
    assert records[1].fields == {"question": "r", "A": "1", "B": "2", "C": "3", "D": "4", "answer": "D"}


@pytest.mark.parametrize("word", ["None", "NA", "nan", "null", "N/A", ""])
def test_words_for_missing_values_stay_text(path: Path, word: str) -> None:
    assert read_mmlu(path, f"{word},a,{word},c,d,B\n")[0].fields["B"] == word


def test_quoted_cells_keep_their_line_ends(path: Path) -> None:
    records = read_mmlu(path, '"two\nlines and\r\nthree",a,b,c,d,A\r\n' + GOOD)
    assert records[0].fields["question"] == "two\nlines and\r\nthree"
    assert records[1].id == "astronomy/1"


def test_the_last_line_needs_no_end(path: Path) -> None:
    assert len(read_mmlu(path, GOOD + "r,a,b,c,d,B")) == 2


def test_blank_lines_are_no_rows(path: Path) -> None:
    assert [record.id for record in read_mmlu(path, GOOD + "\n" + GOOD + "\n")] == [
        "astronomy/0",
        "astronomy/1",
    ]


def test_a_byte_order_mark_is_no_text(path: Path) -> None:
    assert read_mmlu(path, b"\xef\xbb\xbf" + GOOD.encode())[0].fields["question"] == "q"
    assert read_ceval(path, "\ufeff" + HEADER + "0,q,a,b,c,d,A\r\n")[0].fields["question"] == "q"


def test_a_limit_reads_no_further(path: Path) -> None:
    assert len(read_mmlu(path, GOOD + GOOD + "broken\n", limit=2)) == 2


def test_a_row_with_too_few_columns_names_file_line_and_columns(path: Path) -> None:
    with pytest.raises(DatasetError) as raised:
        read_mmlu(path, '"two\nlines",a,b,c,d,A\nq,a,b,c,A\n')
    assert str(raised.value) == f"{path}, line 3: 5 columns; expected 6: question,A,B,C,D,answer"


@pytest.mark.parametrize("letter", ["", "E", "a", "AB", " A", "1"])
def test_an_answer_that_is_no_letter_is_refused(path: Path, letter: str) -> None:
    with pytest.raises(DatasetError, match=r"line 2: answer .*; expected one of A, B, C, D"):
        read_mmlu(path, GOOD + f"q,a,b,c,d,{letter}\n")


@pytest.mark.parametrize("content", ['"never closed,a,b,c,d,A\n', '"a" b,a,b,c,d,A\n'])
def test_broken_quotes_are_refused(path: Path, content: str) -> None:
    with pytest.raises(DatasetError, match=r"rows, line 1: .*; expected CSV with the columns question,A"):
        read_mmlu(path, content)


def test_bytes_that_are_not_utf8_name_their_line(path: Path) -> None:
    with pytest.raises(DatasetError, match=r"line 3: not UTF-8"):
        read_mmlu(path, (GOOD * 2).encode() + b"\xff\xfe,a,b,c,d,A\n")


def test_a_far_line_that_is_not_utf8_is_named_exactly(path: Path) -> None:
    with pytest.raises(DatasetError, match=r"line 5001: not UTF-8"):
        read_mmlu(path, (GOOD * 5000).encode() + "Fähre,a,b,c,d,A\n".encode("latin-1"))


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_a_file_without_rows_is_refused(path: Path, content: str) -> None:
    with pytest.raises(DatasetError, match="no rows; expected the columns question,A,B,C,D,answer"):
        read_mmlu(path, content)


def test_an_absent_file_is_a_dataset_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"gone.csv: cannot be read: No such file"):
        list(read_records(MMLU, MMLU.splits[0], "astronomy", tmp_path / "gone.csv"))


def test_the_header_is_no_row(path: Path) -> None:
    records = read_ceval(path, HEADER + "0,q,a,b,c,d,C\r\n")
    assert [record.id for record in records] == ["logic/0"]
    assert records[0].fields == {"question": "q", "A": "a", "B": "b", "C": "c", "D": "d", "answer": "C"}


def test_a_file_with_only_a_header_is_refused(path: Path) -> None:
    with pytest.raises(DatasetError, match="no rows"):
        read_ceval(path, HEADER)


def test_columns_are_found_by_the_header(path: Path) -> None:
    records = read_ceval(path, "answer,question,D,C,B,A,more\r\nB,q,d,c,b,a,x\r\n")
    assert records[0].fields == {"question": "q", "A": "a", "B": "b", "C": "c", "D": "d", "answer": "B"}


def test_a_header_without_answers_is_refused(path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"line 1: header without answer; expected the columns id,question"
    ):
        read_ceval(path, "id,question,A,B,C,D\r\n0,q,a,b,c,d\r\n")


def test_a_row_must_be_as_wide_as_its_header(path: Path) -> None:
    with pytest.raises(DatasetError, match=r"line 2: 8 columns; expected 7"):
        read_ceval(path, HEADER + "0,q,a,b,c,d,A,extra\r\n")


@pytest.mark.parametrize(
    ("label", "answer"),
    [(True, "yes"), (False, "no"), (1, "yes"), (0, "no"), ("true", "yes"), ("false", "no"), ("False", "no")],
)
def test_every_known_way_to_write_a_boolean_is_read(path: Path, label: object, answer: str) -> None:
    row = {"question": "q", "passage": "t -- p", "label": label}
    assert read_boolq(path, row, split="val")[0].fields["answer"] == answer


@pytest.mark.parametrize("label", [None, 2, -1, 1.0, "yes", "", [True]])
def test_other_answers_are_refused(path: Path, label: object) -> None:
    with pytest.raises(DatasetError, match=r"line 1: answer .*; expected true or false"):
        read_boolq(path, boolq_row(answer=label))


def test_the_superglue_copy_keeps_its_passage_and_has_no_title(path: Path) -> None:
    row = {"question": "q", "passage": "t -- p", "idx": 7, "label": "true"}
    fields = read_boolq(path, row, split="val")[0].fields
    assert fields == {"question": "q", "passage": "t -- p", "title": "", "answer": "yes"}


@pytest.mark.parametrize("row", [{"question": "q", "answer": True, "passage": "p"}, boolq_row(title=None)])
def test_a_title_may_be_absent(path: Path, row: dict[str, object]) -> None:
    assert read_boolq(path, row)[0].fields["title"] == ""


def test_boolq_ids_and_subject(path: Path) -> None:
    records = read_boolq(path, boolq_row(), boolq_row(answer=False))
    assert [(record.id, record.subject) for record in records] == [("boolq/0", "boolq"), ("boolq/1", "boolq")]


def test_a_row_without_a_passage_is_refused(path: Path) -> None:
    with pytest.raises(DatasetError, match=r"line 2: no passage; expected the columns question,title"):
        read_boolq(path, boolq_row(), {"question": "q", "answer": True})


def test_a_question_that_is_no_text_is_refused(path: Path) -> None:
    with pytest.raises(DatasetError, match=r"line 1: question is 7; expected text"):
        read_boolq(path, boolq_row(question=7))


def test_json_that_is_no_object_is_refused(path: Path) -> None:
    with pytest.raises(DatasetError, match=r"line 2: a JSON list; expected one object per line"):
        read_boolq(path, boolq_row(), ["q"])


def test_bad_json_names_its_line(path: Path) -> None:
    path.write_text(json.dumps(boolq_row()) + "\n\n{'question': 1}\n")
    with pytest.raises(DatasetError, match=r"rows, line 3: not JSON: .*; expected one object per line"):
        list(read_records(BOOLQ, BOOLQ.splits[0], "boolq", path))


@pytest.mark.parametrize("line", ["[" * 100_000, "9" * 10_000])
def test_json_that_python_gives_up_on_is_refused(path: Path, line: str) -> None:
    path.write_text(line + "\n")
    with pytest.raises(DatasetError, match=r"rows, line 1: not JSON: .*; expected one object per line"):
        list(read_records(BOOLQ, BOOLQ.splits[0], "boolq", path))


def test_half_a_surrogate_pair_is_refused(path: Path) -> None:
    with pytest.raises(
        DatasetError, match=r"line 1: passage holds '\\ud800', half a character; expected text"
    ):
        read_boolq(path, boolq_row(passage="a\ud800"))


def test_unicode_line_separators_do_not_split_a_json_row(path: Path) -> None:
    path.write_text(
        json.dumps(boolq_row(passage="a\u2028b\x85c"), ensure_ascii=False) + "\n", encoding="utf-8"
    )
    records = list(read_records(BOOLQ, BOOLQ.splits[0], "boolq", path))
    assert [record.fields["passage"] for record in records] == ["a\u2028b\x85c"]


def test_every_error_is_one_line(path: Path) -> None:
    with pytest.raises(DatasetError) as raised:
        read_boolq(path, boolq_row(answer="yes\nno"))
    assert "\n" not in str(raised.value)


def test_a_digest_covers_files_in_the_given_order(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"one\r\n")
    second.write_bytes(b"two")
    assert files_sha256([first, second]) == hashlib.sha256(b"one\r\ntwo").hexdigest()
    assert files_sha256([second, first]) == hashlib.sha256(b"twoone\r\n").hexdigest()


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\ufeff"), max_size=20)
ROWS = st.tuples(CELLS, CELLS, CELLS, CELLS, CELLS, st.sampled_from("ABCD"))


@given(rows=st.lists(ROWS, min_size=1, max_size=5), line_end=st.sampled_from(["\n", "\r\n"]))
def test_whatever_csv_writes_is_read_back_unchanged(rows: list[tuple[str, ...]], line_end: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator=line_end, quoting=csv.QUOTE_ALL).writerows(rows)
        records = list(read_records(MMLU, MMLU.splits[0], "astronomy", path))
    assert [tuple(record.fields[name] for name in MMLU.fields) for record in records] == rows


@given(content=st.binary(max_size=60))
def test_any_bytes_give_records_or_a_dataset_error_of_one_line(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        message = ""
        try:
            read_mmlu(path, content)
        except DatasetError as refused:
            message = str(refused)
    assert "\n" not in message


def test_a_packed_file_is_read_as_its_content(tmp_path: Path) -> None:
    card = load_card("humaneval")
    row = {name: f"{name} é" for name in card.fields}
    text = json.dumps(row, ensure_ascii=False) + "\n"
    (tmp_path / "rows.jsonl").write_text(text, encoding="utf-8")
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    plain, packed = (
        list(read_records(card, card.splits[0], "humaneval", tmp_path / name))
        for name in ("rows.jsonl", "rows.jsonl.gz")
    )
    assert plain == packed == [Record("humaneval/0", "humaneval", row)]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda packed: b"not packed", "not a whole gzip file: Not a gzipped file"),
        (lambda packed: packed[:-12], "not a whole gzip file: .*ended before"),
        (lambda packed: packed[:12] + b"\xff\xff\xff" + packed[15:], "not a whole gzip file"),
    ],
)
def test_a_damaged_packed_file_is_refused(
    tmp_path: Path, damage: Callable[[bytes], bytes], message: str
) -> None:
    card = load_card("humaneval")
    packed = gzip.compress(b'{"question": "' + bytes(range(97, 120)) * 9 + b'"}\n')
    (tmp_path / "rows.jsonl.gz").write_bytes(damage(packed))
    with pytest.raises(DatasetError, match=message):
        list(read_records(card, card.splits[0], "humaneval", tmp_path / "rows.jsonl.gz"))


def test_the_answer_of_gsm8k_is_text_and_humaneval_has_none(tmp_path: Path) -> None:
    gsm8k, humaneval = load_card("gsm8k"), load_card("humaneval")
    (tmp_path / "a").write_text('{"question": "q", "answer": "#### 3"}\n')
    (record,) = read_records(gsm8k, gsm8k.splits[0], "gsm8k", tmp_path / "a")
    assert record.fields == {"question": "q", "answer": "#### 3"}
    (tmp_path / "b").write_text('{"question": "q", "answer": 3}\n')
    with pytest.raises(DatasetError, match="answer is 3; expected text"):
        list(read_records(gsm8k, gsm8k.splits[0], "gsm8k", tmp_path / "b"))
    assert "answer" not in humaneval.fields


TWO_TO_TEN = replace(
    MMLU, fields=("question", "A", "B", "answer"), optional_fields=tuple("CDEFGHIJ"), header=True
)


def read_options(path: Path, content: str) -> list[Record]:
    path.write_text(content, encoding="utf-8")
    return list(read_records(TWO_TO_TEN, TWO_TO_TEN.splits[0], "astronomy", path))


@given(counts=st.lists(st.integers(2, 10), min_size=1, max_size=8))
def test_every_row_may_have_another_number_of_options(counts: list[int]) -> None:
    letters = "ABCDEFGHIJ"
    rows = [[*"qA", *letters[:count], *[""] * (10 - count)] for count in counts]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows")
        records = read_options(path, "\n".join(map(",".join, [["question", "answer", *letters], *rows])))
    assert ["".join(name for name in record.fields if name in letters) for record in records] == [
        letters[:count] for count in counts
    ]


def test_an_option_that_is_required_may_be_empty_and_stays(path: Path) -> None:
    fields = read_options(path, "question,answer,A,B,C\nq,A,,,\n")[0].fields
    assert fields == {"question": "q", "answer": "A", "A": "", "B": ""}


def test_the_answer_is_one_of_the_options_of_its_row(path: Path) -> None:
    with pytest.raises(DatasetError, match=r"line 3: answer 'D'; expected one of A, B, C"):
        read_options(path, "question,answer,A,B,C,D\nq,D,a,b,c,d\nq,D,a,b,c,\n")


def test_options_with_a_gap_are_refused(path: Path) -> None:
    with pytest.raises(DatasetError, match=r"line 2: option D without option C; expected no gap"):
        read_options(path, "question,answer,A,B,C,D\nq,D,a,b,,d\n")


def test_options_of_json_rows_that_are_null_or_not_there_are_absent(path: Path) -> None:
    card = replace(TWO_TO_TEN, format=FileFormat.JSONL)
    rows = [{"question": "q", "A": "a", "B": "b", "C": None, "answer": "B"}]
    path.write_text("".join(map(json.dumps, rows)), encoding="utf-8")
    (record,) = read_records(card, card.splits[0], "astronomy", path)
    assert record.fields == {"question": "q", "A": "a", "B": "b", "answer": "B"}
