from math import sqrt

import pytest

from modeltest.shifts.noise import LARGEST_Z, LEAST_NATS, Scale, Statistic, fit_noise, fit_scale


def test_the_scale_of_few_shifts_is_their_root_mean_square():
    assert fit_scale([(-1.0, 3.0), (-2.0, 4.0)]) == Scale((), (sqrt(12.5),))


def test_bins_hold_equally_many_shifts_from_the_unlikeliest_on():
    shifts = [(-float(number), 0.5 if number < 40 else 2.0) for number in range(80)]
    scale = fit_scale(shifts)
    assert scale.nats == (2.0, 0.5)
    assert scale.edges == (-39.0,)
    assert [scale.bin_of(each) for each in (-50.0, -39.0, 0.0)] == [0, 1, 1]


def test_tokens_that_are_equally_likely_share_one_scale():
    """Half of all tokens are certain: with their shifts sorted, those that sank would be a bin apart."""
    shifts = [(-float(number + 1), 1.0) for number in range(80)]
    shifts += [(0.0, -0.5 if number % 2 else 0.25) for number in range(80)]
    scale = fit_scale(shifts)
    assert scale.edges == (-40.0, 0.0)
    assert scale.nats == pytest.approx((1.0, 1.0, sqrt((0.5**2 + 0.25**2) / 2)))
    assert scale.bin_of(0.0) == 2


def test_tokens_that_never_move_have_a_scale_all_the_same():
    assert fit_scale([(-1.0, 0.0)] * 50).nats == (LEAST_NATS,)


def test_shifts_count_in_units_of_their_bin_and_no_more_than_the_largest():
    scale = Scale((-1.0,), (2.0, 0.5))
    assert scale.units([-3.0, -0.5, -0.5], [-1.0, -0.75, 50.0]) == [1.0, -0.5, LARGEST_Z]


def test_without_a_shift_there_is_no_scale():
    with pytest.raises(ValueError, match="no shift"):
        fit_scale([])


def test_the_size_of_shifts_has_no_limit():
    scale = Scale((-1.0,), (2.0, 0.5))
    assert scale.size([-3.0, -0.5], [1.0, 2.0]) == pytest.approx(sqrt((2.0**2 + 5.0**2) / 2))


def test_a_statistic_weighs_shifts_or_their_squares():
    def weigh(_, reference):
        return [1.0, 3.0][: len(reference)]

    assert Statistic("a", weigh).raw("u", [-1.0, -1.0], [2.0, -1.0]) == -0.5
    assert Statistic("a", weigh, of_squares=True).raw("u", [-1.0, -1.0], [2.0, -4.0]) == (4 + 27) / 2


def test_statistics_are_fitted_to_the_twins_that_told_enough():
    reference = {f"q/{each}": (-1.0, -0.5) for each in range(20)}
    twin = {name: (-1.0 + 0.1 * (at % 2), -0.5 - 0.1 * (at % 3)) for at, name in enumerate(reference)}
    few = dict(list(twin.items())[:19])
    found = fit_noise(reference, {"whole": twin, "few": few}, has_positions=False)
    assert (found.twins, found.units) == (("whole",), 20)
    assert [each.name for each in found.statistics] == ["shift", "shift by likelihood", "spread"]
    assert fit_noise(reference, {"few": few}, has_positions=False) is None
