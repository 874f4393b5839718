from hypothesis import given
from hypothesis import strategies as st
from lm_eval_comparison.unique_tokens import concatenate, find_unique_tokens, shared_length

TOKENS = st.lists(st.integers(0, 2), max_size=8)
PROMPTS = st.lists(st.tuples(st.sampled_from("ab"), TOKENS), max_size=12)


def test_a_shared_prefix_counts_once_and_each_question_its_own() -> None:
    unique = find_unique_tokens([("law", [1, 2, 3, 4]), ("law", [1, 2, 5]), ("law", [1, 2, 6, 7])])
    assert unique.prefixes == ((1, 2),)
    assert unique.own == ((3, 4), (5,), (6, 7))
    assert unique.contexts == (2, 2, 2)
    assert (unique.prompt_tokens, unique.count) == (11, 7)


def test_questions_that_share_more_than_the_others_do_count_it_once() -> None:
    unique = find_unique_tokens([("law", [1, 9]), ("law", [1, 2, 3, 4]), ("law", [1, 2, 3, 5])])
    assert unique.prefixes == ((1,),)
    assert sorted(zip(unique.own, unique.contexts, strict=True)) == [((2, 3, 4), 1), ((5,), 3), ((9,), 1)]


def test_subjects_share_nothing() -> None:
    unique = find_unique_tokens([("law", [1, 2]), ("logic", [1, 2])])
    assert unique.prefixes == ()
    assert unique.own == ((1, 2), (1, 2))


def test_a_question_asked_twice_adds_nothing() -> None:
    unique = find_unique_tokens([("law", [1, 2]), ("law", [1, 2])])
    assert (unique.prefixes, unique.own, unique.count) == (((1, 2),), (), 2)


@given(PROMPTS)
def test_the_count_is_that_of_the_nodes_of_each_subjects_prefix_tree(
    prompts: list[tuple[str, list[int]]],
) -> None:
    nodes = {
        (subject, tuple(tokens[:length]))
        for subject, tokens in prompts
        for length in range(1, len(tokens) + 1)
    }
    unique = find_unique_tokens(prompts)
    assert unique.count == len(nodes)
    assert unique.prompt_tokens == sum(len(tokens) for _, tokens in prompts)


@given(TOKENS, TOKENS)
def test_the_shared_length_is_the_longest_equal_beginning(one: list[int], other: list[int]) -> None:
    length = shared_length(one, other)
    assert one[:length] == other[:length]
    assert one[: length + 1] != other[: length + 1] or length == len(one) == len(other)


def test_pieces_are_joined_without_padding() -> None:
    assert concatenate([(1,), (2, 3), (4,)], 2) == [(1, 2, 3), (4,)]
    assert concatenate([], 2) == []
