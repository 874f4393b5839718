import errno
import os
import stat
from pathlib import Path

import pytest

from modeltest.api import PrerequisiteError
from modeltest.machine import files
from modeltest.machine.files import open_atomic, write_bytes, write_json, write_text


def test_text_is_written_as_given(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "eins\r\nzwei\n答案")
    assert (tmp_path / "a.txt").read_bytes() == "eins\r\nzwei\n答案".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_the_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    with open_atomic(path) as file:
        file.write("after")
        file.flush()
        assert path.read_text() == "before"
    assert path.read_text() == "after"


@pytest.mark.parametrize("problem", [RuntimeError, KeyboardInterrupt])
def test_a_failed_block_leaves_the_file_as_it_was(tmp_path: Path, problem: type[BaseException]) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")

    def write_half() -> None:
        with open_atomic(path) as file:
            file.write("half")
            raise problem

    with pytest.raises(problem):
        write_half()
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(PrerequisiteError) as caught:
        write_text(tmp_path / "a.txt", "text")
    assert str(caught.value).startswith(f"cannot write {tmp_path / 'a.txt'}: No space left on device;")
    assert caught.value.exit_code == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("absent/a.txt", "No such file or directory"),
        ("file/a.txt", "Not a directory"),
        ("folder", "Is a directory"),
    ],
)
def test_a_path_that_cannot_be_written_is_named(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(PrerequisiteError, match=f"{name}: {reason}"):
        write_text(tmp_path / name, "text")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


def test_a_source_that_cannot_be_read_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"journal\.jsonl"), open_atomic(tmp_path / "a.txt") as file:
        file.write((tmp_path / "journal.jsonl").read_text())
    assert list(tmp_path.iterdir()) == []


def test_the_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "")
    (tmp_path / "b.txt").write_text("")
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == stat.S_IMODE(
        (tmp_path / "b.txt").stat().st_mode
    )


def test_json_keeps_order_and_letters(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": "科目"})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "b": 1,\n  "a": "科目"\n}\n'


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_unknown_is_null_so_nan_is_refused(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"value": value})
    assert list(tmp_path.iterdir()) == []


def test_bytes_are_written_as_they_are_and_completely(tmp_path):
    path = tmp_path / "a.png"
    write_bytes(path, b"\x89PNG\r\n")
    assert path.read_bytes() == b"\x89PNG\r\n"
    with pytest.raises(PrerequisiteError, match="cannot write"):
        write_bytes(tmp_path / "absent" / "a.png", b"x")
