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


def test_a_message_is_one_that_any_terminal_and_file_can_hold():
    said = str(SpecError("a/\x1b[31m\x00\ud800/b 海: no such\nfile"))
    assert said == "a/\\x1b[31m\\x00\\ud800/b 海: no such file"


def test_some_messages_have_lines_by_design():
    class Listed(SpecError):
        has_lines = True

    assert str(Listed("these differ:\n  \x00 | 1")) == "these differ:\n  \\x00 | 1"


def test_a_message_keeps_its_beginning_and_its_end_whatever_it_quotes():
    said = str(SpecError(f"config.json holds {'x' * 100_000}; give another"))
    assert said.startswith("config.json holds xxx")
    assert said.endswith("xxx; give another")
    assert len(said) < 6100
