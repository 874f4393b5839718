"""Attention of rows in a step against the same rows one at a time, with every mask written out."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.hf.paged.sequence_attention import RowLengths, attend_rows, left_padded

HEADS, KEY_HEADS, WIDTH, SCALE = 4, 2, 8, 0.3


def _plain(query, key, value, window):
    """One row: `[heads, queries, width]` over its keys."""
    key, value = (each.repeat_interleave(HEADS // KEY_HEADS, dim=0) for each in (key, value))
    scores = query @ key.transpose(1, 2) * SCALE
    queries, keys = scores.shape[1:]
    for at in range(queries):
        own = keys - queries + at
        for other in range(keys):
            if other > own or (window is not None and own - other >= window):
                scores[:, at, other] = float("-inf")
    return (scores.softmax(-1) @ value).transpose(0, 1)


def _rows(lengths):
    return [
        tuple(
            torch.randn(heads, tokens, WIDTH)
            for heads, tokens in ((HEADS, q), (KEY_HEADS, k), (KEY_HEADS, k))
        )
        for q, k in lengths
    ]


def _padded(rows, lengths):
    """Lay the rows' keys out as the paged cache is read: through padded indices where all rows decode."""
    key, value = (torch.cat([row[part] for row in rows], dim=1) for part in (1, 2))
    if lengths.is_decoding and not lengths.is_even:
        index = left_padded(torch.arange(key.shape[1]), lengths, 0)
        key, value = key[:, index], value[:, index]
    return torch.cat([row[0] for row in rows], dim=1)[None], key[None], value[None]


lengths_of_rows = st.one_of(
    st.lists(st.integers(1, 12).map(lambda keys: (1, keys)), min_size=1, max_size=4),
    st.lists(
        st.integers(1, 6).flatmap(lambda q: st.tuples(st.just(q), st.integers(q, 12))), min_size=1, max_size=4
    ),
    st.tuples(st.integers(1, 6), st.integers(1, 4)).map(lambda pair: [(pair[0], pair[0])] * pair[1]),
)


@settings(max_examples=60)
@given(lengths_of_rows, st.one_of(st.none(), st.integers(1, 12)))
def test_rows_attend_to_their_own_keys_only(pairs, window):
    torch.manual_seed(0)
    rows = _rows(pairs)
    lengths = RowLengths(tuple(q for q, _ in pairs), tuple(k for _, k in pairs))
    together = attend_rows(*_padded(rows, lengths), lengths, scale=SCALE, window=window)
    expected = torch.cat([_plain(*row, window) for row in rows])
    assert together.shape == (1, sum(lengths.queries), HEADS, WIDTH)
    torch.testing.assert_close(together[0], expected, atol=1e-5, rtol=1e-5)


def test_rows_are_filled_up_on_the_left():
    lengths = RowLengths((1, 1, 1), (3, 1, 2))
    assert left_padded(torch.tensor([5, 6, 7, 8, 3, 4]), lengths, 0).tolist() == [5, 6, 7, 0, 0, 8, 0, 3, 4]


def test_rows_of_one_length_need_no_mask():
    assert RowLengths((1, 1), (4, 4)).decoding_mask(None, "cpu") is None
    assert RowLengths((1, 1), (4, 4)).decoding_mask(9, "cpu") is None


def test_a_decoding_mask_hides_padding_and_what_has_left_the_window():
    mask = RowLengths((1, 1), (4, 2)).decoding_mask(3, "cpu")
    assert mask[:, 0, 0].tolist() == [[False, True, True, True], [False, False, True, True]]


@pytest.mark.parametrize(("queries", "even"), [((1, 1), True), ((2, 2), True), ((2, 1), False)])
def test_evenness_is_of_all_rows(queries, even):
    assert RowLengths(queries, (3, 3)).is_even is even
