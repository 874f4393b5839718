from dataclasses import replace
from math import sqrt
from statistics import fmean, pstdev

import pytest
from noisy_packs import ROUNDING, TOKENS, candidate, noisy_pack

from modeltest.acceptance.noise import (
    FEWEST_UNITS,
    LARGEST_Z,
    LEAST_NATS,
    REACH,
    Scale,
    Statistic,
    fit_scale,
    noise_of,
)
from modeltest.api import Role

PACK = noisy_pack(questions=0, texts=80)
TEXTS = [each.id for each in PACK.texts]


def noise(pack=PACK, dtype="bfloat16", **options):
    return noise_of(pack, [each.id for each in pack.texts], dtype, **{"has_positions": True, **options})


def means(answers, found):
    values = [found.values(unit, answers[unit].logprobs) for unit in TEXTS]
    return {name: fmean(each[name] for each in values) for name in values[0]}


def test_the_scale_of_few_shifts_is_their_root_mean_square():
    assert fit_scale([(-1.0, 3.0), (-2.0, 4.0)]) == Scale((), (sqrt(12.5),))


def test_bins_hold_equally_many_shifts_from_the_unlikeliest_on():
    shifts = [(-float(number), 0.5 if number < 40 else 2.0) for number in range(80)]
    scale = fit_scale(shifts)
    assert scale.nats == (2.0, 0.5)
    assert scale.edges == (-39.0,)
    assert [scale.bin_of(each) for each in (-50.0, -39.0, 0.0)] == [0, 1, 1]


def test_tokens_that_never_move_have_a_scale_all_the_same():
    assert fit_scale([(-1.0, 0.0)] * 50).nats == (LEAST_NATS,)


def test_shifts_count_in_units_of_their_bin_and_no_more_than_the_largest():
    scale = Scale((-1.0,), (2.0, 0.5))
    assert scale.units([-3.0, -0.5, -0.5], [-1.0, -0.75, 50.0]) == [1.0, -0.5, LARGEST_Z]


def test_without_a_shift_there_is_no_scale():
    with pytest.raises(ValueError, match="no shift"):
        fit_scale([])


def test_values_of_the_twin_have_no_mean_and_a_deviation_of_one():
    found = noise()
    for name in ("shift", "spread", "like tilt:1"):
        values = [found.values(unit, PACK.answers["twin"][unit].logprobs)[name] for unit in TEXTS]
        assert abs(fmean(values)) < 0.05  # cut at the reach, so not quite nothing
        assert pstdev(values) == pytest.approx(1.0, abs=0.1)


def test_a_value_reaches_no_farther_than_three_deviations():
    found = noise()
    wild = tuple(each + 100.0 for each in PACK.reference[TEXTS[0]].logprobs)
    values = found.values(TEXTS[0], wild)
    assert values["shift"] == values["spread"] == REACH


def test_another_correct_computation_has_means_near_nothing():
    assert all(abs(mean) < 0.4 for mean in means(candidate(PACK, seed=9), noise()).values())


def test_each_statistic_sees_the_fault_it_is_for():
    def tilt(_, at, __):
        return ROUNDING / 2 * (1 if at < TOKENS // 2 else -1)

    def raised(_, __, ___):
        return ROUNDING / 2

    def by_likelihood(_, __, logprob):
        return ROUNDING * (logprob + 3) / 3

    found = noise()
    assert means(candidate(PACK, seed=9, fault=tilt), found)["like tilt:1"] > 1.0
    assert means(candidate(PACK, seed=9, fault=tilt), found)["shift by position"] < -1.0
    assert means(candidate(PACK, seed=9, fault=raised), found)["shift"] > 1.0
    assert means(candidate(PACK, seed=9, fault=by_likelihood), found)["shift by likelihood"] > 1.0
    assert means(candidate(PACK, seed=9, rounding=2 * ROUNDING), found)["spread"] > 1.0


def test_choices_have_no_positions():
    pack = noisy_pack(questions=60, texts=0)
    found = noise_of(pack, [each.id for each in pack.questions], "bfloat16", has_positions=False)
    assert [each.name for each in found.statistics] == ["shift", "shift by likelihood", "spread"]


def test_the_twins_of_the_candidates_dtype_are_asked_where_there_are_any():
    twin = PACK.of_role(Role.TWIN)[0]
    half = replace(twin, name="half", dtype="float16")
    computations = (*PACK.manifest.computations, half)
    pack = replace(
        PACK,
        manifest=replace(PACK.manifest, computations=computations),
        answers={**PACK.answers, "half": candidate(PACK, seed=5, rounding=ROUNDING / 8)},
    )
    assert noise(pack, "float16").twins == ("half",)
    assert noise(pack, "bfloat16").twins == ("twin",)
    assert noise(pack, "float32").twins == noise(pack, None).twins == ("twin", "half")


def test_a_twin_of_too_few_texts_tells_nothing():
    few = dict(list(PACK.answers["twin"].items())[: FEWEST_UNITS - 1])
    assert noise(replace(PACK, answers={**PACK.answers, "twin": few})) is None


def test_a_direction_that_moves_nothing_makes_no_statistic():
    still = replace(PACK, answers={**PACK.answers, "way": PACK.reference})
    assert "like tilt:1" not in [each.name for each in noise(still).statistics]


def test_a_statistic_weighs_shifts_or_their_squares():
    def weigh(_, reference):
        return [1.0, 3.0][: len(reference)]

    assert Statistic("a", weigh).raw("u", [-1.0, -1.0], [2.0, -1.0]) == -0.5
    assert Statistic("a", weigh, of_squares=True).raw("u", [-1.0, -1.0], [2.0, -4.0]) == (4 + 27) / 2
