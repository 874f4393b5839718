import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modeltest.api import DatasetError, PrerequisiteError, SpecError
from modeltest.data import store as dataset_store
from modeltest.data.card import load_card
from modeltest.data.store import (
    SplitStatus,
    add_dataset,
    dataset_state,
    describe_mismatches,
    install_files,
    verify_dataset,
    write_files,
)

MadeUp = Callable[[str], Path]


@pytest.fixture
def data_dir(tmp_path: Path) -> str:
    return str(tmp_path / "data")


def statuses(name: str, data_dir: str) -> dict[str, str]:
    return {finding.split: finding.status.value for finding in verify_dataset(name, data_dir)}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("boolq", {"dev": "official", "val": "absent", "train": "absent"}),
        ("mmlu", {"test": "official", "dev": "official"}),
        ("ceval", {"val": "official", "dev": "official"}),
        ("gsm8k", {"test": "official", "train": "official"}),
        ("humaneval", {"test": "official", "unpacked": "absent"}),
    ],
)
def test_real_files_verify_as_official(shared_data: Path, name: str, expected: dict[str, str]) -> None:
    assert statuses(name, str(shared_data)) == expected
    assert describe_mismatches(verify_dataset(name, str(shared_data))) is None


def test_real_findings_count_files_and_rows(shared_data: Path) -> None:
    test, dev = verify_dataset("mmlu", str(shared_data))
    assert (test.files, test.files_expected, test.rows, test.rows_expected) == (57, 57, 14042, 14042)
    assert (dev.files, dev.rows) == (57, 285)
    assert test.sha256 == test.sha256_expected


def test_nothing_there_is_absent_with_unknown_rows(data_dir: str) -> None:
    finding = verify_dataset("mmlu", data_dir)[0]
    assert finding.status is SplitStatus.ABSENT
    assert (finding.files, finding.rows, finding.sha256) == (0, None, None)


def test_absent_evaluation_files_are_a_mismatch_that_says_what_to_do(data_dir: str) -> None:
    assert describe_mismatches(verify_dataset("mmlu", data_dir)) == (
        "mmlu: no evaluation files here; get them with `modeltest data fetch mmlu` or"
        " `modeltest data add mmlu PATH`"
    )


def test_absent_shots_are_no_mismatch(shared_data: Path, data_dir: str) -> None:
    shutil.copytree(shared_data / "mmlu/test", Path(data_dir) / "mmlu/test")
    findings = verify_dataset("mmlu", data_dir)
    assert [finding.status.value for finding in findings] == ["official", "absent"]
    assert describe_mismatches(findings) is None


def test_other_bytes_are_different(made_up_dataset: MadeUp) -> None:
    folder = made_up_dataset("mmlu")
    findings = verify_dataset("mmlu", str(folder.parent))
    assert [finding.status.value for finding in findings] == ["different", "different"]
    assert (findings[0].rows, findings[0].is_mismatch) == (114, True)
    line = describe_mismatches(findings)
    assert line is not None
    assert line.startswith("mmlu/test: not the official files: 114 of 14042 rows, sha256 ")
    assert "\n" not in line


def test_one_changed_byte_is_different(shared_data: Path, data_dir: str) -> None:
    target = Path(data_dir) / "boolq"
    target.mkdir(parents=True)
    content = (shared_data / "boolq/dev.jsonl").read_bytes()
    (target / "dev.jsonl").write_bytes(content.replace(b"ethanol", b"Ethanol", 1))
    assert statuses("boolq", data_dir)["dev"] == "different"
    assert verify_dataset("boolq", data_dir)[0].rows == 3270


def test_a_missing_subject_is_incomplete(made_up_dataset: MadeUp) -> None:
    folder = made_up_dataset("ceval")
    (folder / "val/law_val.csv").unlink()
    finding = verify_dataset("ceval", str(folder.parent))[0]
    assert (finding.status, finding.files, finding.files_expected) == (SplitStatus.INCOMPLETE, 51, 52)
    assert finding.problem == "1 files are missing: val/law_val.csv"


