from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import Completion, Measurement
from modeltest.metrics import METRICS, gaps_ns

_MS = 1_000_000


def _batch(*rows_ms: tuple[float, ...]) -> Measurement:
    completions = tuple(
        Completion(
            request_id=f"r{index}",
            output_tokens=tuple(range(len(times))),
            token_times_ns=tuple(round(time * _MS) for time in times),
        )
        for index, times in enumerate(rows_ms)
    )
    return Measurement(0, len(rows_ms), 1, "measure", completions)


def _values(measurement: Measurement) -> dict[str, float | None]:
    return {metric.definition.name: metric.compute(measurement) for metric in METRICS}


def test_every_metric_of_a_batch_computed_by_hand() -> None:
    # gaps 4 and 6 ms in the first row, 4 and 2 ms in the second
    assert _values(_batch((10, 14, 20), (12, 16, 18))) == {
        "ttft_ms": 11.0,
        "tpot_ms": 4.0,  # rows: 5 and 3
        "itl_ms": 4.0,  # gaps 2 4 4 6
        "e2e_s": 0.020,
        "output_tokens_per_s": 300.0,  # 6 tokens in 20 ms
        "decode_tokens_per_s": 500.0,  # 2 rows, 4 ms
        "prefill_total_ms": 12.0,
        "prefill_average_ms": 6.0,
        "non_first_token_ms": 4.0,  # (20 - 12) / 2
    }


def test_tpot_and_what_rests_on_it_are_undefined_for_one_token() -> None:
    values = _values(_batch((10,), (10,)))
    undefined = {name for name, value in values.items() if value is None}
    assert undefined == {"tpot_ms", "itl_ms", "decode_tokens_per_s", "non_first_token_ms"}
    assert values["output_tokens_per_s"] == 200.0


def test_tpot_counts_gaps_not_tokens() -> None:
    assert _values(_batch((100, 110, 120, 130)))["tpot_ms"] == 10.0


def test_tpot_leaves_the_first_token_out() -> None:
    quick, slow = _batch((1, 6, 11)), _batch((1000, 1005, 1010))
    assert _values(quick)["tpot_ms"] == _values(slow)["tpot_ms"] == 5.0


@pytest.mark.parametrize(
    "broken",
    [
        Measurement(0, 1, 1, "measure", ()),
        Measurement(0, 2, 1, "measure", (Completion("a", token_times_ns=(1, 2)), Completion("b"))),
        Measurement(0, 1, 1, "measure", (Completion("a", token_times_ns=(1, 2), error="lost"),)),
    ],
    ids=["no rows", "a row without times", "a failed row"],
)
def test_a_batch_that_failed_has_no_metrics(broken: Measurement) -> None:
    assert set(_values(broken).values()) == {None}


def test_a_batch_with_no_measurable_duration_has_no_throughput() -> None:
    values = _values(_batch((0, 0)))
    assert values["e2e_s"] == 0.0
    assert values["tpot_ms"] == 0.0
    assert values["output_tokens_per_s"] is None
    assert values["decode_tokens_per_s"] is None


def test_gaps_stay_within_their_row() -> None:
    assert list(gaps_ns(_batch((1, 3), (2, 7)))) == [2 * _MS, 5 * _MS]


def test_names_are_unique_and_end_in_their_unit() -> None:
    suffix = {"ms": "_ms", "s": "_s", "tokens/s": "_tokens_per_s"}
    assert len({metric.definition.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert metric.definition.name.endswith(suffix[metric.definition.unit])


_STATIC = st.tuples(
    st.integers(1, 64), st.integers(1, 10**9), st.lists(st.integers(1, 10**8), min_size=1, max_size=40)
)


@given(_STATIC)
def test_in_a_static_batch_tpot_is_the_non_first_token_time(shape: tuple[int, int, list[int]]) -> None:
    batch_size, first_ns, gaps = shape
    times = [first_ns]
    for gap in gaps:
        times.append(times[-1] + gap)
    row = Completion("r", token_times_ns=tuple(times))
    values = _values(Measurement(0, batch_size, 1, "measure", (row,) * batch_size))
    assert values["tpot_ms"] == values["non_first_token_ms"]
    assert values["ttft_ms"] == values["prefill_total_ms"]
    tokens = batch_size * len(times)
    assert values["output_tokens_per_s"] == pytest.approx(tokens / (times[-1] / 1e9))


@given(_STATIC, st.integers(2, 9))
def test_a_clock_twice_as_slow_halves_throughput(shape: tuple[int, int, list[int]], factor: int) -> None:
    batch_size, first_ns, gaps = shape
    times = [first_ns + sum(gaps[:index]) for index in range(len(gaps) + 1)]
    measurement = Measurement(0, batch_size, 1, "measure", (Completion("r", token_times_ns=tuple(times)),))
    slower = replace(
        measurement,
        completions=(Completion("r", token_times_ns=tuple(time * factor for time in times)),),
    )
    for name, value in _values(measurement).items():
        scaled = value * factor if not name.endswith("per_s") else value / factor  # type: ignore[operator]
        assert _values(slower)[name] == pytest.approx(scaled)


def test_itl_is_not_known_where_tokens_came_together() -> None:
    values = _values(_batch((10, 14, 14, 20), (12, 16, 18, 20)))
    assert values["itl_ms"] is None
    assert values["tpot_ms"] == pytest.approx(3.0)  # rows: 10/3 and 8/3
    assert values["ttft_ms"] == 11.0
