import pytest

from engines.mindie.benchmark import parse_benchmark, token_times_ns
from modeltest.api import EngineError

COLUMNS = {
    "batch_size": "2",
    "input_seq_len": "16",
    "output_seq_len": "3",
    "e2e_time(ms)": " 160.00",
    "prefill_time(ms)": " 100.00",
    "decoder_token_time(ms)": " 30.00",
    "prefill_count": "1",
    "prefill_token_times": "0.1",
    "decode_token_times": '"0.02,0.04"',
    "prefill_average_time(ms)": " 50.00",
}


def _text(**changes: str) -> str:
    columns = {**COLUMNS, **changes}
    return ",".join(columns) + "\n" + ",".join(columns.values()) + "\n"


def test_the_row_is_read_by_the_names_of_the_columns():
    row = parse_benchmark(_text())
    assert (row.batch_size, row.input_tokens, row.output_tokens, row.prefill_count) == (2, 16, 3, 1)
    assert (row.e2e_ms, row.prefill_ms, row.decode_step_ms, row.prefill_average_ms) == (160, 100, 30, 50)
    assert (row.prefill_s, row.decode_s) == ((0.1,), (0.02, 0.04))


def test_columns_may_come_in_another_order_among_others():
    names = ["device", *reversed(COLUMNS)]
    values = ["npu:0", *reversed(COLUMNS.values())]
    assert parse_benchmark(f"{','.join(names)}\n{','.join(values)}\n") == parse_benchmark(_text())


def test_blanks_around_names_and_values_do_not_matter():
    assert parse_benchmark(_text().replace(",", " , ").replace('"0.02 , 0.04"', '"0.02, 0.04"')) == (
        parse_benchmark(_text())
    )


def test_step_times_become_times_of_tokens_in_nanoseconds():
    times = token_times_ns(parse_benchmark(_text()), [2])
    assert times == ((100_000_000, 120_000_000, 160_000_000),) * 2


def test_requests_of_a_later_prefill_get_their_first_token_later():
    row = parse_benchmark(_text(prefill_token_times='"0.04,0.06"', prefill_count="2"))
    first, second = token_times_ns(row, [1, 1])
    assert first == (40_000_000, 120_000_000, 160_000_000)
    assert second == (100_000_000, 120_000_000, 160_000_000)


def test_a_single_token_takes_no_decode_step():
    text = _text(
        **{
            "output_seq_len": "1",
            "e2e_time(ms)": "100",
            "decoder_token_time(ms)": "0",
            "decode_token_times": "",
        }
    )
    assert token_times_ns(parse_benchmark(text), [2]) == ((100_000_000,),) * 2


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it has 0 lines"),
        (_text() + _text(), "it has 4 lines"),
        ("batch_size\n1,2\n", "its row has 2 fields under 1 columns"),
        ("batch_size,batch_size\n1,2\n", "two columns have one name"),
        (
            _text().replace("prefill_count", "prefills"),
            "no column 'prefill_count'; its columns are",
        ),
        (_text(batch_size="two"), "batch_size is 'two', not a count"),
        (_text(**{"e2e_time(ms)": "nan"}), "holds 'nan', not a number"),
        (_text(decode_token_times='"0.02,,0.04"'), "decode_token_times holds '', not a number"),
        (_text(prefill_token_times="100"), r"prefill_time\(ms\) is 100, .* give 100000.00 ms"),
        (_text(**{"e2e_time(ms)": "100"}), r"e2e_time\(ms\) is 100, .* give 160.00 ms"),
        (_text(**{"decoder_token_time(ms)": "20"}), r"decoder_token_time\(ms\) is 20, .* give 30.00 ms"),
        (
            _text(**{"prefill_average_time(ms)": "100"}),
            r"prefill_average_time.* is 100, .* give 50.00 ms",
        ),
        (_text(prefill_count="2"), "prefill_count is 2 with 1 prefill_token_times"),
        (
            _text(
                **{
                    "prefill_token_times": "0",
                    "prefill_time(ms)": "0",
                    "prefill_average_time(ms)": "0",
                    "e2e_time(ms)": "60",
                }
            ),
            "a step took no time",
        ),
    ],
)
def test_what_cannot_be_understood_is_refused_with_its_reason(text, reason):
    with pytest.raises(EngineError, match=f"benchmark.csv of MindIE cannot be used: .*{reason}"):
        parse_benchmark(text)


def test_a_pass_of_another_course_is_refused():
    row = parse_benchmark(_text())
    with pytest.raises(EngineError, match="1 prefills for 2 requests, 2 prefills were expected"):
        token_times_ns(row, [1, 1])
    short = parse_benchmark(
        _text(**{"decode_token_times": "0.06", "output_seq_len": "3", "decoder_token_time(ms)": "30"})
    )
    with pytest.raises(EngineError, match="1 decode steps for 3 tokens, 2 are expected"):
        token_times_ns(short, [2])