def test_a_broken_row_is_malformed(made_up_dataset: MadeUp) -> None:
    folder = made_up_dataset("ceval")
    path = folder / "dev/law_dev.csv"
    path.write_bytes(path.read_bytes() + b"2,q,a,b,c,d,E,\r\n")
    finding = verify_dataset("ceval", str(folder.parent))[1]
    assert finding.status is SplitStatus.MALFORMED
    assert finding.problem == f"{path}, line 4: answer 'E'; expected one of A, B, C, D"


def test_the_superglue_copy_has_no_official_digest(shared_data: Path, data_dir: str) -> None:
    target = Path(data_dir) / "boolq"
    target.mkdir(parents=True)
    row = '{"question": "q", "passage": "t -- p", "label": true}\n'
    (target / "val.jsonl").write_text(row * 3270)
    assert statuses("boolq", data_dir)["val"] == "unverified"
    assert describe_mismatches(verify_dataset("boolq", data_dir)) is None
    (target / "val.jsonl").write_text(row * 3269)
    assert statuses("boolq", data_dir)["val"] == "different"


def test_a_state_is_a_few_words(made_up_dataset: MadeUp, data_dir: str) -> None:
    assert dataset_state("boolq", data_dir) == "sample only"
    assert dataset_state("gsm8k", data_dir) == "sample only"
    assert dataset_state("humaneval", data_dir) == "not here"
    assert dataset_state("boolq", str(made_up_dataset("boolq").parent)) == "dev different"


@pytest.mark.parametrize("name", ["boolq", "mmlu", "ceval"])
def test_a_folder_is_copied_byte_for_byte(made_up_dataset: MadeUp, data_dir: str, name: str) -> None:
    source = made_up_dataset(name)
    findings = add_dataset(name, source, data_dir)
    assert contents(Path(data_dir) / name) == contents(source)
    assert findings == verify_dataset(name, data_dir)


def test_official_files_stay_official_when_added(shared_data: Path, data_dir: str) -> None:
    findings = add_dataset("ceval", shared_data / "ceval", data_dir)
    assert {finding.status for finding in findings} == {SplitStatus.OFFICIAL}


def test_only_the_files_of_the_card_are_copied(made_up_dataset: MadeUp, data_dir: str) -> None:
    source = made_up_dataset("boolq")
    (source / "notes.txt").write_text("mine")
    add_dataset("boolq", source, data_dir)
    assert list(contents(Path(data_dir) / "boolq")) == ["dev.jsonl"]


def test_a_single_file_is_enough_for_boolq(made_up_dataset: MadeUp, data_dir: str) -> None:
    add_dataset("boolq", made_up_dataset("boolq") / "dev.jsonl", data_dir)
    assert statuses("boolq", data_dir) == {"dev": "different", "val": "absent", "train": "absent"}


def test_files_added_later_join_those_already_there(made_up_dataset: MadeUp, data_dir: str) -> None:
    source = made_up_dataset("boolq")
    add_dataset("boolq", source / "dev.jsonl", data_dir)
    (source / "dev.jsonl").rename(source / "train.jsonl")
    add_dataset("boolq", source / "train.jsonl", data_dir)
    assert sorted(contents(Path(data_dir) / "boolq")) == ["dev.jsonl", "train.jsonl"]


def test_adding_the_same_files_again_changes_nothing(made_up_dataset: MadeUp, data_dir: str) -> None:
    source = made_up_dataset("mmlu")
    add_dataset("mmlu", source, data_dir)
    add_dataset("mmlu", source, data_dir)
    assert contents(Path(data_dir) / "mmlu") == contents(source)


def test_other_content_is_replaced_only_by_force(made_up_dataset: MadeUp, data_dir: str) -> None:
    source = made_up_dataset("mmlu")
    add_dataset("mmlu", source, data_dir)
    before = contents(Path(data_dir) / "mmlu")
    (source / "test/anatomy_test.csv").write_text("new,a,b,c,d,A\n")
    with pytest.raises(DatasetError) as raised:
        add_dataset("mmlu", source, data_dir)
    assert "nothing was added: 1 files" in str(raised.value)
    assert "test/anatomy_test.csv; give --force to replace them" in str(raised.value)
    assert contents(Path(data_dir) / "mmlu") == before
    add_dataset("mmlu", source, data_dir, force=True)
    assert contents(Path(data_dir) / "mmlu") == contents(source)


