"""What the options that every run takes make of its spec."""

from pathlib import Path

import click
import pytest

from modeltest.api import SpecError
from modeltest.options.runs import run_fields, run_options


def fields(*words: str) -> dict[str, object]:
    @click.command()
    @run_options
    def command(**options: object) -> dict[str, object]:
        return run_fields(options)

    found: dict[str, object] = command.main(list(words), standalone_mode=False)
    return found


def test_options_of_a_served_model_are_those_of_its_engine(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("--served-model", "smol", "--tokenizer", "files", "--ca-bundle", "ca.pem", "--engine-option")
    assert fields(*words, "retry_s=5")["engine_options"] == {
        "served_model": "smol",
        "tokenizer": str(tmp_path / "files"),
        "ca_bundle": str(tmp_path / "ca.pem"),
        "retry_s": "5",
    }


def test_without_them_nothing_is_asked_of_the_engine() -> None:
    assert fields()["engine_options"] == {}


def test_one_that_is_given_in_two_ways_is_refused_unless_both_say_the_same() -> None:
    twice = ("--served-model", "smol", "--engine-option")
    with pytest.raises(SpecError, match="served_model is given twice, as 'smol' and in --engine-option"):
        fields(*twice, "served_model=large")
    assert fields(*twice, "served_model=smol")["engine_options"] == {"served_model": "smol"}
