import pytest

from modeltest.plain.json_text import JsonError, parse_json, parse_published_json


def test_text_and_bytes_are_read_alike():
    assert parse_json('{"a": [1, 2.5, "é", null, true]}') == {"a": [1, 2.5, "é", None, True]}
    assert parse_json('{"a": [1, 2.5, "é", null, true]}'.encode()) == parse_json(
        '{"a": [1, 2.5, "é", null, true]}'
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("NaN", "NaN is no number of JSON"),
        ('{"a": -Infinity}', "-Infinity is no number of JSON"),
        ("[1e999]", "1e999 is a number beyond all bounds"),
        ("1" + "0" * 400 + ".0", "is a number beyond all bounds"),
        ("1" + "0" * 400, "is a number beyond all bounds"),
        ('{"a": 1, "b": {"a": 2, "a": 3}}', "'a' is there twice in one object"),
    ],
)
def test_what_is_no_number_or_has_two_values_is_refused_in_files_of_ours_alone(text, reason):
    with pytest.raises(JsonError, match=reason):
        parse_json(text)
    parse_published_json(text)


@pytest.mark.parametrize("parse", [parse_json, parse_published_json])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "its values lie too deep in each other"),
        ("9" * 5000, "digits"),
        (b"\xff{}", "byte 0 is not of UTF-8"),
        ("", "line 1: Expecting value"),
        ('{"a":\n01}', "line 2: "),
    ],
)
def test_whatever_else_is_wrong_is_a_value_error_with_its_reason(parse, text, reason):
    with pytest.raises(JsonError, match=reason):
        parse(text)


def test_large_numbers_within_the_bounds_are_read():
    assert parse_json("[1e300, 1E+100, 1e-999, 123456789012345678901234567890]") == [
        1e300,
        1e100,
        0.0,
        int("1234567890" * 3),
    ]


def test_long_digests_and_texts_are_no_numbers():
    text = '{"digest": "' + "1e999" * 100 + '", "text": "' + "9" * 400 + '"}'
    assert parse_json(text) == {"digest": "1e999" * 100, "text": "9" * 400}
