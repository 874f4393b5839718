import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import SpecError
from modeltest.models.config_json import line_of, read_json_object

KEYS = st.text(max_size=6)
VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


class TestReadJsonObject:
    def test_keeps_bytes_text_and_values(self, tmp_path):
        path = tmp_path / "config.json"
        path.write_bytes(b'{"a": 1}')
        file = read_json_object(path)
        assert (file.raw, file.text, file.values) == (b'{"a": 1}', '{"a": 1}', {"a": 1})

    def test_a_byte_order_mark_is_passed_over(self, tmp_path):
        path = tmp_path / "config.json"
        path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
        assert read_json_object(path).values == {"a": 1}

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b'{"a": 1,\n "b": }', r"config\.json:2: not JSON"),
            (b"", r"config\.json:1: not JSON"),
            (b"[1]", r"config\.json holds a list; a JSON object is needed"),
            (b"null", "holds null"),
            (b"3.5", "holds a number"),
            (b'"x"', "holds a text"),
            (b'{"a": "\xff"}', r"config\.json is not JSON"),
            (b"[" * 200_000, r"config\.json is not JSON"),
        ],
        ids=["broken", "empty", "list", "null", "number", "text", "not-utf8", "too-deep"],
    )
    def test_anything_else_names_the_file_in_one_line(self, tmp_path, content, message):
        path = tmp_path / "config.json"
        path.write_bytes(content)
        with pytest.raises(SpecError, match=message) as caught:
            read_json_object(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_what_cannot_be_read_names_the_reason(self, tmp_path):
        with pytest.raises(SpecError, match="cannot be read: Is a directory"):
            read_json_object(tmp_path)


class TestLineOf:
    TEXT = """{
  "note": "torch_dtype: {[ \\"torch_dtype\\": 1",
  "list": [{"torch_dtype": "x"}, "torch_dtype"],
  "inner": {
    "torch_dtype": "y"
  },
  "torch_dtype"
    : "float16"
}"""

    def test_finds_the_entry_itself_and_not_its_namesakes(self):
        assert line_of(self.TEXT, ("torch_dtype",)) == 7
        assert line_of(self.TEXT, ("inner", "torch_dtype")) == 5

    def test_an_absent_entry_has_no_line(self):
        assert line_of(self.TEXT, ("dtype",)) is None
        assert line_of(self.TEXT, ("list", "torch_dtype")) is None

    def test_the_last_of_equal_keys_counts_as_it_does_for_json(self):
        assert line_of('{"a": 1,\n"a": 2}', ("a",)) == 2

    def test_escapes_in_keys_are_understood(self):
        assert line_of('{\n"\\u0061\\n": 1}', ("a\n",)) == 2

    @given(before=st.dictionaries(KEYS, VALUES, max_size=4), after=st.dictionaries(KEYS, VALUES, max_size=4))
    def test_the_line_is_that_of_the_entry_in_any_object(self, before, after):
        first = {key: value for key, value in before.items() if key != "torch_dtype"}
        rest = {key: value for key, value in after.items() if key not in {*first, "torch_dtype"}}
        # The entry stands where the closing brace of `first` would, were it alone.
        expected = json.dumps(first, indent=2).count("\n") + 1 if first else 2
        text = json.dumps({**first, "torch_dtype": "float16", **rest}, indent=2)
        assert line_of(text, ("torch_dtype",)) == expected


def test_a_place_is_the_file_alone_when_the_entry_is_not_there(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{\n"a": 1}')
    file = read_json_object(path)
    assert file.place("a") == f"{path}:2"
    assert file.place("b") == str(path)