def test_incomplete_files_are_not_added(made_up_dataset: MadeUp, data_dir: str) -> None:
    source = made_up_dataset("mmlu")
    (source / "dev/anatomy_dev.csv").unlink()
    with pytest.raises(DatasetError, match=r"nothing was added: mmlu/dev: 1 files .* dev/anatomy_dev.csv"):
        add_dataset("mmlu", source, data_dir, force=True)
    assert not Path(data_dir).exists()


def test_malformed_files_are_named_where_the_user_has_them(made_up_dataset: MadeUp, data_dir: str) -> None:
    source = made_up_dataset("boolq")
    (source / "dev.jsonl").write_text("{}\n")
    with pytest.raises(DatasetError) as raised:
        add_dataset("boolq", source / "dev.jsonl", data_dir)
    assert f"{source / 'dev.jsonl'}, line 1: no question, passage, answer" in str(raised.value)
    assert not Path(data_dir).exists()


def test_a_path_that_does_not_exist_is_refused(tmp_path: Path, data_dir: str) -> None:
    with pytest.raises(
        SpecError, match=r"no such file or folder: .*gone; expected a folder with test/abstract_"
    ):
        add_dataset("mmlu", tmp_path / "gone", data_dir)


def test_a_folder_of_something_else_is_refused(made_up_dataset: MadeUp, data_dir: str) -> None:
    with pytest.raises(SpecError, match=r"no files of dataset 'boolq' in .*; expected dev\.jsonl or val"):
        add_dataset("boolq", made_up_dataset("mmlu"), data_dir)


@pytest.mark.parametrize("name", ["mmlu", "boolq"])
def test_a_file_of_another_name_is_refused(tmp_path: Path, data_dir: str, name: str) -> None:
    archive = tmp_path / "data.tar"
    archive.touch()
    with pytest.raises(SpecError, match=f"data.tar is no file of dataset '{name}'; expected "):
        add_dataset(name, archive, data_dir)


def test_a_failure_while_filling_leaves_nothing(data_dir: str) -> None:
    def fill(folder: Path) -> None:
        write_files(folder, {"dev.jsonl": b"half"})
        raise RuntimeError("the network went away")

    with pytest.raises(RuntimeError, match="the network went away"):
        install_files(load_card("boolq"), data_dir, fill)
    assert list(Path(data_dir).iterdir()) == []


def test_a_failed_swap_brings_the_old_files_back(
    made_up_dataset: MadeUp, data_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = made_up_dataset("boolq")
    add_dataset("boolq", source, data_dir)
    before = contents(Path(data_dir))
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(dataset_store.Path, "rename", failing)
    (source / "dev.jsonl").write_bytes((source / "dev.jsonl").read_bytes() * 2)
    with pytest.raises(PrerequisiteError, match=r"cannot write datasets to .*: No space left on device"):
        add_dataset("boolq", source, data_dir, force=True)
    assert contents(Path(data_dir)) == before


def test_a_data_dir_that_is_a_file_is_refused(made_up_dataset: MadeUp, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PrerequisiteError, match="choose another folder with --data-dir"):
        add_dataset("boolq", made_up_dataset("boolq"), str(tmp_path / "file"))


def test_files_the_user_may_not_read_are_named(
    made_up_dataset: MadeUp, data_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = made_up_dataset("boolq")

    real_open = Path.open

    def refusing(self: Path, *args: Any, **options: Any) -> Any:
        if self.suffix == ".jsonl":
            raise PermissionError(13, "Permission denied")
        return real_open(self, *args, **options)

    monkeypatch.setattr(dataset_store.Path, "open", refusing)
    with pytest.raises(DatasetError, match=r"dev.jsonl: cannot be read: Permission denied"):
        add_dataset("boolq", source, data_dir)
