"""How the benchmark of `locate` counts, and its candidates without hooks."""

from contextlib import ExitStack

import pytest

torch = pytest.importorskip("torch")
locate_faults = pytest.importorskip("locate_faults")


def draw(layer, named, shift=1.0):
    return locate_faults.Draw("x", 1.0, layer, "sdpa", shift, named, None, "")


@pytest.mark.parametrize(("named", "right"), [(4, True), (5, True), (6, True), (7, False), (None, False)])
def test_a_layer_and_its_neighbours_count_as_named(named, right):
    assert draw(5, named).is_named is right


def test_small_effects_are_counted_apart():
    found = locate_faults._summary([draw(1, 1), draw(5, None, 0.05), draw(5, 6)], [("sdpa", "layer 1")])
    assert found["faults"] == 3
    assert (found["named within one layer"], found["named exactly"]) == (2, 1)
    assert (found["with a smaller effect"], found["of those named"]) == (1, 0)
    assert found["of these with a departure"] == 1


def test_a_candidate_without_hooks_is_searched_by_its_first_layers(demo_model):
    trial = locate_faults.TrialByCuts(str(demo_model("llama")), "bfloat16")
    answer, layer, operation = trial._located(trial._standards)
    assert (layer, operation) == (None, None)
    assert answer.startswith("no layer departs")
    weigh = trial._weighing(trial._standards)
    assert max(weigh(cut).excess for cut in (1, 2)) <= 1.0  # it is one of the twins
    with ExitStack() as undo:
        locate_faults._put_in(undo, trial._parts, "norm_missing", 1.0, 1)
        assert trial._located(trial._standards)[1] == 1
    assert trial._located(trial._standards)[1] is None
