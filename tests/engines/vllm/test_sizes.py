"""How large vLLM's engine is made for a run, and how much memory its cache gets."""

from dataclasses import replace

import pytest

from engines.vllm.arguments import Place, arguments, compiles
from engines.vllm.memory import CacheMemory, cache_memory
from engines.vllm.options import Options
from engines.vllm.sizes import KEPT_TOKENS, ROW_TOKENS, Sizes, sizes_of
from modeltest.api import BatchRange, Case, ModelInfo, OutOfMemory, RunSpec, SpecError, TaskOptions

QUESTIONS = RunSpec("vllm_fp32", "full_BoolQ", "boolq", "m", "w", batch_sizes=((4,),))
TIMED = replace(
    QUESTIONS, task="performance", cases=(Case(128, 32), Case(64, 200)), batch_sizes=((1, 8), (4,))
)
NONE = Options()


def test_questions_have_rows_of_the_batch_size_and_room_for_one_whole_context():
    sizes = sizes_of(QUESTIONS, 4096, "cpu", NONE)
    assert (sizes.rows, sizes.is_timed) == (4, False)
    assert sizes.cache_tokens == 4096 + KEPT_TOKENS + 4 * ROW_TOKENS


def test_a_timed_run_has_room_for_its_largest_batch_and_prefills_it_in_one_step():
    sizes = sizes_of(TIMED, 4096, "cpu", NONE)
    assert sizes == Sizes(8, 8 * 128, 64 + 200, 8 * 160, is_timed=True)


def test_a_search_has_room_for_the_end_of_its_range_and_tells_that_prefill_is_chunked():
    search = replace(
        TIMED,
        cases=(Case(256, 64),),
        batch_sizes=(),
        options=TaskOptions(batch_ranges=(BatchRange(1, 100),)),
    )
    sizes = sizes_of(search, 4096, "cpu", NONE)
    assert (sizes.rows, sizes.cache_tokens, sizes.step_tokens) == (100, 100 * 320, 8192)
    assert sizes.chunks_prefill


def test_a_loaded_engine_serves_smaller_runs_of_questions_and_timed_ones_of_its_own_size_alone():
    large, small = (sizes_of(replace(QUESTIONS, batch_sizes=((n,),)), 512, "cpu", NONE) for n in (8, 4))
    timed = sizes_of(TIMED, 512, "cpu", NONE)
    assert large.holds(small)
    assert not small.holds(large)
    assert timed.holds(timed)
    assert not timed.holds(small)
    assert not large.holds(timed)


def test_the_cache_gets_what_is_needed_or_what_is_usable():
    sizes = Sizes(2, 64, 100, 200, is_timed=True)
    wanted = (512 + 10 * 128) * 10
    found = cache_memory(sizes, 512, token_bytes=10, free_bytes=1 << 20)
    assert found == CacheMemory(wanted, 512)
    quarter = cache_memory(sizes, 5120, token_bytes=1, free_bytes=20_000, share=0.25)
    assert quarter == CacheMemory(5000, 5000 - 8 * 128)
    tight = cache_memory(sizes, 5120, token_bytes=10, free_bytes=20_000)
    assert tight == CacheMemory(14_000, 14_000 // 10 - 8 * 128)


def test_no_room_for_a_single_row_is_out_of_memory():
    with pytest.raises(OutOfMemory, match="a row of 100 tokens needs 953 MiB for keys and values"):
        cache_memory(
            Sizes(1, 64, 100, 100, is_timed=True),
            512,
            token_bytes=10_000_000,
            free_bytes=100,
        )


def test_where_keys_and_values_have_no_known_size_a_share_is_taken():
    sizes = Sizes(1, 64, 1, 100, is_timed=False)
    found = cache_memory(sizes, 512, token_bytes=0, free_bytes=1000)
    assert found == CacheMemory(210, 512)


def given(spec, device="cpu", options=NONE, **place):
    model = ModelInfo("m", "m", "/w", "llama", "float32", None, 512, 128, 1, None)
    sizes = sizes_of(spec, 512, device, options)
    at = Place(device, 512, **place)
    return arguments(spec, model, sizes=sizes, options=options, place=at, dtype="float32")


def test_timed_runs_read_no_cache_and_are_compiled():
    timed, asked = given(TIMED, cache_bytes=1000), given(QUESTIONS, cache_bytes=1000)
    assert (timed["enable_prefix_caching"], asked["enable_prefix_caching"]) == (False, True)
    assert (timed["enforce_eager"], asked["enforce_eager"]) == (False, True)
    assert "block_size" not in timed
    assert asked["block_size"] == 32
    assert timed["kv_cache_memory_bytes"] == 1000
    assert timed["generation_config"] == "vllm"


def test_an_accelerator_gives_what_is_free_of_it_and_compiles_always():
    assert given(QUESTIONS, "cuda", free_share=0.5)["gpu_memory_utilization"] == 0.475
    assert given(QUESTIONS, "cuda")["gpu_memory_utilization"] == 0.9
    assert compiles(QUESTIONS, "cuda", NONE)


def test_options_overrule():
    options = Options.parse(
        {"compile": "no", "block_size": "64", "prefix_cache": "yes", "step_tokens": "256"}
    )
    found = given(TIMED, options=options, cache_bytes=1)
    assert found["enforce_eager"]
    assert found["enable_prefix_caching"]
    assert (found["block_size"], found["max_num_batched_tokens"]) == (64, 256)


@pytest.mark.parametrize(
    ("name", "value"), [("compile", "on"), ("block_size", "0"), ("step_tokens", "x"), ("memory_share", "1.5")]
)
def test_a_value_that_is_none_is_refused(name, value):
    with pytest.raises(SpecError, match=f"option {name} of engine vllm is"):
        Options.parse({name: value})
