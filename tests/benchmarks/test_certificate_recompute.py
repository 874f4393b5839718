"""Draws of certified answers that are asked again, counted."""

from argparse import Namespace

import pytest
from certificate_recompute import counted, forged
from noisy_packs import candidate, noisy_pack

PACK = noisy_pack(questions=80, texts=60)
CERTIFIED, AGAIN = candidate(PACK, seed=5), candidate(PACK, seed=6)
IDS = [*CERTIFIED]


def found(certified=CERTIFIED, **fields):
    values = {"draws": 20, "count": 90, "seed": 0, "only": None, "forge": 0.0}
    return counted(PACK, certified, AGAIN, "bfloat16", Namespace(**{**values, **fields}))


def test_honest_runs_differ_in_no_draw():
    honest = found()
    assert (honest.draws, honest.differing, honest.with_forged) == (20, 0, 0)
    assert 0 < honest.farthest < 1


def test_a_draw_with_a_forged_answer_differs():
    lied = found(forge=0.05)
    assert lied.with_forged == 20
    assert lied.differing >= 19  # an answer whose choices are nearly as likely is hardly another
    few = found(forge=0.05, count=5)
    assert 0 < few.with_forged < 20
    assert few.differing <= few.with_forged


def test_answers_of_a_faulty_port_are_found_in_texts_alone():
    faulty = candidate(PACK, seed=5, fault=lambda unit, at, p: 0.1 if "text" in unit else 0.0)
    assert found(faulty, only="texts", count=30).differing == 20
    assert found(faulty, only="questions", count=30).differing == 0


def test_a_share_is_forged_and_other_answers_by_another_seed():
    lies = forged(PACK, CERTIFIED, IDS, share=0.05, seed=1)
    assert len(lies) == 7  # of 140
    assert lies.keys() != forged(PACK, CERTIFIED, IDS, share=0.05, seed=2).keys()
    for name, lie in lies.items():
        honest = CERTIFIED[name].logprobs
        if name.startswith("text/"):
            assert lie.logprobs[:2] == (honest[0], pytest.approx(honest[1] - 0.5))
        else:
            assert lie.logprobs == (honest[3], honest[1], honest[2], honest[0])
