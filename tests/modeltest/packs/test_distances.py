import pytest
from made_packs import answer_to, letters, made_pack, moved, right, text, told

from modeltest.packs.distances import distances

A, B = letters(0), letters(1)


def test_shifts_and_flips_of_a_twin():
    one = text(0, tokens=2)
    twin = {
        A.id: moved(right(A), 0.25),
        B.id: answer_to(B, 3),  # right is the second: two of four log-probabilities are one nat away
        one.id: told(one, -2.5),
    }
    (found,) = distances(made_pack([A, B], [one], twins={"t": twin}))
    assert (found.questions, found.flips, found.widest_flip) == (2, 1, 1.0)
    assert found.mean_shift == pytest.approx((4 * 0.25 + 2 * 1.0) / 8)
    assert found.signed_shift == pytest.approx(0.125)
    assert (found.texts, found.tokens) == (1, 2)
    assert (found.mean_token_shift, found.signed_token_shift) == (0.5, -0.5)


def test_what_was_not_answered_has_no_shift():
    (found,) = distances(made_pack([A], [text(0)], twins={"t": {}}))
    assert (found.questions, found.flips, found.widest_flip, found.mean_shift) == (0, 0, None, None)
    assert (found.texts, found.tokens, found.mean_token_shift) == (0, 0, None)


def test_directions_are_told_too():
    assert [found.computation.name for found in distances(made_pack())] == ["bf16-batch-1", "scale"]
