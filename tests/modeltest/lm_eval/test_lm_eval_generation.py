import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeltest.api import SpecError
from modeltest.lm_eval.generation import DEFAULT_NEW_TOKENS, GenerationOptions, read_generation_options


def test_what_tasks_usually_say():
    given = {"until": ["\n\n", "Question:"], "do_sample": False, "temperature": 0.0, "max_gen_toks": 64}
    assert read_generation_options(given) == GenerationOptions(64, ("\n\n", "Question:"))


def test_nothing_said_is_its_own_default():
    assert read_generation_options({}) == GenerationOptions(DEFAULT_NEW_TOKENS, ())


@pytest.mark.parametrize("name", ["max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens"])
def test_the_limit_has_four_names(name):
    assert read_generation_options({name: 7}).max_new_tokens == 7


def test_max_gen_toks_counts_when_two_limits_are_given():
    assert read_generation_options({"max_tokens": 9, "max_gen_toks": 7}).max_new_tokens == 7


@pytest.mark.parametrize(
    ("until", "stop"), [("\n", ("\n",)), (["\n", ""], ("\n",)), ("", ()), ([], ()), (None, ())]
)
def test_stop_texts_are_one_or_many_and_never_empty(until, stop):
    assert read_generation_options({"until": until}).stop == stop


@pytest.mark.parametrize(
    "given",
    [
        {"do_sample": True},
        {"do_sample": True, "temperature": 0.7},
        {"temperature": 0.7},
        {"temperature": "1"},
    ],
)
def test_sampling_is_refused(given):
    with pytest.raises(SpecError, match="--gen-kwargs do_sample=False"):
        read_generation_options(given)


@pytest.mark.parametrize(
    "given",
    [
        {"do_sample": False, "temperature": 0.7},
        {"do_sample": False, "top_p": 0.95, "top_k": 5},
        {"num_beams": 1},
        {"repetition_penalty": 1.0},
    ],
)
def test_options_without_effect_on_greedy_decoding_are_passed_over(given):
    assert read_generation_options(given).max_new_tokens == DEFAULT_NEW_TOKENS


@pytest.mark.parametrize("given", [{"num_beams": 10}, {"repetition_penalty": 1.2}, {"max_length": 20}])
def test_options_that_would_change_the_text_are_refused_by_name(given):
    (name,) = given
    with pytest.raises(SpecError, match=f"generation option {name}=.* until, do_sample=False"):
        read_generation_options(given)


@given(st.dictionaries(st.sampled_from(["until", "max_gen_toks", "top_p"]), st.none()))
def test_what_is_given_is_not_changed(given):
    before = dict(given)
    read_generation_options({name: value for name, value in given.items() if name != "top_p"})
    assert given == before
