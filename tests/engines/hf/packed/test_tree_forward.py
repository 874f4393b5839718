"""Packed forward passes of every family against the plainest one: `model(ids)` of each row alone."""

import random

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from windowed_model import windowed_model

from engines.common.token_rows import Row
from engines.hf.answering.rows import PaddedRows
from engines.hf.packed.logits import LogitsAt
from engines.hf.packed.packed import MIN_PACK_TOKENS, PackedRows, pack_tokens
from engines.hf.packed.prefix_planning import plan
from engines.hf.packed.rows_in_flight import RowsInFlight
from engines.hf.packed.tree_forward import TreeForward, UnsupportedAttention

FAMILIES = ("gpt2", "gpt_neox", "gemma", "llama", "qwen2", "internlm2")
TOLERANCE = 1e-5


class Scarce(TreeForward):
    """A tree forward on a device with room for `room` tokens a pass."""

    room = 10_000
    fed: list[int]

    def feed(self, pack, rows):
        if pack.tokens > self.room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.fed.append(pack.tokens)
        return super().feed(pack, rows)


@pytest.fixture(scope="module", params=FAMILIES)
def model(request, demo_model):
    return AutoModelForCausalLM.from_pretrained(
        demo_model(request.param), trust_remote_code=request.param == "internlm2"
    ).eval()


def _rows(vocabulary: int = 1400) -> list[Row]:
    draw = random.Random(7)
    shots = tuple(draw.randrange(10, vocabulary) for _ in range(90))
    other = shots[:60] + tuple(draw.randrange(10, vocabulary) for _ in range(40))
    rows = []
    for _ in range(14):
        stem = draw.choice([shots, other, shots[:5]])
        ids = stem + tuple(draw.randrange(10, vocabulary) for _ in range(draw.randint(3, 30)))
        rows.append(Row(ids, len(ids) - draw.randint(1, 3)))
    return rows


def _plainly(model, row: Row) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.tensor([row.ids])).logits[0, row.read_from :].log_softmax(-1)


def _worst(model, rows, feed) -> float:
    worst = 0.0
    seen = set()
    for index, logits in feed:
        worst = max(worst, float((logits.log_softmax(-1) - _plainly(model, rows[index])).abs().max()))
        seen.add(index)
    assert seen == set(range(len(rows)))
    return worst


@pytest.mark.parametrize(("max_rows", "max_tokens"), [(8, 10_000), (3, 48), (1, 500)])
def test_packed_log_probabilities_equal_a_plain_forward(model, max_rows, max_tokens):
    rows, forward = _rows(), TreeForward(model, "cpu")
    feed = (
        item
        for pack in plan(rows, max_rows=max_rows, max_tokens=max_tokens)
        for item in forward.feed(pack, rows).items()
    )
    assert _worst(model, rows, feed) < TOLERANCE


@pytest.mark.parametrize("together", [2, 3, 100])
def test_packs_fed_at_once_say_what_a_plain_forward_says(model, together):
    rows, forward = _rows(), TreeForward(model, "cpu")
    packs = list(plan(rows, max_rows=3, max_tokens=48))
    feed = (
        item
        for begin in range(0, len(packs), together)
        for item in forward.feed_at_once(packs[begin : begin + together], rows).items()
    )
    assert _worst(model, rows, feed) < TOLERANCE
    assert forward._held == {}


def test_packs_fed_at_once_look_up_what_earlier_ones_have_held(model, monkeypatch):
    rows, forward = _rows(), TreeForward(model, "cpu")
    packs = list(plan(rows, max_rows=3, max_tokens=10_000))
    assert packs[0].keep
    looked_up = set()
    right = TreeForward._keys_values_of

    def watched(self, look, *given):
        if look.place is None:
            looked_up.add(look.node)
        return right(self, look, *given)

    monkeypatch.setattr(TreeForward, "_keys_values_of", watched)
    forward.feed_at_once(packs, rows)
    alone = set(looked_up)
    looked_up.clear()
    for pack in packs:
        forward.feed(pack, rows)
    assert alone == looked_up != set()


