import pytest
import torch

from engines.hf.packed import partial_attention
from engines.hf.packed.partial_attention import Accumulator, attend

SCALE = 0.25


def _tensors(queries: int, keys: int, heads: int = 4, key_heads: int = 2, width: int = 8):
    torch.manual_seed(queries * 100 + keys)
    return (
        torch.randn(1, heads, queries, width),
        torch.randn(1, key_heads, keys, width),
        torch.randn(1, key_heads, keys, width),
    )


def _by_hand(query, key, value, mask=None):
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = query @ key.transpose(-1, -2) * SCALE
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1) @ value, scores.logsumexp(-1)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("fused", [True, False])
def test_attention_and_log_sum_exp_are_those_of_the_formula(causal, fused):
    query, key, value = _tensors(6, 6)
    own = torch.ones(6, 6, dtype=torch.bool).tril()
    plain_mask = None if fused else torch.ones(6, 6, dtype=torch.bool)
    output, log_sum_exp = attend(query, key, value, scale=SCALE, mask=plain_mask, causal=causal)
    expected = _by_hand(query, key, value, own if causal else None)
    torch.testing.assert_close(output, expected[0], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(log_sum_exp, expected[1], atol=1e-6, rtol=1e-5)


def test_many_queries_are_attended_in_chunks(monkeypatch):
    monkeypatch.setattr(partial_attention, "_CHUNK_QUERIES", 4)
    query, key, value = _tensors(11, 7)
    mask = torch.rand(11, 7) > 0.3
    mask[:, 0] = True
    output, _ = attend(query, key, value, scale=SCALE, mask=mask)
    torch.testing.assert_close(output, _by_hand(query, key, value, mask)[0], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("parts", [[5], [3, 2], [1, 1, 3]])
def test_parts_merge_to_the_whole(parts):
    query, key, value = _tensors(4, 5)
    merged = Accumulator(torch.empty(1, 4, 4, 8), torch.empty(1, 4, 4))
    begin = 0
    for size in parts:
        part = slice(begin, begin + size)
        attended = attend(query, key[:, :, part], value[:, :, part], scale=SCALE)
        merged.add(slice(0, 4), *attended, is_first=begin == 0)
        begin += size
    torch.testing.assert_close(merged.output, _by_hand(query, key, value)[0], atol=1e-6, rtol=1e-5)


def test_a_part_that_may_not_be_looked_at_changes_nothing():
    query, key, value = _tensors(3, 4)
    merged = Accumulator(torch.empty(1, 4, 3, 8), torch.empty(1, 4, 3))
    merged.add(slice(0, 3), *attend(query, key, value, scale=SCALE), is_first=True)
    before = merged.output.clone()
    nothing = torch.zeros(3, 4, dtype=torch.bool)
    merged.add(slice(0, 3), *attend(query, key, value, scale=SCALE, mask=nothing), is_first=False)
    torch.testing.assert_close(merged.output, before)
    assert not merged.output.isnan().any()


def test_only_the_queries_named_are_merged():
    query, key, value = _tensors(4, 5)
    merged = Accumulator(torch.empty(1, 4, 4, 8), torch.empty(1, 4, 4))
    merged.add(slice(0, 4), *attend(query, key, value, scale=SCALE), is_first=True)
    before = merged.output.clone()
    some = slice(1, 3)
    merged.add(some, *attend(query[:, :, some], key, value, scale=SCALE), is_first=False)
    torch.testing.assert_close(merged.output, before)  # the same keys twice: the same mean
    torch.testing.assert_close(merged.log_sum_exp[:, :, 0], _by_hand(query, key, value)[1][:, :, 0])
