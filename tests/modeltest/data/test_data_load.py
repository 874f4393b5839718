import hashlib
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from modeltest.api import DatasetError, SpecError
from modeltest.data.card import load_card
from modeltest.data.load import data_directory, load_dataset

MadeUp = Callable[[str], Path]


@pytest.mark.parametrize(
    ("name", "subjects"),
    [
        ("boolq", ["boolq"]),
        ("mmlu", ["astronomy", "computer_security", "high_school_geography", "philosophy"]),
        ("ceval", ["accountant", "computer_network", "high_school_history", "logic"]),
    ],
)
def test_samples_are_bundled(name: str, subjects: list[str]) -> None:
    loaded = load_dataset(name, "sample", data_dir=None)
    assert len(loaded.data.records) == 24
    assert list(dict.fromkeys(record.subject for record in loaded.data.records)) == subjects
    assert list(loaded.data.subjects) == subjects
    assert loaded.data.shots == {}
    assert (loaded.info.name, loaded.info.split) == (name, "sample")
    assert (loaded.info.records, loaded.info.subjects) == (24, len(subjects))
    assert loaded.info.official is False


@pytest.mark.parametrize("name", ["mmlu", "ceval"])
def test_samples_have_five_shots_and_six_questions_per_subject(name: str) -> None:
    loaded = load_dataset(name, "sample", data_dir=None, shots_needed=True)
    assert {subject: len(rows) for subject, rows in loaded.data.shots.items()} == dict.fromkeys(
        loaded.data.subjects, 5
    )
    assert set(Counter(record.subject for record in loaded.data.records).values()) == {6}


@pytest.mark.parametrize("name", ["mmlu", "ceval"])
def test_sample_answers_are_spread_over_the_letters(name: str) -> None:
    loaded = load_dataset(name, "sample", data_dir=None)
    answers = Counter(record.fields["answer"] for record in loaded.data.records)
    assert set(answers) == {"A", "B", "C", "D"}
    assert min(answers.values()) >= 4


def test_the_boolq_sample_is_half_yes_and_half_no() -> None:
    records = load_dataset("boolq", "sample", data_dir=None).data.records
    assert Counter(record.fields["answer"] for record in records) == {"yes": 12, "no": 12}
    assert all(record.fields["title"] and record.fields["passage"] for record in records)


def test_samples_exercise_the_traps_of_the_real_files() -> None:
    mmlu = load_dataset("mmlu", "sample", data_dir=None).data.records
    cells = [cell for record in mmlu for cell in record.fields.values()]
    assert "None" in cells
    assert any("\n" in cell for cell in cells)
    folder = load_card("mmlu").sample_folder
    assert not (folder / "test/computer_security_test.csv").read_bytes().endswith(b"\n")
    ceval = load_card("ceval").sample_folder / "dev/logic_dev.csv"
    header = "id,question,A,B,C,D,answer,explanation\r\n"
    assert ceval.read_bytes().startswith(header.encode())


@pytest.mark.parametrize("name", ["boolq", "mmlu", "ceval", "gsm8k"])
def test_sample_questions_are_not_from_the_real_dataset(name: str, shared_data: Path) -> None:
    ours = load_dataset(name, "sample", data_dir=None).data.records
    theirs = load_dataset(name, "full", data_dir=str(shared_data)).data.records
    real = {record.fields["question"].strip().lower() for record in theirs}
    assert not [record.id for record in ours if record.fields["question"].strip().lower() in real]


def test_the_training_file_of_gsm8k_is_needed_for_shots_only(tmp_path: Path) -> None:
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k/test.jsonl").write_text('{"question": "q", "answer": "#### 3"}\n')
    assert load_dataset("gsm8k", "full", data_dir=str(tmp_path)).info.records == 1
    with pytest.raises(DatasetError, match=r"1 files of split train are missing: gsm8k/train.jsonl; add"):
        load_dataset("gsm8k", "full", data_dir=str(tmp_path), shots_needed=True)


def test_a_limit_counts_per_subject() -> None:
    loaded = load_dataset("mmlu", "sample", data_dir=None, limit=2, shots_needed=True)
    assert [record.id for record in loaded.data.records][:3] == [
        "astronomy/0",
        "astronomy/1",
        "computer_security/0",
    ]
    assert loaded.info.records == 8
    assert {len(rows) for rows in loaded.data.shots.values()} == {5}


