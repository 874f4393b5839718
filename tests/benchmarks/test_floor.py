from types import SimpleNamespace

from lm_eval_comparison.floor_parts import prefix_calls
from lm_eval_comparison.floor_steps import Steps, cache_bytes, plan_steps
from lm_eval_comparison.unique_tokens import find_unique_tokens


def test_questions_look_at_what_stands_before_them_a_batch_at_a_time() -> None:
    prompts = [("law", [1, 2, 3, 4]), ("law", [1, 2, 5]), ("law", [1, 2, 6, 7]), ("logic", [8, 9])]
    unique = find_unique_tokens(prompts)
    # Own tokens 2, 1, 2 after two shared ones, then two after none.
    assert prefix_calls(unique, 3) == [(5, 2)]
    assert prefix_calls(unique, 2) == [(3, 2), (4, 1)]  # 2 x 2 and 2 x 0 pairs, over 4 queries


def test_steps_are_those_of_a_batch_that_is_always_full() -> None:
    prompts = [("gsm8k", [0] * 100), ("gsm8k", [0] * 100), ("gsm8k", [0] * 200)]
    # 30 tokens in rows of two; 20 of them after 100 tokens, then half of 20 on average, 10 after 200.
    assert plan_steps(prompts, [20, 0, 10], 2) == Steps(count=15, rows=2, cache_tokens=142)
    assert plan_steps(prompts, [1, 1, 1], 8).rows == 3


def test_without_texts_there_are_no_steps() -> None:
    assert plan_steps([("law", [1])], [], 8) is None


def test_a_cache_holds_keys_and_values_of_all_layers_and_rows() -> None:
    config = SimpleNamespace(
        hidden_size=64, num_attention_heads=4, num_key_value_heads=2, num_hidden_layers=3
    )
    # 2 x 3 layers x 2 heads x 16 values x 2 bytes = 384 bytes a token.
    assert cache_bytes(config, Steps(1, 8, 100), itemsize=2) == 384 * 800
