"""What a trial feeds to find out whether a way is right: no more passes than that takes."""

from functools import partial

import pytest
import torch
from transformers import AutoModelForCausalLM

from engines.hf.beliefs.model_trial import Limit, ModelTrial, Part

TEXT_IDS = range(5, 105)


@pytest.fixture
def counted(demo_model):
    """A model of 16 bits and the shapes of ids that it is fed."""
    model = AutoModelForCausalLM.from_pretrained(demo_model("llama"), dtype=torch.bfloat16).eval()
    fed = []
    model.register_forward_pre_hook(
        lambda _, __, named: fed.append(tuple(named["input_ids"].shape)), with_kwargs=True
    )
    return model, fed


def _off_by(distances, plain):
    """Return a way that is so many nats from the plain pass, by stage."""
    left = iter(distances)

    def way(tree, dtype):
        distance = next(left)
        parts = []
        for row, (start, ends) in enumerate(zip(tree.starts, plain.ends, strict=True)):
            # Adding x to the logit of a token of probability p makes a deviation of x sqrt(p (1 - p)).
            p = ends.softmax(-1)[:, 7]
            moved = ends.clone()
            moved[:, 7] += distance / (p * (1 - p)).sqrt()
            parts.append(Part(row, start, moved))
        return parts

    return way


def test_rows_are_fed_together_once_and_nothing_for_a_way_that_says_the_same(counted):
    model, fed = counted
    trial = ModelTrial(model, TEXT_IDS, "cpu")
    plain = trial.plain_at_load()
    assert trial.objection(plain, _off_by([0.0, 0.0], plain)) is None
    assert fed == [(3, 22)]


def test_limits_are_measured_once_for_ways_that_are_farther_than_storing_the_logits_makes(counted):
    model, fed = counted
    trial = ModelTrial(model, TEXT_IDS, "cpu")
    plain = trial.plain_at_load()
    between = [1.01 * limit.least for limit in plain.limits]
    for _ in range(2):
        assert trial.objection(plain, _off_by(between, plain)) is None
    # The row whose input is disturbed in float32, and the rows in the model's own dtype.
    assert fed == [(3, 22), (1, 22), (3, 22)]


def test_a_way_beyond_the_measured_limit_is_refused_with_both_distances(counted):
    trial = ModelTrial(counted[0], TEXT_IDS, "cpu")
    plain = trial.plain_at_load()
    limit = plain.limits[0].full
    text = f"{2 * limit:.2g} nats in float32 where rounding makes {limit:.2g} at most"
    assert trial.objection(plain, _off_by([2 * limit], plain)) == f"it differs from a plain pass by {text}"


def _far_in(dtype, *, texts):
    """Return a way that is wrong about the first `texts` trees in `dtype`, else right, and its trees."""
    trees = []

    def way(trial, tree, now):
        if now == torch.float32:
            trees.append(tree)
        plain = trial.plain_beyond(tree.limit, text=len(trees) - 1)
        assert plain.tree == tree
        is_far = now == dtype and len(trees) <= texts
        return [
            Part(row, start, ends.roll(1, -1) if is_far else ends)
            for row, (start, ends) in enumerate(zip(tree.starts, plain.ends, strict=True))
        ]

    return way, trees


@pytest.mark.parametrize(("texts", "is_refused"), [(0, False), (1, False), (3, False), (4, True)])
def test_a_way_that_is_too_far_in_its_own_dtype_is_tried_with_other_texts(counted, texts, is_refused):
    trial = ModelTrial(counted[0], TEXT_IDS, "cpu")
    way, trees = _far_in(torch.bfloat16, texts=texts)
    objection = trial.objection(trial.plain_at_load(), partial(way, trial))
    assert (objection is not None) == is_refused
    assert len({tree.rows for tree in trees}) == len(trees) == min(texts + 1, 4)
    assert objection is None or "nats in bfloat16" in objection


def test_a_way_that_is_too_far_in_float32_is_refused_at_once(counted):
    trial = ModelTrial(counted[0], TEXT_IDS, "cpu")
    way, trees = _far_in(torch.float32, texts=1)
    assert "nats in float32" in trial.objection(trial.plain_at_load(), partial(way, trial))
    assert len(trees) == 1


@pytest.mark.parametrize("share", [0.8, 1.2])
def test_limits_in_full_refuse_the_same_ways(counted, share):
    trial = ModelTrial(counted[0], TEXT_IDS, "cpu")
    plain = trial.plain_at_load()
    distances = [share * limit.full for limit in plain.limits]
    found = trial.distances(plain, _off_by(distances, plain))
    refused = trial.objection(plain, _off_by(distances, plain)) is not None
    assert [each.limit for each in found] == [limit.full for limit in plain.limits][: len(found)]
    assert refused == (not found[-1].is_rounding) == (share > 1)


def test_a_limit_is_what_storing_makes_where_that_is_more():
    assert Limit(2.0, lambda: 1.0).full == 2.0
    assert Limit(2.0, lambda: 3.0).full == 3.0


@pytest.mark.parametrize(("window", "expected"), [(21, [(1, 2)]), (22, [])])
def test_only_rows_beyond_a_length_of_the_config_are_forgotten(counted, window, expected):
    model, fed = counted
    model.config.sliding_window = window
    trial = ModelTrial(model, TEXT_IDS, "cpu")
    plain = trial.plain_at_load()
    fed.clear()
    trial.end(plain)
    assert fed == expected
