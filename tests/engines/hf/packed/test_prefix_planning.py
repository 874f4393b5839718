import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.common.token_rows import Row
from engines.hf.packed.prefix_planning import MIN_PREFIX_TOKENS, Pack, plan


def _row(*ids: int, read: int = 1) -> Row:
    return Row(tuple(ids), len(ids) - read)


def _row_of(ids: list[int]) -> Row:
    return _row(*ids)


def _fed_tokens(packs: list[Pack]) -> int:
    return sum(pack.tokens for pack in packs)


SHOTS = list(range(100, 150))


def test_a_prefix_of_many_rows_is_fed_once():
    rows = [_row_of([*SHOTS, question, 7]) for question in range(5)]
    (pack,) = plan(rows, max_rows=8, max_tokens=1000)
    assert pack.tokens == 50 + 5 * 2
    assert [segment.parent for segment in pack.segments] == [None, 0, 0, 0, 0, 0]
    assert pack.segments[0].ids == tuple(SHOTS)
    assert pack.keep == frozenset()


def test_a_prefix_is_kept_as_long_as_rows_build_on_it():
    rows = [_row_of([*SHOTS, question, 7]) for question in range(5)]
    packs = list(plan(rows, max_rows=2, max_tokens=1000))
    assert [len(pack.rows) for pack in packs] == [2, 2, 1]
    assert [pack.keep for pack in packs] == [{0}, {0}, frozenset()]
    assert _fed_tokens(packs) == 60


def test_prefixes_within_prefixes_are_shared_too():
    header, first, second = list(range(20)), list(range(50, 80)), list(range(80, 110))
    rows = [_row_of([*header, *body, question]) for body in (first, second) for question in (1, 2, 3)]
    packs = list(plan(rows, max_rows=8, max_tokens=1000))
    assert _fed_tokens(packs) == 20 + 30 + 30 + 6
    assert [segment.start for segment in packs[0].segments] == [0, 20, 50, 50, 50, 20, 50, 50, 50]


def test_a_short_common_beginning_is_not_worth_an_attention_call():
    rows = [_row_of([*range(MIN_PREFIX_TOKENS - 1), question, 7]) for question in range(100, 120)]
    assert all(
        segment.parent is None
        for pack in plan(rows, max_rows=64, max_tokens=9999)
        for segment in pack.segments
    )


def test_a_prefix_of_two_rows_that_saves_little_is_fed_twice():
    twenty = list(range(20))
    (pack,) = plan([_row_of([*twenty, 1]), _row_of([*twenty, 2])], max_rows=8, max_tokens=1000)
    assert pack.tokens == 42


def test_equal_rows_share_all_but_what_is_read():
    rows = [_row_of(SHOTS)] * 3
    (pack,) = plan(rows, max_rows=8, max_tokens=1000)
    assert pack.tokens == 49 + 3


def test_positions_that_are_read_are_never_shared():
    # The choices of a question: the same prompt, of which the last position is read, and what follows.
    rows = [_row(*SHOTS, 1, 2, read=3), _row(*SHOTS, 1, 3, read=3)]
    (pack,) = plan(rows, max_rows=8, max_tokens=1000)
    assert pack.segments[0].ids == tuple(SHOTS[:-1])
    assert [len(segment.ids) for segment in pack.segments[1:]] == [3, 3]


def test_a_row_too_long_for_one_pass_is_fed_in_pieces():
    packs = list(plan([_row_of(list(range(25)))], max_rows=8, max_tokens=10))
    assert [pack.tokens for pack in packs] == [10, 10, 5]
    assert [pack.rows for pack in packs] == [(), (), (0,)]
    assert [pack.keep for pack in packs] == [{0}, {0, 1}, frozenset()]


def test_positions_that_are_read_stay_in_one_piece():
    packs = list(plan([_row(*range(25), read=12)], max_rows=8, max_tokens=10))
    assert [pack.tokens for pack in packs] == [10, 3, 12]


def test_no_rows_need_no_pack():
    assert list(plan([], max_rows=8, max_tokens=10)) == []


@st.composite
def _many_rows(draw):
    """Rows over two tokens that begin with one of three stems: they share much and in every way."""
    token = st.integers(0, 1)
    stems = draw(st.lists(st.lists(token, max_size=60), min_size=1, max_size=3))
    rows = []
    for _ in range(draw(st.integers(1, 12))):
        stem = draw(st.sampled_from(stems))
        ids = [*stem[: draw(st.integers(0, 60))], *draw(st.lists(token, min_size=1, max_size=20))]
        rows.append(Row(tuple(ids), draw(st.integers(max(0, len(ids) - 6), len(ids) - 1))))
    return rows


@given(_many_rows(), st.integers(1, 6), st.sampled_from([6, 20, 64, 1000]))
def test_every_row_is_fed_whole_and_once_from_what_is_there(rows, max_rows, max_tokens):
    whole: dict[int, tuple[int, ...]] = {}
    held: set[int] = set()
    ended: list[int] = []
    for pack in plan(rows, max_rows=max_rows, max_tokens=max_tokens):
        assert len(pack.rows) <= max_rows
        assert pack.tokens <= max_tokens
        here: set[int] = set()
        for segment in pack.segments:
            before = () if segment.parent is None else whole[segment.parent]
            assert segment.parent is None or segment.parent in held | here
            assert segment.start == len(before)
            whole[segment.node] = before + segment.ids
            here.add(segment.node)
            if segment.row is not None:
                row = rows[segment.row]
                assert whole[segment.node] == row.ids
                assert len(segment.ids) >= len(row.ids) - row.read_from
                ended.append(segment.row)
        assert pack.keep <= held | here
        held = set(pack.keep)
    assert sorted(ended) == list(range(len(rows)))
    assert not held


@given(_many_rows())
def test_sharing_never_feeds_more_than_the_rows(rows):
    fed = _fed_tokens(list(plan(rows, max_rows=4, max_tokens=1000)))
    assert fed <= sum(len(row.ids) for row in rows)


@given(_many_rows(), st.integers(1, 6), st.integers(1, 6))
def test_what_is_shared_does_not_depend_on_the_batch_size(rows, one, other):
    first, second = (
        sorted(
            segment.ids for pack in plan(rows, max_rows=size, max_tokens=9999) for segment in pack.segments
        )
        for size in (one, other)
    )
    assert first == second


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_the_rows_does_not_matter(order):
    rows = [_row_of([*SHOTS, question, 7]) for question in range(5)][::order]
    (pack,) = plan(rows, max_rows=8, max_tokens=1000)
    assert pack.tokens == 60
