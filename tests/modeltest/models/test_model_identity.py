from pathlib import Path

import pytest

from modeltest.models.identity import identity_of

PRINT = "a1b2c3" + "0" * 58


@pytest.mark.parametrize(
    ("folder", "shown"),
    [
        ("/models/demo2", "demo2 (a1b2c3)"),
        ("/cache/models--org--Some-7B/snapshots/0123abcd", "Some-7B (a1b2c3)"),
        ("/models/模型", "模型 (a1b2c3)"),
        ("/models/two\nlines", "two?lines (a1b2c3)"),
    ],
)
def test_a9_a_model_is_called_after_its_folder_and_its_files(folder, shown):
    assert identity_of(Path(folder), PRINT, None) == shown


def test_a9_the_name_that_its_user_gives_counts():
    assert identity_of(Path("/models/demo2"), PRINT, "nightly") == "nightly"
