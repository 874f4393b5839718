"""Forged answers are found among those that are asked again, and two honest computations never differ."""

from dataclasses import replace
from math import comb, sqrt
from random import Random

import pytest
from made_packs import made_pack, problem, right
from noisy_packs import candidate, noisy_pack, scored

from modeltest.api import PackAnswer
from modeltest.certificate.asking_again import chance_to_find, check_again, closeness_of, drawn
from modeltest.certificate.checks import State

PACK = noisy_pack(questions=160, texts=120)
HONEST = candidate(PACK, seed=11)
IDS = list(HONEST)
FORGED_COUNT = len(IDS) // 20


def forged(seed: int) -> dict[str, PackAnswer]:
    """Return honest answers of which 5 % are those of a model that is half a nat to a nat off."""
    random = Random(seed)
    answers = dict(candidate(PACK, seed=12))
    for name in random.sample(IDS, FORGED_COUNT):
        moved = tuple(
            each + random.choice((-1, 1)) * random.uniform(0.5, 1.0) for each in answers[name].logprobs
        )
        answers[name] = scored(PACK, name, moved)
    return answers


def checked(then, now):
    return check_again(PACK, then, now, dtype="bfloat16", told="drawn")


def test_a_draw_is_of_the_ids_without_replacement_and_the_same_for_a_seed():
    found = drawn(IDS, 90, seed=3)
    assert len(set(found)) == 90
    assert found == drawn(reversed(IDS), 90, seed=3)
    assert found != drawn(IDS, 90, seed=4)
    assert set(drawn(IDS, 1000, seed=3)) == set(IDS)


def test_ninety_find_five_per_cent_of_forged_answers_with_99_per_cent():
    assert chance_to_find(1_000_000, 90) == pytest.approx(1 - 0.95**90, abs=1e-4)
    assert 1 - 0.95**90 > 0.99
    assert chance_to_find(100, 20) == pytest.approx(1 - comb(95, 20) / comb(100, 20))
    assert chance_to_find(20, 20) == 1.0


def test_forged_answers_are_found_as_often_as_the_draw_promises():
    """Every forged answer is told from an honest one, so 20,000 draws find one as often as there is one."""
    then = forged(seed=1)
    close = {
        has_positions: closeness_of(PACK, ids, "bfloat16", has_positions=has_positions)
        for has_positions, ids in (
            (False, [each.id for each in PACK.questions]),
            (True, [each.id for each in PACK.texts]),
        )
    }
    far = {
        name
        for name in IDS
        if close[name.startswith("text/")].ratio(name, then[name].logprobs, HONEST[name].logprobs) > 1
    }
    assert len(far) == FORGED_COUNT
    draws, asked = 20_000, 40
    found = sum(not far.isdisjoint(drawn(IDS, asked, seed)) for seed in range(draws)) / draws
    promised = chance_to_find(len(IDS), asked)
    assert found == pytest.approx(promised, abs=4 * sqrt(promised * (1 - promised) / draws))
    assert chance_to_find(len(IDS), 90) > 0.99


@pytest.mark.parametrize("seed", range(5))
def test_ninety_drawn_answers_show_forged_ones(seed):
    then = forged(seed)
    names = drawn(IDS, 90, seed)
    found = checked(then, {name: HONEST[name] for name in names})
    assert found.state is State.DIFFERS
    assert "times as far off as two correct computations" in found.detail


def test_two_honest_computations_never_differ():
    """Two hundred pairs, everything compared: 56,000 answers, none of them out of its limit."""
    close = {
        has_positions: closeness_of(PACK, ids, "bfloat16", has_positions=has_positions)
        for has_positions, ids in (
            (False, [each.id for each in PACK.questions]),
            (True, [each.id for each in PACK.texts]),
        )
    }
    for seed in range(200):
        one, other = candidate(PACK, seed=1000 + seed), candidate(PACK, seed=2000 + seed)
        for name in IDS:
            near = close[name.startswith("text/")]
            assert near.ratio(name, one[name].logprobs, other[name].logprobs) < 1


