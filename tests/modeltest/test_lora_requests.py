"""The file behind the word `lora`: which adapter answers which request."""

import pytest

from modeltest.api import SpecError
from modeltest.lora_requests import read_adapters


def _read(tmp_path, text):
    path = tmp_path / "lora.jsonl"
    path.write_text(text, encoding="utf-8")
    return read_adapters(str(path))


def test_each_request_has_the_adapter_of_its_number_and_base_is_none(tmp_path):
    assert _read(tmp_path, '{"0": "law", "2": "base"}\n\n{"7": "法律"}\n') == {0: "law", 7: "法律"}
    assert _read(tmp_path, "") == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"0": "a"', r"line 1 of .*lora\.jsonl is not JSON: "),
        (
            '{"0": "a"}\n["1"]',
            r"""line 2 of .* is '\["1"\]'; an object such as {"0": "adapter1"} is expected""",
        ),
        ("{}", "an object such as"),
        ('{"-1": "a"}', "names request '-1'; its number is expected, counted from 0"),
        ('{"one": "a"}', "names request 'one'"),
        ('{"1": 5}', "gives request 1 the adapter 5; a name is expected"),
        ('{"1": ""}', "gives request 1 the adapter ''"),
        ('{"1": "a"}\n{"1": "base"}', "line 2 of .* names request 1 again, after line 1"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, text, said):
    with pytest.raises(SpecError, match=said):
        _read(tmp_path, text)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(SpecError, match=r"the LoRA data 'nowhere' cannot be read: No such file"):
        read_adapters("nowhere")
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(SpecError, match="are not UTF-8 text"):
        read_adapters(str(tmp_path / "binary"))
