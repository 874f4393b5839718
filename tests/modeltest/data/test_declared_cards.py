"""Dataset cards that installed packages declare, found without importing anything of theirs."""

import shutil
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from click.testing import CliRunner

from modeltest.api import PrerequisiteError, SpecError
from modeltest.cli.root import root
from modeltest.data import card as cards
from modeltest.data.card import GROUP, card_names, cards_root, load_card


@pytest.fixture
def declare(tmp_path, monkeypatch):
    """Return what declares a dataset `name` in the package `value`, with a copy of a card of ours."""
    monkeypatch.syspath_prepend(str(tmp_path))
    points: dict[str, tuple[EntryPoint, ...]] = {}
    monkeypatch.setattr(cards, "declared", lambda group: points if group == GROUP else {})

    def declare(name: str, value: str, *, has_card: bool = True) -> Path:
        folder = tmp_path.joinpath(*value.split("."))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").write_text("raise SystemExit('imported')")
        if has_card:
            shutil.copy(cards_root() / "boolq" / "dataset.toml", folder / "dataset.toml")
        points[name] = (EntryPoint(name, value, GROUP),)
        return folder

    return declare


def test_a_declared_dataset_is_known_by_its_name_and_nothing_of_it_is_imported(declare):
    folder = declare("sea", "sea_data")
    assert "sea" in card_names()
    assert load_card("sea").folder == str(folder)
    assert "sea_data" not in sys.modules


def test_our_own_datasets_stay_what_they_are(declare):
    declare("sea", "sea_data")
    assert load_card("boolq").folder == str(cards_root() / "boolq")


def test_a_name_that_two_declare_is_refused_and_both_are_named(declare):
    declare("boolq", "other_boolq")
    with pytest.raises(
        PrerequisiteError, match=r"declared by ModelTest and an unknown package \(other_boolq\)"
    ):
        load_card("boolq")


def test_a_declared_folder_without_a_card_is_told(declare):
    declare("sea", "empty_data", has_card=False)
    with pytest.raises(PrerequisiteError, match=r"a folder with dataset.toml is expected"):
        load_card("sea")


def test_a_package_that_breaks_on_the_way_to_its_folder_is_told(declare):
    declare("sea", "broken.sea_data")
    (Path(sys.path[0]) / "broken" / "__init__.py").write_text("1 / 0")
    with pytest.raises(PrerequisiteError, match="cannot be found: ZeroDivisionError"):
        load_card("sea")


def test_an_unknown_dataset_is_told_with_those_there_are(declare):
    declare("sea", "sea_data")
    with pytest.raises(SpecError, match=r"unknown dataset 'lake'; available: .*sea"):
        load_card("lake")


@pytest.mark.parametrize("words", [["list", "datasets"], ["data", "list"], ["data", "verify"]], ids=" ".join)
def test_a_broken_declaration_stops_no_listing_of_the_others(declare, words, tmp_path):
    declare("sea", "empty_data", has_card=False)
    done = CliRunner().invoke(root, words, env={"MODELTEST_DATA_DIR": str(tmp_path)})
    assert done.exit_code == 0, done.output
    assert "boolq" in done.output
    assert "dataset.toml is expected" in " ".join(done.output.split())
