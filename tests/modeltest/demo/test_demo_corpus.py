"""Which texts the demo tokenizer learns from."""

import json

from hypothesis import given
from hypothesis import strategies as st

from modeltest.demo.corpus import sample_texts

texts = st.text(max_size=20)
json_values = st.recursive(texts | st.integers() | st.booleans() | st.none(), st.lists, max_leaves=10)


def write(root, path, content):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content, encoding="utf-8")


def test_the_bundled_samples_hold_english_and_chinese():
    found = "\n".join(sample_texts())
    assert "the" in found
    assert "的" in found


def test_every_cell_of_a_table_is_a_text(tmp_path):
    write(tmp_path, "mmlu/sample/dev/a_dev.csv", 'one,"two, with comma"\n"line\nbreak",four\n')
    assert list(sample_texts(tmp_path)) == ["one", "two, with comma", "line\nbreak", "four"]


def test_a_byte_order_mark_is_no_text(tmp_path):
    write(tmp_path, "ceval/sample/dev/a_dev.csv", "\ufeffid,问题\n")
    assert list(sample_texts(tmp_path)) == ["id", "问题"]


def test_every_string_of_a_json_line_is_a_text_and_nothing_else(tmp_path):
    row = {"question": "is it", "answer": True, "choices": ["是", {"more": "no"}], "number": 3}
    write(tmp_path, "boolq/sample/dev.jsonl", json.dumps(row) + "\n\n" + json.dumps({"q": "last"}) + "\n")
    assert list(sample_texts(tmp_path)) == ["is it", "是", "no", "last"]


def test_a_line_separator_inside_a_text_ends_no_line(tmp_path):
    write(tmp_path, "boolq/sample/dev.jsonl", json.dumps({"q": "a\u2028b\x85c"}, ensure_ascii=False))
    assert list(sample_texts(tmp_path)) == ["a\u2028b\x85c"]


def test_files_are_read_in_the_order_of_their_names(tmp_path):
    for name in ("mmlu/sample/dev/b", "boolq/sample/a", "mmlu/sample/dev/a", "ceval/sample/c"):
        write(tmp_path, f"{name}.csv", name)
    assert list(sample_texts(tmp_path)) == [
        *("boolq/sample/a", "ceval/sample/c", "mmlu/sample/dev/a", "mmlu/sample/dev/b")
    ]


def test_the_sample_of_a_new_dataset_changes_no_demo_model(tmp_path):
    write(tmp_path, "mmlu/sample/dev/a.csv", "a")
    write(tmp_path, "gsm8k/sample/test.jsonl", '{"question": "new"}')
    assert list(sample_texts(tmp_path)) == ["a"]


def test_only_samples_are_read(tmp_path):
    write(tmp_path, "boolq/dev.jsonl", '{"a": "official"}')
    write(tmp_path, "boolq/sample/README.md", "words")
    write(tmp_path, "boolq/dataset.toml", "title = 'card'")
    assert list(sample_texts(tmp_path)) == []


@given(rows=st.lists(st.dictionaries(texts, json_values, max_size=4), max_size=4))
def test_any_json_lines_can_be_read(rows, tmp_path_factory):
    root = tmp_path_factory.mktemp("samples")
    write(root, "mmlu/sample/a.jsonl", "\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    assert list(sample_texts(root)) == [text for row in rows for text in _flat(list(row.values()))]


def _flat(value):
    if isinstance(value, str):
        return [value]
    return [text for item in value for text in _flat(item)] if isinstance(value, list) else []
