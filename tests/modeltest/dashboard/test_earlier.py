"""Runs of models told by their weights beside those of an earlier version, which told them by their shape."""

import shutil
from dataclasses import replace

import pytest
from dashboard_runs import BOOLQ, nights

from modeltest.api import KNOWN_BEFORE
from modeltest.compare.tolerances import Tolerances
from modeltest.dashboard.identity import EARLIER_NAME, earlier_name_of, model_of
from modeltest.dashboard.index import Index
from modeltest.dashboard.load import load_dashboard
from modeltest.dashboard.update import update_index
from modeltest.run.record.directory import read_result, write_result
from reports.dashboard.views import history_view


class NoPages:
    def page_of(self, run):
        return None


@pytest.fixture
def shown(tmp_path):
    """A function that gives the first runs of a line these identities, and shows the site of all."""
    runs = tmp_path / "runs"

    def show(*identities, nights_in_all=5):
        for directory, (identity, fingerprint) in zip(
            nights(runs, BOOLQ, nights_in_all), identities, strict=False
        ):
            result = read_result(directory)
            model = replace(result.model, identity=identity, fingerprint=fingerprint)
            write_result(directory, replace(result, model=model))
        with Index(tmp_path / "index.sqlite") as index:
            update_index(index, [runs], leave_out=tmp_path / "site")
            return load_dashboard(index, Tolerances())

    return show


def counts(dashboard):
    return {history.model: len(history.runs) for history in dashboard.histories}


def test_a9_two_models_of_one_shape_have_two_histories(shown):
    found = shown(*[("demo (aaaaaa)", "a" * 64), ("demo2 (bbbbbb)", "b" * 64)] * 2, nights_in_all=4)
    assert counts(found) == {"demo (aaaaaa)": 2, "demo2 (bbbbbb)": 2}
    assert {run.facts[EARLIER_NAME] for run in found.runs.values()} == {"aurora-7b"}


def test_a9_weights_made_anew_under_one_name_are_one_history_with_the_change_marked(shown):
    found = shown(*[("nightly", letter * 64) for letter in "aabbc"])
    (history,) = found.histories
    rows = history_view(found, history, NoPages())["runs"]
    assert (history.model, [row["weights_changed"] for row in rows]) == (
        "nightly",
        [False, False, True, False, True],
    )


def test_a9_a_history_of_before_is_joined_once_and_told(shown):
    found = shown(
        ("", "0" * 64),
        ("", "1" * 64),
        ("demo (aaaaaa)", "a" * 64),
        ("demo2 (bbbbbb)", "b" * 64),
        ("demo (aaaaaa)", "a" * 64),
    )
    assert counts(found) == {"demo (aaaaaa)": 4, "demo2 (bbbbbb)": 1}
    before = [run for run in found.runs.values() if KNOWN_BEFORE in run.facts]
    assert [run.facts[KNOWN_BEFORE] for run in before] == ["aurora-7b"] * 2
    history = next(each for each in found.histories if len(each.runs) == 4)
    rows = history_view(found, history, NoPages())["runs"]
    # The fingerprints of before are made otherwise: beside today's they say nothing.
    assert [row["weights_changed"] for row in rows] == [False, True, False, False]


def test_a9_what_was_joined_stays_joined(shown):
    names = ("", "0" * 64), ("demo (aaaaaa)", "a" * 64), ("demo2 (bbbbbb)", "b" * 64)
    before = shown(*names, nights_in_all=3)
    assert counts(before) == {"demo (aaaaaa)": 2, "demo2 (bbbbbb)": 1}
    # The run that the history was joined to goes; the other model does not get it for that.
    (gone,) = (run for run in before.runs.values() if run.facts.get("fingerprint") == "a" * 64)
    shutil.rmtree(gone.directory)
    assert counts(shown(nights_in_all=0)) == {"demo (aaaaaa)": 1, "demo2 (bbbbbb)": 1}


def test_a_history_of_before_without_a_later_one_stays_as_it_was(shown):
    assert counts(shown(nights_in_all=2)) == {"aurora-7b": 2}


def test_the_name_of_before_has_the_quantisation_too(tmp_path):
    (directory,) = nights(tmp_path, BOOLQ, 1)
    result = read_result(directory)
    quantised = replace(result, model=replace(result.model, identity="demo (aaaaaa)", quantize="w8a8"))
    assert (model_of(quantised), earlier_name_of(quantised)) == ("demo (aaaaaa) w8a8", "aurora-7b w8a8")
    assert earlier_name_of(result) is None
