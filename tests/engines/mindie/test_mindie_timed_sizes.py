"""Which runner serves a timed batch: a roomy one as long as memory allows, so that few are made."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from engines.common.rows_asked import rows_asked
from engines.mindie.sizes import RunnerSize
from engines.mindie.timed_sizes import KeyValueMemory, TimedSizes
from modeltest.api import BatchRange, Case, RunSpec, TaskOptions

SPEC = RunSpec(engine="pa_fp16", mode="performance", task="performance", model="m", weights="w")
TIMED = replace(SPEC, cases=(Case(16, 4),), batch_sizes=((1, 8, 2),))


def _asked(rows, prompt=16, answer=4):
    return RunnerSize(prompt, answer, rows)


def test_one_runner_serves_every_batch_size_of_a_case():
    sizes = TimedSizes.of(TIMED)
    made = sizes.size_for(_asked(1), None)
    assert made == RunnerSize(16, 4, 8)
    assert [sizes.size_for(_asked(rows), made) for rows in (1, 8, 2)] == [made] * 3


def test_a_search_is_served_by_a_runner_for_its_largest_batch():
    search = replace(TIMED, options=TaskOptions(batch_ranges=(BatchRange(2, 64),)), batch_sizes=())
    assert rows_asked(search, 0) == (2, 64)
    assert TimedSizes.of(search).size_for(_asked(2), None).rows == 64


def test_each_case_has_a_runner_of_its_own():
    sizes = TimedSizes.of(replace(TIMED, cases=(Case(16, 4), Case(8, 4)), batch_sizes=((2,),)))
    made = sizes.size_for(_asked(2), None)
    assert sizes.size_for(_asked(2, prompt=8), made) == RunnerSize(8, 4, 2)


def test_a_batch_shorter_than_its_case_needs_no_other_runner():
    sizes = TimedSizes.of(TIMED)
    made = sizes.size_for(_asked(1), None)
    assert sizes.size_for(_asked(1, answer=2), made) == made
    assert sizes.size_for(_asked(1, prompt=11), made) == made
    assert sizes.size_for(_asked(1, answer=2), None) == made


def test_what_no_case_holds_gets_a_runner_of_exactly_its_size():
    assert TimedSizes({}).size_for(_asked(3, prompt=100), None) == RunnerSize(100, 4, 3)


def test_memory_that_is_known_bounds_the_rows_but_not_what_is_asked():
    memory = KeyValueMemory(usable_bytes=1000.0, bytes_of_token=10.0)
    sizes = TimedSizes.of(TIMED, memory)
    assert memory.rows(Case(16, 4)) == 5
    assert sizes.size_for(_asked(1), None).rows == 5
    assert sizes.size_for(_asked(7), None).rows == 7


def test_out_of_memory_in_a_roomy_runner_is_tried_again_in_one_of_the_batch_s_own():
    sizes = TimedSizes.of(TIMED)
    roomy, own = _asked(8), _asked(2)
    assert sizes.ran_out(own, roomy) == own
    sizes.worked(own, own)
    assert sizes.size_for(_asked(1), None).rows == 2, "roomier ones left too little"
    sizes.worked(_asked(3), _asked(3))
    assert sizes.size_for(_asked(1), None).rows == 3


def test_what_ran_out_in_its_own_runner_is_out_of_memory_and_bounds_the_next():
    sizes = TimedSizes.of(TIMED)
    assert sizes.ran_out(_asked(6), _asked(8)) == _asked(6)
    assert sizes.ran_out(_asked(6), _asked(6)) is None
    assert sizes.size_for(_asked(1), None).rows == 5


@given(st.integers(1, 64), st.integers(1, 64), st.lists(st.integers(1, 64), max_size=12))
def test_whatever_fits_is_found_to_fit_with_few_loads(fitting, highest, batches):
    """Play a device on which at most `fitting` rows have room, in the KV cache and in a batch."""
    spec = replace(TIMED, options=TaskOptions(batch_ranges=(BatchRange(1, highest),)), batch_sizes=())
    sizes, current, loads = TimedSizes.of(spec), None, 0
    for rows in batches:
        asked = _asked(min(rows, highest))
        size = sizes.size_for(asked, current)
        fitted = False
        while size is not None:
            loads += size != current
            current = size if size.rows <= fitting else None
            assert size.rows >= asked.rows
            if current is not None:
                sizes.worked(asked, size)
                fitted = True
                break
            size = sizes.ran_out(asked, size)
        assert fitted == (asked.rows <= fitting)
    if highest <= fitting:
        assert loads <= 1


def test_keys_and_values_are_counted_from_the_config():
    llama = {"num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 4, "hidden_size": 64}
    found = KeyValueMemory.of(llama, free_bytes=2000, weights_bytes=1000, split=2)
    assert found is not None
    assert found.bytes_of_token == 2 * 2 * 2 * 8 * 2  # keys and values, layers, heads here, width, bytes
    assert found.usable_bytes == 0.8 * (2000 - 500)
    assert KeyValueMemory.of({"hidden_size": 64}, free_bytes=1, weights_bytes=0, split=1) is None
    gpt2 = {"n_layer": 1, "n_head": 2, "n_embd": 8}
    assert KeyValueMemory.of(gpt2, free_bytes=1, weights_bytes=0, split=1).bytes_of_token == 2 * 1 * 2 * 4 * 2
