import pytest
from hypothesis import given
from hypothesis import strategies as st
from played_engine import engine_info

from modeltest.api import Case, EngineError, Request, SpecError, TokenPrompt
from modeltest.tasks.inputs import ordinary_token_ids, random_requests

_IDS = tuple(range(10, 500))


def _rows(requests: tuple[Request, ...]) -> list[tuple[int, ...]]:
    return [request.prompt.ids for request in requests if isinstance(request.prompt, TokenPrompt)]


def test_special_and_impossible_ids_are_left_out() -> None:
    assert ordinary_token_ids(engine_info(vocabulary_size=6, special=(0, 2, 99))) == (1, 3, 4, 5)


def test_a_vocabulary_of_special_tokens_only_is_an_engine_error() -> None:
    with pytest.raises(EngineError, match="vocabulary of 2 tokens, all special"):
        ordinary_token_ids(engine_info(vocabulary_size=2, special=(0, 1)))


def test_requests_ask_for_exactly_the_case() -> None:
    requests = random_requests(Case(7, 5), 3, 4, seed=1, token_ids=_IDS)
    assert [request.id for request in requests] == ["7x5/b3/t4/r0", "7x5/b3/t4/r1", "7x5/b3/t4/r2"]
    assert [len(row) for row in _rows(requests)] == [7, 7, 7]
    assert {request.max_new_tokens for request in requests} == {5}
    assert all(request.ignore_eos for request in requests)


def test_equal_seeds_give_equal_prompts_on_every_machine() -> None:
    # The numbers pin the algorithm: a change makes runs incomparable with earlier ones of the same seed.
    requests = random_requests(Case(4, 2), 2, 0, seed=0, token_ids=_IDS)
    assert _rows(requests) == _rows(random_requests(Case(4, 2), 2, 0, seed=0, token_ids=_IDS))
    assert _rows(requests) == [(475, 51, 444, 254), (142, 397, 230, 199)]


@pytest.mark.parametrize(
    ("case", "batch_size", "trial", "seed"),
    [
        (Case(9, 2), 2, 0, 0),
        (Case(8, 3), 2, 0, 0),
        (Case(8, 2), 3, 0, 0),
        (Case(8, 2), 2, 1, 0),
        (Case(8, 2), 2, 0, 1),
    ],
    ids=["input", "output", "batch", "trial", "seed"],
)
def test_whatever_changes_the_prompts_change(case: Case, batch_size: int, trial: int, seed: int) -> None:
    first = _rows(random_requests(Case(8, 2), 2, 0, seed=0, token_ids=_IDS))
    other = _rows(random_requests(case, batch_size, trial, seed=seed, token_ids=_IDS))
    assert not {row[:8] for row in first} & {row[:8] for row in other}


@given(st.integers(1, 4), st.integers(1, 16), st.integers(0, 2**64))
def test_rows_are_distinct_and_of_allowed_ids(input_tokens: int, batch_size: int, seed: int) -> None:
    allowed = tuple(range(3, 19))
    rows = _rows(random_requests(Case(input_tokens, 2), batch_size, 0, seed=seed, token_ids=allowed))
    assert len(set(rows)) == batch_size
    assert {token for row in rows for token in row} <= set(allowed)


def test_more_rows_than_there_are_prompts_is_a_spec_error() -> None:
    with pytest.raises(SpecError, match=r"3 token ids make 9 distinct prompts of 2 tokens.*batch size 10"):
        random_requests(Case(2, 2), 10, 0, seed=0, token_ids=(1, 2, 3))
