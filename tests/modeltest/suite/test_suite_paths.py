import pytest

from modeltest.suite.paths import checkpoints, filled, short_name


def test_variables_are_filled_in():
    assert filled("${A}/x${B:-y}", {"A": "/w"}) == "/w/xy"
    assert filled("${A:-d}", {"A": ""}) == "d"
    assert filled("$A {A} $", {"A": "1"}) == "$A {A} $"


def test_a_variable_that_is_not_set_is_named():
    with pytest.raises(ValueError, match="the variable WEIGHTS is not set"):
        filled("${WEIGHTS}/x", {})


def test_a_pattern_fits_folders_with_a_config(tmp_path):
    for name in ("llama-b", "llama-a", "llama-empty", "gemma"):
        (tmp_path / name).mkdir()
        if "empty" not in name:
            (tmp_path / name / "config.json").touch()
    assert checkpoints(str(tmp_path / "llama-*")) == [str(tmp_path / "llama-a"), str(tmp_path / "llama-b")]


def test_a_pattern_that_fits_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="fits no folder"):
        checkpoints(str(tmp_path / "none*"))


def test_a_path_stands_for_itself_whether_it_is_there_or_not(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert checkpoints("~/w") == [str(tmp_path / "w")]
    (tmp_path / "odd[1]").mkdir()
    assert checkpoints(str(tmp_path / "odd[1]")) == [str(tmp_path / "odd[1]")]


@pytest.mark.parametrize("text", ["a" * 300 + "[x]", "~nobody-of-this-name/*"])
def test_what_cannot_be_looked_for_is_refused(text):
    with pytest.raises(ValueError, match="cannot be looked for: "):
        checkpoints(text)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/v1", "HTTPS://[::1]:8000/v1"])
def test_a_url_stands_for_itself(url):
    assert checkpoints(url) == [url]


def test_a_model_is_called_by_its_folder_or_its_server():
    assert short_name("/weights/llama-1b/") == "llama-1b"
    assert short_name("http://127.0.0.1:8000/v1") == "127.0.0.1:8000"
    assert short_name("none") == "none"