def test_a_limit_leaves_the_digest_of_the_files() -> None:
    whole = load_dataset("ceval", "sample", data_dir=None)
    assert load_dataset("ceval", "sample", data_dir=None, limit=1).info.sha256 == whole.info.sha256


def test_a_limit_beyond_the_rows_keeps_them_all() -> None:
    assert load_dataset("boolq", "sample", data_dir=None, limit=1000).info.records == 24


def test_chosen_subjects_come_in_file_order_with_their_shots_only() -> None:
    loaded = load_dataset(
        "mmlu", "sample", data_dir=None, subjects=("philosophy", "astronomy"), limit=2, shots_needed=True
    )
    assert [record.id for record in loaded.data.records] == [
        "astronomy/0",
        "astronomy/1",
        "philosophy/0",
        "philosophy/1",
    ]
    assert list(loaded.data.subjects) == list(loaded.data.shots) == ["astronomy", "philosophy"]
    assert (loaded.info.records, loaded.info.subjects) == (4, 2)


def test_chosen_subjects_leave_the_digest_of_the_files() -> None:
    whole = load_dataset("ceval", "sample", data_dir=None, shots_needed=True).info
    part = load_dataset("ceval", "sample", data_dir=None, subjects=("logic",), shots_needed=True).info
    assert part.sha256 == whole.sha256


def test_chosen_subjects_of_the_real_files_are_official(shared_data: Path) -> None:
    loaded = load_dataset(
        "mmlu", "full", data_dir=str(shared_data), subjects=["professional_law"], limit=25, shots_needed=True
    )
    assert loaded.info.official is True
    assert (loaded.info.records, len(loaded.data.shots["professional_law"])) == (25, 5)


def test_only_the_files_of_chosen_subjects_need_to_be_there(made_up_dataset: MadeUp) -> None:
    folder = made_up_dataset("ceval")
    for path in ("val/law_val.csv", "dev/law_dev.csv", "dev/logic_dev.csv"):
        (folder / path).unlink()
    options = {"data_dir": str(folder.parent), "shots_needed": True}
    loaded = load_dataset("ceval", "full", subjects=("accountant",), **options)
    assert [record.id for record in loaded.data.records] == ["accountant/0", "accountant/1"]
    assert loaded.info.official is False
    with pytest.raises(DatasetError, match=r"1 files of split val are missing: val/law_val.csv;"):
        load_dataset("ceval", "full", subjects=("accountant", "law"), **options)
    with pytest.raises(DatasetError, match=r"1 files of split dev are missing: dev/logic_dev.csv;"):
        load_dataset("ceval", "full", subjects=("logic",), **options)


