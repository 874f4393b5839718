from hypothesis import given
from hypothesis import strategies as st

from engines.common.encoding import Encoded
from engines.common.replicas import highest, shares, usage_together
from modeltest.api import EngineUsage, Request, TokenPrompt


def _encoded(*prompts: tuple[int, ...]) -> list[Encoded]:
    return [Encoded(Request(str(i), TokenPrompt(ids)), ids) for i, ids in enumerate(prompts)]


def _ids(shared: list[list[Encoded]]) -> list[list[str]]:
    return [[one.request.id for one in share] for share in shared]


def test_questions_of_one_length_are_halved():
    assert _ids(shares(_encoded((1, 1), (2, 2), (3, 3), (4, 4)), 2)) == [["0", "1"], ["2", "3"]]


def test_a_group_with_a_common_prefix_stays_whole():
    first, second = (1,) * 20, (2,) * 20
    prompts = [(*first, 7), (*second, 7), (*first, 8), (*second, 8), (*first, 9)]
    assert _ids(shares(_encoded(*prompts), 2)) == [["0", "2", "4"], ["1", "3"]]


def test_a_prefix_of_all_is_computed_twice_rather_than_by_one_alone():
    prompts = [((1,) * 8) + (number,) * 20 for number in range(10, 20)]
    assert [len(share) for share in shares(_encoded(*prompts), 2)] == [5, 5]


def test_a_long_question_weighs_as_much_as_many_short_ones():
    prompts = [(9,) * 90, *((number,) * 10 for number in range(1, 9))]
    assert _ids(shares(_encoded(*prompts), 2)) == [["1", "2", "3", "4", "5", "6", "7", "8"], ["0"]]


def test_fewer_questions_than_replicas_leave_some_without_work():
    shared = shares(_encoded((1, 2)), 3)
    assert sorted(map(len, shared)) == [0, 0, 1]


@given(
    st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=12).map(tuple), min_size=1, max_size=30),
    st.integers(1, 5),
)
def test_every_question_is_in_exactly_one_share(prompts, count):
    shared = shares(_encoded(*prompts), count)
    assert len(shared) == count
    assert sorted(name for share in _ids(shared) for name in share) == sorted(map(str, range(len(prompts))))


def test_replicas_computed_together_what_each_did_and_needed_what_the_one_did_that_needed_most():
    one = EngineUsage(forward_s=2.0, forward_calls=3, computed_tokens=10, peak_memory_bytes=5)
    two = EngineUsage(forward_s=1.5, forward_calls=4, computed_tokens=None, peak_memory_bytes=7)
    found = usage_together([one, two], [one, two])
    assert (found.forward_s, found.forward_calls, found.computed_tokens) == (2.0, 7, None)
    assert found.peak_memory_bytes == 7


def test_the_highest_peak_is_unknown_where_one_is():
    assert highest([3, 8, 5]) == 8
    assert highest([3, None]) is None
