import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import SearchStatus
from modeltest.search import Reading, SearchOutcome, conclude, judge, search_max_batch

_Latency = Callable[[int], Reading]


def _run(lowest: int, highest: int, limit_ms: float, latency: _Latency) -> SearchOutcome:
    search = search_max_batch(lowest, highest, limit_ms)
    batch_size = next(search)
    try:
        while True:
            batch_size = search.send(latency(batch_size))
    except StopIteration as end:
        outcome: SearchOutcome = end.value
        return outcome


def _linear(start_ms: float, per_row_ms: float, *, memory: float = math.inf) -> _Latency:
    def latency(batch_size: int) -> Reading:
        if batch_size > memory:
            return Reading(None, out_of_memory=True)
        return Reading(start_ms + per_row_ms * batch_size)

    return latency


def _sizes(outcome: SearchOutcome) -> list[int]:
    return [probe.batch_size for probe in outcome.probes]


def test_search_doubles_then_bisects() -> None:
    outcome = _run(1, 2048, 50, _linear(10, 1))  # 40 rows take 50 ms exactly
    assert _sizes(outcome) == [1, 2, 4, 8, 16, 32, 64, 48, 40, 44, 42, 41]
    assert outcome.status is SearchStatus.FOUND
    assert (outcome.max_batch, outcome.latency_ms) == (40, 50)


def test_the_limit_itself_is_within_the_limit() -> None:
    assert judge(4, Reading(50.0), 50.0).feasible
    assert not judge(4, Reading(50.000001), 50.0).feasible


def test_a_large_range_costs_no_huge_probe() -> None:
    outcome = _run(1, 10**9, 50, _linear(10, 1))
    assert max(_sizes(outcome)) == 64
    assert outcome.max_batch == 40


def test_out_of_memory_is_never_a_pass() -> None:
    # The predecessor reread the verdict of the probe before and answered 200 here.
    outcome = _run(1, 200, 10**6, _linear(1, 1, memory=100))
    assert outcome.max_batch == 100
    assert outcome.status is SearchStatus.MEMORY_LIMITED
    assert all(probe.out_of_memory is (probe.batch_size > 100) for probe in outcome.probes)
    assert all(probe.latency_ms is None for probe in outcome.probes if probe.out_of_memory)


def test_the_top_of_the_range_is_measured_before_it_is_reported() -> None:
    outcome = _run(1, 100, 10**6, _linear(1, 1))
    assert outcome.status is SearchStatus.RANGE_LIMITED
    assert _sizes(outcome)[-1] == outcome.max_batch == 100


def test_a_range_of_one_batch_size_takes_one_probe() -> None:
    assert _run(7, 7, 100, _linear(1, 1)).status is SearchStatus.RANGE_LIMITED
    assert _run(7, 7, 5, _linear(1, 1)).status is SearchStatus.NONE_FEASIBLE


@pytest.mark.parametrize("latency", [_linear(99, 1), _linear(1, 1, memory=0)], ids=["slow", "out of memory"])
def test_none_feasible_when_the_lowest_batch_does_not_do(latency: _Latency) -> None:
    outcome = _run(1, 64, 50, latency)
    assert outcome.status is SearchStatus.NONE_FEASIBLE
    assert outcome.max_batch is None
    assert outcome.latency_ms is None
    assert _sizes(outcome) == [1]


def test_a_batch_that_failed_bounds_the_answer_but_proves_no_limit() -> None:
    outcome = _run(1, 64, 50, lambda size: Reading(None) if size > 5 else Reading(1.0))
    assert outcome.max_batch == 5
    assert outcome.status is SearchStatus.BORDERLINE
    assert not any(probe.out_of_memory for probe in outcome.probes)


def test_a_lowest_batch_that_failed_proves_nothing() -> None:
    outcome = _run(1, 64, 50, lambda size: Reading(None))
    assert outcome.status is SearchStatus.BORDERLINE
    assert outcome.max_batch is None


def test_a_search_cut_short_reports_the_best_so_far_as_borderline() -> None:
    probes = [judge(size, Reading(float(size)), 10) for size in (1, 2, 4)]
    outcome = conclude(probes, 64)
    assert (outcome.status, outcome.max_batch) == (SearchStatus.BORDERLINE, 4)
    still_bracketed = conclude([*probes, judge(8, Reading(11.0), 10)], 64)
    assert (still_bracketed.status, still_bracketed.max_batch) == (SearchStatus.BORDERLINE, 4)
    assert conclude([], 64).status is SearchStatus.BORDERLINE


@pytest.mark.parametrize(("lowest", "highest"), [(0, 5), (-1, 5), (6, 5)])
def test_an_impossible_range_is_refused(lowest: int, highest: int) -> None:
    with pytest.raises(ValueError, match="range of batch sizes"):
        next(search_max_batch(lowest, highest, 50))


_RANGES = st.tuples(st.integers(1, 300), st.integers(0, 3000)).map(lambda pair: (pair[0], sum(pair)))


@given(_RANGES, st.integers(0, 4000), st.integers(0, 4000))
def test_search_equals_brute_force_where_latency_and_memory_grow(
    bounds: tuple[int, int], limit: int, memory: int
) -> None:
    lowest, highest = bounds
    latency = _linear(0, 1, memory=memory)
    feasible = [size for size in range(lowest, highest + 1) if judge(size, latency(size), limit).feasible]
    outcome = _run(lowest, highest, limit, latency)
    assert outcome.max_batch == max(feasible, default=None)
    if not feasible:
        assert outcome.status is SearchStatus.NONE_FEASIBLE
    elif feasible[-1] == highest:
        assert outcome.status is SearchStatus.RANGE_LIMITED
    else:
        expected = SearchStatus.MEMORY_LIMITED if memory <= limit else SearchStatus.FOUND
        assert outcome.status is expected


@given(_RANGES, st.randoms(use_true_random=False))
def test_the_answer_is_certified_whatever_the_latencies(bounds: tuple[int, int], random: object) -> None:
    lowest, highest = bounds
    kinds = (Reading(1.0), Reading(99.0), Reading(None, out_of_memory=True))
    outcome = _run(lowest, highest, 50, lambda size: random.choice(kinds))  # type: ignore[attr-defined]
    probes = {probe.batch_size: probe for probe in outcome.probes}
    assert len(probes) == len(outcome.probes), "a batch size was measured twice"
    assert all(lowest <= size <= highest for size in probes)
    if outcome.max_batch is None:
        assert not probes[lowest].feasible
        return
    assert probes[outcome.max_batch].feasible
    assert outcome.latency_ms == probes[outcome.max_batch].latency_ms
    if outcome.status is SearchStatus.RANGE_LIMITED:
        assert outcome.max_batch == highest
    else:
        above = probes[outcome.max_batch + 1]
        assert not above.feasible
        assert above.out_of_memory is (outcome.status is SearchStatus.MEMORY_LIMITED)


@given(st.integers(1, 10**6), st.integers(0, 10**6))
def test_number_of_probes_is_bounded(highest: int, limit: int) -> None:
    outcome = _run(1, highest, limit, _linear(0, 1))
    assert len(outcome.probes) <= 2 * math.log2(highest) + 2


@given(_RANGES, st.integers(0, 4000))
def test_no_probe_is_more_than_twice_what_has_worked(bounds: tuple[int, int], limit: int) -> None:
    outcome = _run(*bounds, limit, _linear(0, 1))
    largest = bounds[0] / 2
    for probe in outcome.probes:
        assert probe.batch_size <= 2 * largest
        largest = max(largest, probe.batch_size) if probe.feasible else largest
