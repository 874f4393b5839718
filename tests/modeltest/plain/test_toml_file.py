from pathlib import Path

import pytest

from modeltest.plain.toml_file import read_toml


def test_toml_is_read_as_utf8(tmp_path: Path) -> None:
    path = tmp_path / "card.toml"
    path.write_bytes('name = "逻辑学"\n[split]\nrows = 5\n'.encode())
    assert read_toml(path) == {"name": "逻辑学", "split": {"rows": 5}}


def test_a_file_that_is_not_toml_is_a_value_error(tmp_path: Path) -> None:
    path = tmp_path / "card.toml"
    path.write_text("name = 1\nrows =\n")
    with pytest.raises(ValueError, match="line 2"):
        read_toml(path)


def test_c5_values_that_lie_too_deep_are_no_toml(tmp_path):
    path = tmp_path / "deep.toml"
    path.write_text("a = " + "[" * 100_000)
    with pytest.raises(ValueError, match="too deep in each other"):
        read_toml(path)
