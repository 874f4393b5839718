from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import Completion, TextPrompt, TokenPrompt
from modeltest.lm_eval.grouping import Likelihood, Pair, asked_alone, group, likelihoods, token_pair


def text(context: str, continuation: str) -> Pair:
    return Pair(TextPrompt("", (), context), continuation)


def completed(requests, *, cut=0):
    """Answer each choice with a number made of its prompt and itself."""
    return {
        request.id: Completion(
            request.id,
            choice_tokens=tuple(tuple(range(len(choice))) for choice in request.choices),
            choice_logprobs=tuple(value_of(request.prompt, choice) for choice in request.choices),
            choice_is_greedy=tuple(len(choice) % 2 == 0 for choice in request.choices),
            cut_prompt_tokens=cut,
        )
        for request in requests
    }


def value_of(prompt, choice) -> float:
    return -float(hash((prompt, choice)) % 1000)


def test_four_continuations_of_a_context_are_one_request():
    grouped = group([text("q", letter) for letter in "ABCD"])
    (request,) = grouped.requests
    assert request.choices == ("A", "B", "C", "D")
    assert grouped.places == [("0", 0), ("0", 1), ("0", 2), ("0", 3)]


def test_contexts_keep_the_order_they_first_appear_in():
    grouped = group([text("q", "A"), text("r", "A"), text("q", "B")])
    assert [request.prompt.text for request in grouped.requests] == ["q", "r"]
    assert grouped.places == [("0", 0), ("1", 0), ("0", 1)]


def test_a_repeated_pair_is_asked_once():
    grouped = group([text("q", "A"), text("q", "A")])
    (request,) = grouped.requests
    assert request.choices == ("A",)
    assert grouped.places == [("0", 0), ("0", 0)]


def test_token_pairs_stay_apart_even_behind_the_same_token():
    grouped = group([token_pair([1], [5, 6]), token_pair([1], [7, 8]), token_pair([1], [5, 6])])
    assert [request.choices for request in grouped.requests] == [((5, 6),), ((7, 8),)]
    assert all(request.prompt == TokenPrompt((1,)) for request in grouped.requests)
    assert grouped.places == [("0", 0), ("1", 0), ("0", 0)]


@given(
    st.lists(
        st.one_of(
            st.builds(text, st.sampled_from("qrs"), st.sampled_from(["A", "B", "CC"])),
            st.builds(
                token_pair,
                st.sampled_from([(1,), (1, 2)]),
                st.lists(st.integers(0, 3), min_size=1, max_size=3),
            ),
        ),
        max_size=20,
    ),
    st.integers(0, 1),
)
def test_every_pair_gets_the_answer_to_itself(pairs, cut):
    grouped = group(pairs)
    completions = completed(grouped.requests, cut=cut)
    completions |= completed(asked_alone(grouped.requests, completions))
    assert list(likelihoods(grouped.places, completions)) == [
        Likelihood(value_of(pair.prompt, pair.continuation), len(pair.continuation) % 2 == 0)
        for pair in pairs
    ]
    assert len({request.id for request in grouped.requests}) == len(grouped.requests)


def test_choices_of_different_lengths_behind_a_cut_context_are_asked_alone():
    grouped = group([text("q", "A"), text("q", "BB")])
    alone = asked_alone(grouped.requests, completed(grouped.requests, cut=3))
    assert [(request.id, request.choices) for request in alone] == [("0/0", ("A",)), ("0/1", ("BB",))]


def test_the_answer_of_a_choice_asked_alone_counts():
    grouped = group([text("q", "A"), text("q", "BB")])
    completions = completed(grouped.requests, cut=3)
    for number, request in enumerate(asked_alone(grouped.requests, completions)):
        completions[request.id] = Completion(
            request.id, choice_logprobs=(-100.0 - number,), choice_is_greedy=(True,)
        )
    assert [one.logprob for one in likelihoods(grouped.places, completions)] == [-100.0, -101.0]


def test_nothing_is_asked_alone_where_it_would_change_nothing():
    whole = group([text("q", "A"), text("q", "BB")]).requests
    alike = group([text("q", "A"), text("q", "B")]).requests
    assert asked_alone(whole, completed(whole, cut=0)) == []
    assert asked_alone(alike, completed(alike, cut=3)) == []
    assert asked_alone(whole, {"0": Completion("0", cut_prompt_tokens=3, error="no")}) == []
