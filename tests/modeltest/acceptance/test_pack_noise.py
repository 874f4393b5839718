from dataclasses import replace
from statistics import fmean, pstdev

import pytest
from noisy_packs import ROUNDING, TOKENS, candidate, noisy_pack

from modeltest.acceptance.pack_noise import noise_of
from modeltest.api import Role
from modeltest.shifts.noise import FEWEST_UNITS, REACH

PACK = noisy_pack(questions=0, texts=80)
TEXTS = [each.id for each in PACK.texts]


def noise(pack=PACK, dtype="bfloat16", **options):
    return noise_of(pack, [each.id for each in pack.texts], dtype, **{"has_positions": True, **options})


def means(answers, found):
    values = [found.values(unit, answers[unit].logprobs) for unit in TEXTS]
    return {name: fmean(each[name] for each in values) for name in values[0]}


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


def test_an_outlier_is_twice_as_far_off_as_any_text_of_a_twin():
    found = noise()
    one = TEXTS[0]
    reference = found.reference[one]
    nats = [found.scale.nats[found.scale.bin_of(each)] for each in reference]
    times = {
        near: [ref + near * found.largest_size * unit for ref, unit in zip(reference, nats, strict=True)]
        for near in (0.99, 1.01)
    }
    assert not found.is_outlier(one, times[0.99])
    assert found.is_outlier(one, times[1.01])
    twin = PACK.answers[found.twins[0]]
    sizes = [found.scale.size(found.reference[unit], twin[unit].logprobs) for unit in TEXTS]
    assert found.largest_size == pytest.approx(2 * max(sizes))


def test_what_is_no_number_is_an_outlier():
    found = noise()
    assert found.is_outlier(TEXTS[0], [float("nan")] * len(found.reference[TEXTS[0]]))
