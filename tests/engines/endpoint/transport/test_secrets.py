from pathlib import Path

import pytest

from engines.endpoint.transport.secrets import read_secrets
from modeltest.api import SpecError


def test_the_key_is_the_first_variable_that_is_set() -> None:
    both = {"MODELTEST_API_KEY": "sk-mine", "OPENAI_API_KEY": "sk-other"}
    assert read_secrets(both, None).headers == {"Authorization": "Bearer sk-mine"}
    assert read_secrets({"OPENAI_API_KEY": "sk-other"}, None).headers == {"Authorization": "Bearer sk-other"}
    assert read_secrets({}, None).headers == {}


def test_nothing_secret_is_left_in_a_text_or_shows(tmp_path: Path) -> None:
    file = tmp_path / "headers"
    file.write_text("# of the gateway\nX-Token: Basic abcd1234\n\n")
    secrets = read_secrets({"MODELTEST_API_KEY": "sk-12345"}, str(file))
    assert secrets.hide("wrong key sk-12345 and abcd1234, Basic abcd1234") == "wrong key *** and ***, ***"
    assert "sk-12345" not in repr(secrets)
    assert "abcd1234" not in repr(secrets)


@pytest.mark.parametrize("text", ["nonsense", "Name:", ": value", "X: hunter2\tx"])
def test_a_line_that_is_no_header_is_named_and_not_repeated(tmp_path: Path, text: str) -> None:
    file = tmp_path / "headers"
    file.write_text(f"A: b\n{text}\n")
    with pytest.raises(SpecError, match="line 2") as caught:
        read_secrets({}, str(file))
    assert "hunter2" not in str(caught.value)


def test_a_key_that_cannot_be_a_header_is_refused_and_not_repeated() -> None:
    with pytest.raises(SpecError, match="MODELTEST_API_KEY") as caught:
        read_secrets({"MODELTEST_API_KEY": "hunter2\nX: y"}, None)
    assert "hunter2" not in str(caught.value)
