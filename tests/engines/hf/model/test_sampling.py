import math

import pytest
import torch

from engines.hf.model.forward import NOT_A_NUMBER, greedy
from engines.hf.model.sampling import Sampler
from modeltest.api import Sampling

LOGITS = torch.tensor([[0.0, 3.0, 2.0, 1.0], [5.0, 4.0, 3.0, 2.0]])


def draw(sampling, logits=LOGITS, *, seed=0, times=200):
    choose = Sampler(sampling, seed=seed, device="cpu")
    return torch.stack([choose(logits) for _ in range(times)])


@pytest.mark.parametrize(
    "sampling",
    [Sampling(top_k=1), Sampling(temperature=0.001), Sampling(top_p=0.01), Sampling(0.001, 3, 0.5)],
)
def test_the_narrowest_settings_take_the_likeliest_token(sampling):
    assert set(map(tuple, draw(sampling).tolist())) == {tuple(greedy(LOGITS).tolist())}


def test_tokens_come_as_often_as_they_are_likely():
    logits = torch.tensor([[math.log(1.0), math.log(3.0)]])
    share = draw(Sampling(), logits, times=4000).float().mean().item()
    assert share == pytest.approx(0.75, abs=0.03)
    # Half the temperature squares the odds: 1 to 9.
    cooled = draw(Sampling(temperature=0.5), logits, times=4000).float().mean().item()
    assert cooled == pytest.approx(0.9, abs=0.02)


def test_top_k_and_top_p_leave_the_rest_out():
    assert set(draw(Sampling(top_k=2))[:, 0].tolist()) == {1, 2}
    # Of 0.03, 0.64, 0.24 and 0.09 the first two reach 0.7.
    assert set(draw(Sampling(top_p=0.7))[:, 0].tolist()) == {1, 2}
    assert set(draw(Sampling(top_p=0.01, min_tokens_to_keep=3))[:, 0].tolist()) == {1, 2, 3}


def test_equal_seeds_draw_alike():
    first, again, other = (draw(Sampling(), seed=seed).tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_rows_of_nan_give_no_token_and_spoil_no_other():
    broken = torch.stack([LOGITS[0], torch.full((4,), torch.nan), LOGITS[1]])
    drawn = draw(Sampling(top_k=1), broken, times=1)[0].tolist()
    assert drawn == [1, NOT_A_NUMBER, 0]


def test_half_precision_is_drawn_from_in_full():
    assert draw(Sampling(top_k=1), LOGITS.half(), times=1)[0].tolist() == [1, 0]


def test_replicas_draw_each_its_own_and_the_first_as_one_alone():
    alone, first, second, other = (
        [choose(LOGITS).tolist() for _ in range(20)]
        for choose in (
            Sampler(Sampling(), seed=1, device="cpu"),
            Sampler(Sampling(), seed=1, device="cpu", replica=0),
            Sampler(Sampling(), seed=1, device="cpu", replica=1),
            Sampler(Sampling(), seed=2, device="cpu"),
        )
    )
    assert alone == first
    assert len({str(drawn) for drawn in (first, second, other)}) == 3


def test_it_begins_anew_when_told_to():
    choose = Sampler(Sampling(), seed=1, device="cpu", replica=1)
    drawn = [choose(LOGITS).tolist() for _ in range(20)]
    choose.restart()
    assert [choose(LOGITS).tolist() for _ in range(20)] == drawn
