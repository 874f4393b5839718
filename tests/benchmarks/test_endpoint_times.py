"""How true a client's times are: what is computed from two logs, and a short real run against one."""

import os

import pytest
from endpoint_timing.deviations import Stream, deviation, deviations, is_met, is_within, table
from endpoint_timing.vllm_server import Mean, between, parse_metrics

MS = 1_000_000
SERVER = Stream(0, (100 * MS, 150 * MS, 200 * MS))


def test_a_stream_has_a_first_time_gaps_and_a_time_per_token():
    stream = Stream(7 * MS, (17 * MS, 20 * MS, 27 * MS))
    assert stream.first_ns == 10 * MS
    assert stream.gaps_ns == (3 * MS, 7 * MS)
    assert stream.per_token_ns == 5 * MS


def test_streams_are_compared_each_from_its_own_beginning():
    client = Stream(1000 * MS, (1102 * MS, 1152 * MS, 1201 * MS))
    found = deviations(1, [(SERVER, client)])
    assert found.first.max_ms == 2
    assert (found.gaps.count, found.gaps.median_ms, found.gaps.max_ms) == (2, 0.5, 1)
    assert found.per_token.max_ms == pytest.approx(0.5)
    assert (found.first.within, found.gaps.within) == (0, 1)
    assert not is_met(found)


def test_a_time_may_be_a_millisecond_or_a_hundredth_off():
    assert is_within(50 * MS, 51 * MS)
    assert not is_within(50 * MS, 51 * MS + 1)
    assert is_within(200 * MS, 198 * MS)
    assert not is_within(200 * MS, 197 * MS)


def test_a_tail_is_told_of_enough_times_only():
    few, many = ([(0, place * MS) for place in range(count)] for count in (458, 459))
    assert deviation(few).p99_ms is None
    assert deviation(many).p99_ms == pytest.approx(453.42)


def test_tokens_that_did_not_arrive_are_no_deviation():
    with pytest.raises(ValueError, match="3 tokens were sent, 2 have a time"):
        deviations(1, [(SERVER, Stream(0, (1, 2)))])


def test_the_table_has_a_row_for_each_kind_of_time():
    lines = table([deviations(8, [(SERVER, SERVER)])]).splitlines()
    assert lines[2] == "| 8 | TTFT | 1 | 0.000 | - | 0.000 | 100.0% |"
    assert [line.split(" | ")[1] for line in lines[2:]] == ["TTFT", "gap", "TPOT"]


METRICS = """\
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.1",model_name="m"} 3.0
vllm:time_to_first_token_seconds_count{engine="0",model_name="m"} COUNT
vllm:time_to_first_token_seconds_sum{engine="0",model_name="m"} SUM
vllm:inter_token_latency_seconds_count{engine="0",model_name="m"} 4.0
vllm:inter_token_latency_seconds_sum{engine="0",model_name="m"} 2e-1
"""


def test_metrics_are_differences_of_sums_and_counts():
    before, after = (
        parse_metrics(METRICS.replace("COUNT", count).replace("SUM", total))
        for count, total in (("3.0", "0.25"), ("5.0", "0.75"))
    )
    assert between(before, after) == {"TTFT": Mean(2, 250.0), "gap": Mean(0, 0.0), "TPOT": Mean(0, 0.0)}


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="server and client need a core each")
def test_what_a_server_sent_is_found_again_in_the_client(tmp_path):
    pytest.importorskip("aiohttp")
    from endpoint_timing.asking import Batch
    from endpoint_timing.known_times import against_known_times

    cores = tuple(sorted(os.sched_getaffinity(0))[:2])
    batches = [Batch(streams, 12, 6) for streams in (1, 3)]
    found = against_known_times(tmp_path, batches, trials=2, cores=cores, first_ms=20, gap_ms=5)
    assert [row.streams for row in found] == [1, 3]
    assert [row.first.count for row in found] == [2, 6]
    assert [row.gaps.count for row in found] == [10, 30]
    assert len(os.sched_getaffinity(0)) > 1
