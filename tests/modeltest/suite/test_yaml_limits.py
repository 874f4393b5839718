"""Small files that ask for more than any memory has."""

import time

import pytest
import yaml

from modeltest.api import SpecError
from modeltest.suite.located_yaml import read_yaml
from modeltest.suite.matrix import OptionKind, expand

PATIENCE_S = 10
"""Without a limit these take hours, or end in a traceback."""


def refusal(tmp_path, text):
    path = tmp_path / "suite.yaml"
    path.write_text(text, encoding="utf-8")
    begin = time.monotonic()
    with pytest.raises(SpecError) as caught:
        read_yaml(path)
    assert time.monotonic() - begin < PATIENCE_S
    return str(caught.value).removeprefix(str(path))


def bomb(first, item, levels=30):
    lines = [f"a0: &a0 {first}", *(f"a{n}: &a{n} {item.format(n - 1)}" for n in range(1, levels))]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        bomb("[x, x, x, x, x, x, x, x, x, x]", "[" + ", ".join(["*a{0}"] * 10) + "]"),
        bomb("{k: x}", "{{" + ", ".join(f"k{n}: *a{{0}}" for n in range(10)) + "}}"),
        bomb("{k: x}", "{{<<: [" + ", ".join(["*a{0}"] * 10) + "]}}"),
    ],
    ids=["lists", "mappings", "merges"],
)
def test_c5_an_alias_bomb_is_refused_at_the_line_where_it_becomes_one(tmp_path, text):
    said = refusal(tmp_path, text)
    line = int(said.split()[2].rstrip(":"))
    assert 4 <= line <= 6
    assert said.endswith("with its aliases this comes to more than 100,000 values; a suite has fewer")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:\n  " + "[" * 100_000, ", line 2: values lie more than 40 deep in each other"),
        ("a:\n  " + "{x: " * 100_000, ", line 2: values lie more than 40 deep in each other"),
        (
            bomb("[x]", "[[[[*a{0}]]]]"),
            ", line 11: with its aliases, values lie more than 40 deep in each other",
        ),
        ("a: [\n *x]\n", ", line 2: not YAML: found undefined alias"),
        ("a: 1\nb: " + "9" * 500_000, ", line 2: a number of 500,000 characters; it may have 300"),
        ("a: 1\nb: 1" + ":59" * 100_000, ", line 2: a number of 300,001 characters; it may have 300"),
        ("a: 1\nb: " + "x" * 100_001, ", line 2: a text of 100,001 characters; it may have 100,000"),
        ("# " + "x" * 1_000_000, " has more than 1,000,000 characters: no suite needs so many"),
        ("a: 1\nb: 2020-13-45", ", line 2: '2020-13-45' cannot be read: month must be in 1..12"),
        ("a: 1\nb: !!int word", ", line 2: 'word' cannot be read: invalid literal for int()"),
        ("? [a, b]\n: 1", ", line 1: the name of a list or a mapping must be a text; put it in quotes"),
        ("? {a: b}\n: 1", ", line 1: the name of a list or a mapping must be a text; put it in quotes"),
    ],
)
def test_c5_what_is_too_deep_too_long_or_no_value_is_refused_by_its_line(tmp_path, text, expected):
    assert refusal(tmp_path, text).startswith(expected)


def test_aliases_that_a_suite_uses_are_followed(tmp_path):
    path = tmp_path / "suite.yaml"
    path.write_text("a: &a {x: 1, y: [2, 3]}\nb: [*a, *a]\nc: {<<: *a, z: 4}\n")
    a = {"x": 1, "y": [2, 3]}
    assert (
        read_yaml(path).plain == {"a": a, "b": [a, a], "c": {**a, "z": 4}} == yaml.safe_load(path.read_text())
    )


def test_c5_lists_times_lists_are_refused_by_the_number_of_runs(tmp_path):
    path = tmp_path / "suite.yaml"
    many = list(range(100))
    path.write_text(f"tasks:\n  - accuracy: {{model: m, seed: {many}, limit: {many}, shots: {many}}}\n")
    catalogue = {"accuracy": dict.fromkeys(("model", "seed", "limit", "shots", "engine"), OptionKind.ONE)}
    text = path.read_text().replace("model: m, ", "")
    path.write_text(f"models: [m]\nengines: [e]\n{text}")
    with pytest.raises(SpecError, match=r"line 4: with its lists, .* more than 10,000 runs"):
        expand(read_yaml(path), catalogue, resolve=lambda text: [text], fill=lambda text: text)
