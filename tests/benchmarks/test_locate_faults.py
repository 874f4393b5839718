"""How the benchmark of `locate` counts, goes on where it was killed, and judges its candidates."""

from contextlib import ExitStack
from dataclasses import replace

import pytest
from locating.draws import SMALL_SHARE, Clean, Draw, DrawFile, Drawn, summary_of

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

SETTINGS = {"seed": 2, "how": "hooks"}


def draw(layer, named, shift=1.0, *, place=0, answer="said", is_there=True):
    return Draw(Drawn(place, "x", 1.0, layer, "sdpa"), shift, is_there, answer, named)


@pytest.mark.parametrize(("named", "right"), [(4, True), (5, True), (6, True), (7, False), (None, False)])
def test_a_layer_and_its_neighbours_count_as_named(named, right):
    found = draw(5, named)
    assert found.is_named is right
    assert found.is_named_wrongly is (named is not None and not right)


def test_what_has_no_effect_is_kept_apart_by_its_size_alone():
    found = summary_of(
        [
            draw(1, 1),
            draw(5, 6),
            draw(5, 9, SMALL_SHARE),
            draw(5, 5, 0.99 * SMALL_SHARE),
            draw(5, None, 0.05, answer=None),
            draw(5, None, 3.0, is_there=False),
        ],
        [Clean("sdpa", "layer 1", ""), Clean("eager", "no layer departs: all are within rounding", "")],
    )
    assert found["faults with an effect"] == 3
    assert (found["named within one layer"], found["named exactly"], found["named in another layer"]) == (
        2,
        1,
        1,
    )
    assert found["kept apart, with less than 0.1 of bfloat16's effect"] == 2
    assert (found["of these asked"], found["of those named within one layer"]) == (1, 1)
    assert found["kept apart, with no bit of the candidate's logits changed"] == 1
    assert (found["clean candidates"], found["of these with a departure"]) == (2, 1)


def test_a_killed_run_goes_on_with_what_is_in_its_file(tmp_path):
    path = tmp_path / "located.jsonl"
    file = DrawFile(path, SETTINGS)
    file.add(Clean("sdpa", "no layer departs", "1.00"))
    file.add(draw(1, 1))
    file.add(draw(2, None, place=1))
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])  # killed while it wrote
    again = DrawFile(path, SETTINGS)
    assert (len(again.clean), again.draws) == (1, [draw(1, 1)])
    again.add(draw(2, None, place=1))
    assert path.read_bytes() == whole
    with pytest.raises(SystemExit, match="is of another run"):
        DrawFile(path, {**SETTINGS, "seed": 3})


def test_draws_are_the_same_wherever_one_begins(demo_model):
    trials = pytest.importorskip("locating.trials")
    trial = trials.Trial(str(demo_model("llama")), "bfloat16")

    def drawn(begin, count):
        draws = trial.draws(5, begin, judges_all=False)
        return [next(draws) for _ in range(count)]

    four = drawn(0, 4)
    assert drawn(2, 2) == four[2:]
    assert [each.answer for each in four if not each.has_effect] == [
        None for each in four if not each.has_effect
    ]


def test_what_is_remembered_of_other_operations_comes_to_the_same(demo_model):
    trials = pytest.importorskip("locating.trials")
    patched, remembering = (
        pytest.importorskip("locating.patched"),
        pytest.importorskip("locating.remembering"),
    )
    from modeltest.locate.comparing import Comparison

    trial = trials.Trial(str(demo_model("llama")), "bfloat16")
    memory = remembering.Remembering()
    for name, strength in ((None, 1.0), ("norm_missing", 1.0), ("value_scale", 1.05)):
        with ExitStack() as undo:
            if name is not None:
                patched.put_in(undo, trial.parts, name, strength, 1)
            plain = Comparison()
            for standard in trial.standards:
                plain.add(standard, trial._candidate)
            assert memory.evidence(trial.standards, trial._candidate, "sdpa") == tuple(plain.evidence())


def test_a_candidate_without_hooks_is_searched_by_its_first_layers(demo_model):
    trials, patched = pytest.importorskip("locating.trials"), pytest.importorskip("locating.patched")
    trial = trials.TrialByCuts(str(demo_model("llama")), "bfloat16")
    found = trial.located(trial.standards, "sdpa")
    assert (found.layer, found.operation) == (None, None)
    assert found.answer.startswith("no layer departs")
    weigh = trial.weighing(trial.standards)
    assert max(weigh(cut).excess for cut in (1, 2)) <= 1.0  # it is one of the twins
    with ExitStack() as undo:
        patched.put_in(undo, trial.parts, "norm_missing", 1.0, 1)
        assert trial.located(trial.standards, "sdpa").layer == 1
    assert trial.located(trial.standards, "sdpa").layer is None


def test_a_draw_that_shifts_a_tenth_has_an_effect():
    assert draw(1, None, SMALL_SHARE).has_effect
    assert not replace(draw(1, None, SMALL_SHARE), is_there=False).has_effect