def test_what_held_tells_what_it_would_have_found():
    names = drawn(IDS, 90, seed=0)
    found = checked(candidate(PACK, seed=12), {name: HONEST[name] for name in names})
    assert found.state is State.HELD
    assert "90 compared" in found.detail
    assert f"{chance_to_find(len(IDS), 90):.2%}" in found.detail


def test_an_answer_that_does_not_come_is_no_pass():
    found = checked(HONEST, {IDS[0]: None, IDS[1]: HONEST[IDS[1]]})
    assert (found.state, found.passes) == (State.NOT_CHECKED, False)
    assert "1 were not answered" in found.detail


def test_a_certified_failure_is_not_compared():
    then = {**HONEST, IDS[0]: None}
    found = checked(then, {IDS[0]: HONEST[IDS[0]], IDS[1]: HONEST[IDS[1]]})
    assert found.state is State.HELD
    assert "1 compared" in found.detail


def generated_pack(twin_differs: int):
    """Return a pack of 60 questions with generated answers, and a twin that answers some otherwise."""
    questions = [problem(number) for number in range(60)]
    twin = {
        each.id: replace(right(each), predicted="-1", correct=False) if at < twin_differs else right(each)
        for at, each in enumerate(questions)
    }
    return made_pack(questions, [], twins={"twin": twin})


@pytest.mark.parametrize(("others", "state"), [(0, State.HELD), (6, State.HELD), (30, State.DIFFERS)])
def test_generated_answers_are_held_against_how_often_twins_differ(others, state):
    pack = generated_pack(twin_differs=2)
    then = dict(pack.answers["reference"])
    now = {
        name: replace(answer, predicted="-2") if at < others else answer
        for at, (name, answer) in enumerate(then.items())
    }
    assert check_again(pack, then, now, dtype="bfloat16", told="drawn").state is state


def test_without_a_twin_nothing_is_compared():
    pack = generated_pack(twin_differs=0)
    alone = replace(pack, answers={**pack.answers, "twin": {}})
    then = dict(pack.answers["reference"])
    assert check_again(alone, then, then, dtype="bfloat16", told="drawn").state is State.NOT_CHECKED


def test_another_answer_to_a_question_that_rounding_does_not_flip_is_found_however_near_it_is():
    """Half of its margin turns an answer: less than two computations may be from each other."""
    sure = next(
        each.id
        for each in PACK.questions
        if PACK.reference[each.id].predicted == "A" and 1.0 < PACK.reference[each.id].margin < 1.5
    )
    best, second, *others = PACK.reference[sure].logprobs
    middle = (best + second) / 2
    turned = scored(PACK, sure, (middle - 0.01, middle + 0.01, *others))
    found = checked({**HONEST, sure: turned}, {sure: PACK.reference[sure]})
    assert found.state is State.DIFFERS


def test_a_small_fault_in_all_answers_is_found_though_none_is_far_off():
    """A tenth of a nat is two of rounding's: no answer is too far, and all lean one way."""
    faulty = candidate(PACK, seed=11, fault=lambda unit, at, _: 0.1 if unit.startswith("text/") else 0.0)
    names = drawn(IDS, 90, seed=0)
    found = checked(candidate(PACK, seed=12), {name: faulty[name] for name in names})
    assert found.state is State.DIFFERS
    assert "times as far off" not in found.detail
    assert "shift of all texts" in found.detail


def test_the_reference_copied_for_answers_is_found():
    names = drawn(IDS, 90, seed=0)
    found = checked(PACK.reference, {name: HONEST[name] for name in names})
    assert found.state is State.DIFFERS
    assert "spread of all texts" in found.detail


def test_honest_draws_hold_whatever_the_seed():
    for seed in range(40):
        one, other = candidate(PACK, seed=3000 + seed), candidate(PACK, seed=4000 + seed)
        names = drawn(IDS, 90, seed)
        assert checked(one, {name: other[name] for name in names}).state is State.HELD