def test_nothing_is_held_once_all_rows_are_fed(model):
    rows, forward = _rows(), TreeForward(model, "cpu")
    for pack in plan(rows, max_rows=2, max_tokens=1000):
        forward.feed(pack, rows)
    assert forward._held == {}


def test_the_model_is_left_as_it_was(model):
    before = model.config._attn_implementation
    rows, forward = _rows(), TreeForward(model, "cpu")
    for pack in plan(rows, max_rows=8, max_tokens=1000):
        forward.feed(pack, rows)
    assert model.config._attn_implementation == before


def test_keys_and_values_of_a_row_are_those_of_a_plain_forward(model):
    rows, forward = _rows(), TreeForward(model, "cpu")
    pack = next(iter(plan(rows, max_rows=8, max_tokens=10_000)))
    forward.feed_beside((pack,), rows, RowsInFlight(8, "cpu"))
    for row in pack.rows:
        with torch.inference_mode():
            cache = model(torch.tensor([rows[row].ids]), use_cache=True).past_key_values
        chain = forward.chain(pack, row)
        ends = [part.start + part.tokens for part in chain]
        assert [part.start for part in chain] == [0, *ends[:-1]]
        for layer in chain[0].keys_values:
            keys, values = (
                torch.cat([part.keys_values[layer][each] for part in chain], dim=2) for each in (0, 1)
            )
            torch.testing.assert_close(keys, cache.layers[layer].keys, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(values, cache.layers[layer].values, atol=1e-5, rtol=1e-4)


def test_a_sliding_window_is_kept_to():
    model = windowed_model()
    rows, forward = _rows(190), TreeForward(model, "cpu")
    feed = (i for pack in plan(rows, max_rows=4, max_tokens=70) for i in forward.feed(pack, rows).items())
    assert _worst(model, rows, feed) < TOLERANCE


def test_a_model_without_logits_to_keep_computes_only_the_logits_that_are_read(demo_model):
    model = AutoModelForCausalLM.from_pretrained(demo_model("llama")).eval()
    whole = model(torch.tensor([[5, 6, 7, 8]])).logits[0]
    sizes = []
    model.lm_head.register_forward_hook(lambda _, inputs, __: sizes.append(inputs[0].shape[1]))
    chosen = LogitsAt(model)
    chosen._takes_positions = False
    with torch.inference_mode():
        logits = chosen([1, 3], input_ids=torch.tensor([[5, 6, 7, 8]]))
    torch.testing.assert_close(logits, whole[[1, 3]].detach(), atol=1e-5, rtol=1e-5)
    assert sizes == [2]


def test_attention_that_cannot_be_taken_apart_is_refused(demo_model):
    model = AutoModelForCausalLM.from_pretrained(demo_model("llama")).eval()
    forward = TreeForward(model, "cpu")
    with pytest.raises(UnsupportedAttention, match="softcap"):
        forward._attention(
            model.model.layers[0].self_attn, *[torch.zeros(1, 4, 2, 16)] * 3, None, softcap=30.0
        )


@pytest.fixture
def scarce(demo_model):
    model = AutoModelForCausalLM.from_pretrained(demo_model("llama")).eval()
    forward = Scarce(model, "cpu")
    forward.fed = []
    return PackedRows(forward, "cpu", max_tokens=10_000), forward, model


def test_a_pack_that_does_not_fit_is_fed_in_halves_with_the_same_result(scarce):
    feeder, forward, model = scarce
    forward.room = 260
    rows = _rows()
    fed = list(feeder.feed(rows, max_rows=14))
    items = [item for each in fed for item in zip(each.rows, each.logits, strict=True)]
    assert _worst(model, rows, items) < TOLERANCE
    assert feeder.split_batches > 0
    assert max(forward.fed) <= 260


def test_a_long_row_that_does_not_fit_is_fed_in_pieces(scarce):
    feeder, forward, model = scarce
    forward.room = MIN_PACK_TOKENS
    rows = [Row(tuple(i % 1000 + 5 for i in range(1500)), 1499)]
    ((fed,),) = [list(feeder.feed(rows, max_rows=8))]
    assert _worst(model, rows, [(0, fed.logits[0])]) < TOLERANCE


def test_a_row_that_never_fits_fails_alone_and_says_why(scarce):
    feeder, forward, _ = scarce
    forward.room = 40
    rows = [Row(tuple(range(10, 200)), 189), Row((5, 6, 7), 2)]
    fed = list(feeder.feed(rows, max_rows=8))
    errors = {row: each.error for each in fed for row in each.rows}
    assert errors[1] is None
    assert errors[0].startswith("out of memory with 190 tokens")


def test_another_failure_is_not_taken_for_memory(scarce, monkeypatch):
    feeder, forward, _ = scarce
    monkeypatch.setattr(forward, "feed", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(feeder.feed(_rows(), max_rows=8))


def test_what_is_computed_and_reused_is_counted(scarce):
    feeder, _, _ = scarce
    shots = tuple(range(10, 60))
    list(feeder.feed([Row((*shots, question, 7), 51) for question in range(100, 104)], max_rows=2))
    assert feeder.computed_tokens == 50 + 4 * 2
    assert feeder.reused_tokens == 4 * 52 - 58


def test_tokens_of_a_pass_follow_the_memory_for_activations():
    config = LlamaConfig(hidden_size=4096, intermediate_size=11008)
    # 4 bytes x (8 x 4096 + 3 x 11008) = 263 168 a token.
    assert pack_tokens(config, 4, 1 << 30) == (1 << 30) // 263_168
    assert pack_tokens(config, 4, 1) == MIN_PACK_TOKENS


def test_padded_rows_are_halved_too(demo_model):
    from engines.hf.model.forward import Forward

    model = LlamaForCausalLM.from_pretrained(demo_model("llama")).eval()

    class Small(Forward):
        def last_logits(self, rows, counts):
            if len(rows) > 3:
                raise RuntimeError("NPU out of memory. Tried to allocate 2.00 GiB")
            return super().last_logits(rows, counts)

    rows = _rows()
    feeder = PaddedRows(Small(model, "cpu", 0))
    items = [item for fed in feeder.feed(rows, max_rows=8) for item in zip(fed.rows, fed.logits, strict=True)]
    assert _worst(model, rows, items) < TOLERANCE
    # 14 rows: 8 and 6, then fours and threes, then twos.
    assert feeder.split_batches == 4


def test_after_its_attention_the_last_layer_computes_only_what_is_read(model):
    from engines.hf.packed.last_layer import _last_layer, _matrices

    rows, forward = _rows(), TreeForward(model, "cpu")
    (pack,) = plan(rows, max_rows=99, max_tokens=10_000)
    sizes = []
    hooks = [
        module.register_forward_hook(lambda _, inputs, __: sizes.append(inputs[0].shape[-2]))
        for module in _matrices(_last_layer(model))
    ]
    feed = forward.feed(pack, rows).items()
    for hook in hooks:
        hook.remove()
    read = sum(len(row.ids) - row.read_from for row in rows)
    assert set(sizes) == {pack.tokens, read}
    assert sizes.count(read) >= 3
    assert _worst(model, rows, feed) < TOLERANCE


def test_no_hook_is_left_behind(model):
    rows, forward = _rows(), TreeForward(model, "cpu")
    for pack in plan(rows, max_rows=8, max_tokens=1000):
        forward.feed(pack, rows)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_rows_kept_for_generation_are_dropped_with_the_next_pack(demo_model):
    model = AutoModelForCausalLM.from_pretrained(demo_model("llama")).eval()
    rows, forward = _rows(), TreeForward(model, "cpu")
    needed: frozenset[int] = frozenset()
    packs = list(plan(rows, max_rows=2, max_tokens=1000))
    assert len(packs) == 7
    for pack in packs:
        forward.feed_beside((pack,), rows, RowsInFlight(8, "cpu"))
        assert set(forward._held) <= needed | {segment.node for segment in pack.segments}
        needed = pack.keep


def test_nothing_is_held_when_all_rows_are_fed(scarce):
    feeder, forward, _ = scarce
    list(feeder.feed(_rows(), max_rows=3))
    assert forward._held == {}
