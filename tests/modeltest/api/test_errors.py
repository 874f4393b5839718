import pytest

from modeltest.api import (
    DatasetError,
    EngineError,
    ModelTestError,
    OutOfMemory,
    PrerequisiteError,
    SpecError,
    error_by_name,
)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ModelTestError, 1),
        (SpecError, 2),
        (PrerequisiteError, 3),
        (DatasetError, 4),
        (EngineError, 5),
        (OutOfMemory, 5),
    ],
)
def test_each_branch_has_its_exit_status_and_is_found_by_name(error, status):
    assert error("x").exit_code == status
    assert error_by_name(error.__name__) is error


def test_an_unknown_name_gives_the_root():
    assert error_by_name("Surprise") is ModelTestError
