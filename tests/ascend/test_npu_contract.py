"""What the adapters rely on in MindIE: on the stand-in always, on an Ascend machine with `-m ascend`."""

import re

import calls
import pytest
from processes import Raised

from engines.mindie.sizes import RunnerSize


def test_variables_set_after_the_import_have_no_effect(place):
    assert place.call(calls.late_benchmark_switch) is False


def test_nothing_is_saved_without_a_dataset_at_import_until_the_environment_is_read_again(place):
    assert place.with_record("times").call(calls.late_dataset) == (False, True)


def test_ignoring_the_end_of_text_lasts_in_the_runner_and_not_in_ours(place):
    before, after_own, after_ours = place.call(calls.end_of_text_after_ignoring_it)
    assert before
    assert after_own == []
    assert after_ours == before


def test_a_single_prompt_is_repeated_for_the_whole_batch_unless_we_ask(place):
    assert place.call(calls.repeated_prompt) == (4, 1)


def test_prompts_beyond_the_rows_keep_their_order_and_their_logits_are_refused(place):
    together, alone, said = place.call(calls.more_prompts_than_rows)
    assert together == alone
    assert re.search(r"has the shape \(\d, \d+\), 5 rows of logits are expected", said)


def test_token_counts_are_cumulative_and_agree_with_the_saved_ids(place):
    counts, ids, _, _ = place.call(calls.counted_and_saved)
    ends = [end for _, end in counts]
    assert [number for number, _ in counts] == [0, 1, 2, 3, 4]
    assert [end - begin for begin, end in zip([0, *ends], ends, strict=False)] == [len(one) for one in ids]


def test_row_i_of_the_logits_is_request_i(place):
    _, ids, likeliest, modes = place.call(calls.counted_and_saved)
    assert likeliest == [one[0] for one in ids]
    assert modes == [0o640, 0o640, 0o600]


def test_the_times_of_the_table_are_sums_of_the_step_times_in_seconds(place):
    text, row = place.with_record("times").call(calls.benchmark)
    fields = text.splitlines()[1].split(",")
    assert fields[4].startswith(" ")
    assert (row.batch_size, row.input_tokens, row.output_tokens) == (3, 12, 10)
    assert (row.prefill_count, len(row.decode_s)) == (1, 9)
    assert float(fields[4]) == pytest.approx(sum(row.prefill_s) * 1000, abs=0.006)
    assert row.decode_step_ms == pytest.approx(sum(row.decode_s) * 1000 / 9, abs=0.006)
    assert float(fields[-1]) == pytest.approx(sum(row.prefill_s) * 1000 / 3, abs=0.006)


def test_files_of_a_larger_batch_stay_until_we_remove_them(place):
    left, cleared = place.call(calls.leftovers)
    assert left == [f"output_ids_{row}.txt" for row in range(4)]
    assert cleared == ["output_ids_0.txt", "output_ids_1.txt"]


def test_memory_that_runs_out_is_recognised_and_the_next_batch_runs(place):
    size = RunnerSize(32, 16, 4) if place.is_stand_in else RunnerSize(2048, 2048, 1_000_000)
    said, texts = place.call(calls.more_than_fits, size, STAND_IN_MEMORY_ROWS="3")
    assert said.startswith("OutOfMemory: out of memory, ")
    assert texts == 1


def test_a_current_directory_with_a_plus_breaks_the_import_unless_paths_are_ours(place, tmp_path):
    odd = tmp_path / "a+b"
    odd.mkdir()
    assert place.call(calls.only_import, cwd=odd) == f"{place.scratch.resolve()}/profiling"
    with pytest.raises(Raised, match="special characters"):
        place.call(calls.only_import, cwd=odd, PROFILING_FILEPATH=f"{odd}/profiling")


def test_a_number_of_processors_to_bind_breaks_the_import(place):
    with pytest.raises(Raised, match="CPU_BINDING_NUM"):
        place.call(calls.only_import, CPU_BINDING_NUM="4")