@pytest.mark.parametrize(
    ("split", "subject", "message"),
    [
        ("sample", "astronmy", "dataset 'mmlu' has no subject 'astronmy'; did you mean astronomy"),
        ("full", "zzz", "has no subject 'zzz'; available: abstract_algebra, anatomy, "),
        (
            "sample",
            "virology",
            "sample of dataset 'mmlu' has no subject 'virology'; it has: astronomy, computer_security, ",
        ),
    ],
)
def test_a_subject_that_is_not_there_is_refused(split: str, subject: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_dataset("mmlu", split, data_dir=None, subjects=("astronomy", subject))


@pytest.mark.parametrize("limit", [0, -3])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(SpecError, match=f"limit {limit} is not possible"):
        load_dataset("boolq", "sample", data_dir=None, limit=limit)


def test_an_unknown_split_lists_the_known_ones() -> None:
    with pytest.raises(SpecError, match="unknown split 'test'; available: full, sample"):
        load_dataset("mmlu", "test", data_dir=None)


def test_an_absent_dataset_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as raised:
        load_dataset("mmlu", "full", data_dir=str(tmp_path))
    message = str(raised.value)
    assert raised.value.exit_code == 4
    assert "\n" not in message
    assert str(tmp_path / "mmlu") in message
    assert f"`modeltest data fetch mmlu --data-dir {tmp_path}`" in message
    assert f"`modeltest data add mmlu PATH --data-dir {tmp_path}`" in message
    assert "set MODELTEST_DATA_DIR" in message


def test_missing_subject_files_are_named(made_up_dataset: MadeUp) -> None:
    folder = made_up_dataset("ceval")
    for subject in ("law", "logic"):
        (folder / f"val/{subject}_val.csv").unlink()
    with pytest.raises(DatasetError) as raised:
        load_dataset("ceval", "full", data_dir=str(folder.parent))
    assert "is incomplete: 2 files of split val are missing: val/law_val.csv, val/logic_val.csv;" in str(
        raised.value
    )


def test_many_missing_files_are_counted(made_up_dataset: MadeUp) -> None:
    folder = made_up_dataset("mmlu")
    for path in (folder / "test").iterdir():
        if path.name != "virology_test.csv":
            path.unlink()
    with pytest.raises(DatasetError, match=r"56 files .* test/abstract_algebra_test.csv, .* and 51 more"):
        load_dataset("mmlu", "full", data_dir=str(folder.parent))


def test_missing_shots_matter_only_when_they_are_needed(made_up_dataset: MadeUp) -> None:
    folder = made_up_dataset("mmlu")
    (folder / "dev/anatomy_dev.csv").unlink()
    assert load_dataset("mmlu", "full", data_dir=str(folder.parent)).info.records == 114
    with pytest.raises(DatasetError, match=r"split dev are missing: dev/anatomy_dev.csv"):
        load_dataset("mmlu", "full", data_dir=str(folder.parent), shots_needed=True)


def test_changed_files_are_not_official(made_up_dataset: MadeUp) -> None:
    folder = made_up_dataset("mmlu")
    info = load_dataset("mmlu", "full", data_dir=str(folder.parent)).info
    assert info.official is False
    assert (info.path, info.records, info.subjects) == (str(folder), 114, 57)


def test_the_digest_with_shots_joins_both_splits_digests(made_up_dataset: MadeUp) -> None:
    folder = made_up_dataset("ceval")
    digests = [
        hashlib.sha256(b"".join(path.read_bytes() for path in sorted((folder / split).iterdir()))).hexdigest()
        for split in ("val", "dev")
    ]
    alone = load_dataset("ceval", "full", data_dir=str(folder.parent)).info
    assert alone.sha256 == digests[0]
    together = load_dataset("ceval", "full", data_dir=str(folder.parent), shots_needed=True).info
    assert together.sha256 == hashlib.sha256("".join(digests).encode()).hexdigest()


def test_boolq_without_training_rows_has_no_shots(made_up_dataset: MadeUp) -> None:
    folder = made_up_dataset("boolq")
    loaded = load_dataset("boolq", "full", data_dir=str(folder.parent), shots_needed=True)
    assert loaded.data.shots == {}
    assert loaded.info.sha256 == hashlib.sha256((folder / "dev.jsonl").read_bytes()).hexdigest()


def test_boolq_training_rows_are_its_shots(made_up_dataset: MadeUp) -> None:
    folder = made_up_dataset("boolq")
    shutil.copy(folder / "dev.jsonl", folder / "train.jsonl")
    loaded = load_dataset("boolq", "full", data_dir=str(folder.parent), shots_needed=True)
    assert [record.id for record in loaded.data.shots["boolq"]] == ["boolq/0", "boolq/1"]


def test_the_superglue_copy_serves_where_dev_is_absent(tmp_path: Path) -> None:
    folder = tmp_path / "boolq"
    folder.mkdir()
    (folder / "val.jsonl").write_text('{"question": "q", "passage": "t -- p", "idx": 0, "label": "true"}\n')
    loaded = load_dataset("boolq", "full", data_dir=str(tmp_path))
    assert next(iter(loaded.data.records)).fields == {
        "question": "q",
        "passage": "t -- p",
        "title": "",
        "answer": "yes",
    }
    assert loaded.info.official is False


def test_dev_goes_before_the_superglue_copy(made_up_dataset: MadeUp) -> None:
    folder = made_up_dataset("boolq")
    (folder / "val.jsonl").write_text('{"question": "other", "passage": "t -- p", "label": true}\n')
    loaded = load_dataset("boolq", "full", data_dir=str(folder.parent))
    assert [record.fields["question"] for record in loaded.data.records] == ["is it so", "is it not so"]


def test_files_the_card_does_not_know_are_left_alone(made_up_dataset: MadeUp) -> None:
    folder = made_up_dataset("mmlu")
    (folder / "test/._astronomy_test.csv").write_bytes(b"\x00\xff")
    assert load_dataset("mmlu", "full", data_dir=str(folder.parent)).info.subjects == 57


def test_an_explicit_data_dir_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELTEST_DATA_DIR", str(tmp_path / "from_environment"))
    assert data_directory(str(tmp_path / "given")) == tmp_path / "given"


def test_the_environment_goes_before_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELTEST_DATA_DIR", str(tmp_path))
    assert data_directory(None) == tmp_path


@pytest.mark.parametrize("value", [None, ""])
def test_the_cache_is_the_default(value: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MODELTEST_DATA_DIR", raising=False)
    if value is not None:
        monkeypatch.setenv("MODELTEST_DATA_DIR", value)
    assert data_directory(None) == tmp_path / ".cache/modeltest/data"


def test_a_tilde_in_the_data_dir_is_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_directory("~/data") == tmp_path / "data"


@pytest.mark.parametrize(
    ("name", "records", "subjects", "sha256"),
    [
        ("boolq", 3270, 1, "ebc29ea3808c5c611672384b3de56e83349fe38fc1fe876fd29b674d81d0a80a"),
        ("mmlu", 14042, 57, "fa58faff5210aee66e8791f191a56016fa3d33be6b7f484a1463ae5984b834e0"),
        ("ceval", 1346, 52, "edb322d8d2eb0b7dfe4f1e66a8e17b390ef3df2958cf7a60732b44dd1a87043a"),
    ],
)
def test_real_files_are_official(
    shared_data: Path, name: str, records: int, subjects: int, sha256: str
) -> None:
    info = load_dataset(name, "full", data_dir=str(shared_data)).info
    assert (info.records, info.subjects, info.sha256, info.official) == (records, subjects, sha256, True)


@pytest.mark.parametrize(("name", "shots"), [("mmlu", 285), ("ceval", 260)])
def test_real_shots_are_official(shared_data: Path, name: str, shots: int) -> None:
    loaded = load_dataset(name, "full", data_dir=str(shared_data), shots_needed=True)
    assert loaded.info.official is True
    assert sum(map(len, loaded.data.shots.values())) == shots
    assert {len(rows) for rows in loaded.data.shots.values()} == {5}


def test_the_ten_options_called_none_in_mmlu_stay_text(shared_data: Path) -> None:
    records = load_dataset("mmlu", "full", data_dir=str(shared_data)).data.records
    found = [
        (record.subject, name) for record in records for name, cell in record.fields.items() if cell == "None"
    ]
    assert Counter(subject for subject, _ in found) == {
        "college_computer_science": 2,
        "college_mathematics": 3,
        "college_physics": 1,
        "electrical_engineering": 4,
    }
    assert {name for _, name in found} <= {"A", "B", "C", "D"}


def test_real_boolq_has_2033_yes(shared_data: Path) -> None:
    records = load_dataset("boolq", "full", data_dir=str(shared_data)).data.records
    assert Counter(record.fields["answer"] for record in records) == {"yes": 2033, "no": 1237}
    assert [record.id for record in list(records)[:2]] == ["boolq/0", "boolq/1"]
    assert all(record.fields["title"] for record in records)


@pytest.mark.parametrize("name", ["mmlu", "ceval"])
def test_real_ids_are_unique_and_subjects_in_file_order(shared_data: Path, name: str) -> None:
    records = load_dataset(name, "full", data_dir=str(shared_data)).data.records
    assert len({record.id for record in records}) == len(records)
    subjects = list(dict.fromkeys(record.subject for record in records))
    assert subjects == sorted(load_card(name).subjects)


def test_no_question_of_the_real_files_is_empty(shared_data: Path) -> None:
    for name in ("boolq", "mmlu", "ceval"):
        records = load_dataset(name, "full", data_dir=str(shared_data)).data.records
        assert all(record.fields["question"].strip() for record in records)


def test_reading_data_imports_nothing_heavy() -> None:
    code = (
        "import sys, modeltest.data.load\n"
        "modeltest.data.load.load_dataset('mmlu', 'sample', data_dir=None)\n"
        "print([name for name in ('pandas', 'numpy', 'torch', 'pyarrow') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
