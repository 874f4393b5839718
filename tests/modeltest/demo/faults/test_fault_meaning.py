"""Faults held against the same fault made in another way: another config, mask, order or number."""

import pytest

from modeltest.demo.faults.applying import applied
from modeltest.demo.faults.kinds.heads import BLOCK_TOKENS

CLOSE = 2e-3
"""In nats: two orders of computation of these models in float32 differ by a tenth of it."""


def said(model, rows, **more):
    import torch

    with torch.inference_mode():
        return model(input_ids=rows, use_cache=False, **more).logits.log_softmax(-1)


def causal(tokens):
    import torch

    query, key = torch.arange(tokens)[:, None], torch.arange(tokens)[None, :]
    return query, key, key <= query


def with_mask(model, rows, allowed):
    """Return what the model says when a query sees what `allowed` `[queries, keys]` says."""
    import torch

    mask = torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)
    return said(model, rows, attention_mask=mask[None, None].expand(len(rows), 1, -1, -1))


def assert_like(model, rows, name, strength, other):
    import torch

    with applied(model, name, strength):
        faulty = said(model, rows)
    assert not torch.allclose(said(model, rows), other, atol=CLOSE)
    assert float((faulty - other).abs().max()) < CLOSE


@pytest.mark.parametrize("family", ["llama", "gpt_neox"])
def test_another_base_is_that_of_another_config(tiny, demo_model, rows, family):
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(demo_model(family))
    config.rope_parameters["rope_theta"] *= 0.1
    other = AutoModelForCausalLM.from_pretrained(demo_model(family), config=config).eval()
    assert_like(tiny(family), rows, "rope_base", 0.1, said(other, rows))


def test_another_epsilon_is_that_of_another_config(tiny, demo_model, rows):
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(demo_model("llama"))
    config.rms_norm_eps *= 1000
    other = AutoModelForCausalLM.from_pretrained(demo_model("llama"), config=config).eval()
    with applied(tiny("llama"), "final_norm_epsilon", 1000.0):
        assert_like(tiny("llama"), rows, "norm_epsilon", 1000.0, said(other, rows))


def test_other_groups_are_those_of_a_model_whose_key_heads_lie_the_other_way(tiny, demo_model, rows):
    from transformers import AutoModelForCausalLM

    other = AutoModelForCausalLM.from_pretrained(demo_model("llama")).eval()
    for layer in other.model.layers:
        for matrix in (layer.self_attn.k_proj, layer.self_attn.v_proj):
            matrix.weight.data = matrix.weight.data.unflatten(0, (2, -1)).flip(0).flatten(0, 1)
    assert_like(tiny("llama"), rows, "kv_group", 1.0, said(other, rows))


def test_key_heads_repeated_in_turn_are_seen_by_other_queries(tiny, demo_model, rows):
    """With 4 heads over 2: 0 1 2 3 should see 0 0 1 1 and see 0 1 0 1, so that 1 and 2 change places."""
    from transformers import AutoModelForCausalLM

    other = AutoModelForCausalLM.from_pretrained(demo_model("llama")).eval()
    for layer in other.model.layers:
        attention = layer.self_attn
        queries = attention.q_proj.weight.data.unflatten(0, (4, -1))
        attention.q_proj.weight.data = queries[[0, 2, 1, 3]].flatten(0, 1)
        outputs = attention.o_proj.weight.data.unflatten(1, (4, -1))
        attention.o_proj.weight.data = outputs[:, [0, 2, 1, 3]].flatten(1, 2)
    assert_like(tiny("llama"), rows, "kv_interleaved", 1.0, said(other, rows))


def test_swapped_and_skipped_layers_are_those_of_a_model_built_so(tiny, demo_model, rows):
    from torch.nn import ModuleList
    from transformers import AutoModelForCausalLM

    other = AutoModelForCausalLM.from_pretrained(demo_model("llama")).eval()
    other.model.layers = ModuleList(reversed(other.model.layers))
    assert_like(tiny("llama"), rows, "layers_swapped", 1, said(other, rows))
    other.model.layers = ModuleList(reversed(other.model.layers))
    other.config.num_hidden_layers = 1
    assert_like(tiny("llama"), rows, "last_layer_skipped", 1, said(other, rows))


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox", "gemma"])
def test_masks_are_those_that_a_model_can_be_given(tiny, rows, family):
    model = tiny(family)
    query, key, sees = causal(rows.shape[1])
    masks = {
        ("mask_hides_itself", 1.0): sees & ((query != key) | (query == 0)),
        ("mask_shows_the_next", 1.0): sees | (key == query + 1),
        ("first_key_lost", 1.0): sees & ((key != 0) | (query == 0)),
        ("window_imposed", 32): sees & (query - key < 32),
        ("prefill_boundary", 64): sees & ((key != query // 64 * 64 - 1) | (query == 0)),
    }
    for (name, strength), allowed in masks.items():
        assert_like(model, rows, name, strength, with_mask(model, rows, allowed))


def test_a_window_one_too_narrow_is_that_of_another_config(tiny, rows):
    from copy import deepcopy

    model = tiny("mistral")
    other = deepcopy(model)
    other.config.sliding_window -= 1
    assert_like(model, rows, "window_off_by_one", 1, said(other, rows))


@pytest.mark.parametrize("name", ["prefix_of_another", "stale_block", "block_table_shifted", "position_jump"])
def test_a_fault_of_later_places_leaves_earlier_ones_alone(tiny, rows, name):
    """A block's own queries are the first that can tell; a prefix is wrong from its first token on."""
    import torch

    model = tiny("llama")
    first = {"prefix_of_another": 0, "stale_block": 16, "block_table_shifted": 32, "position_jump": 32}[name]
    clean = said(model, rows)
    with applied(model, name, 1):
        faulty = said(model, rows)
    assert torch.allclose(faulty[:, :first], clean[:, :first], atol=CLOSE)
    assert (faulty[:, first] - clean[:, first]).abs().max() > CLOSE


def test_a_shifted_table_reads_a_block_where_the_one_before_lies(tiny, rows):
    """The third block's queries see block 0 twice: as itself, and in the place of block 1."""
    from modeltest.demo.faults.parts import own_attention

    seen = {}
    right = own_attention._attended

    def spy(look, scale, weigh):
        seen["look"] = look
        return right(look, scale, weigh)

    own_attention._attended, before = spy, right
    try:
        with applied(tiny("gpt2"), "block_table_shifted", 1):
            said(tiny("gpt2"), rows)
    finally:
        own_attention._attended = before
    look, tokens = seen["look"], rows.shape[1]
    query = 2 * BLOCK_TOKENS
    allowed = look.allowed[0, 0, query]
    own = [int(place) for place in allowed[:tokens].nonzero()]
    through = [int(place) for place in allowed[tokens:].nonzero()]
    assert own == [*range(BLOCK_TOKENS), query]
    assert through == list(range(BLOCK_TOKENS, 2 * BLOCK_TOKENS))
    wrong = look.key[:, :, tokens + BLOCK_TOKENS : tokens + 2 * BLOCK_TOKENS]
    assert (wrong == look.key[:, :, :BLOCK_TOKENS]).all()


def test_attention_written_out_is_the_models_own(tiny, rows):
    """What is left of a fault whose strength is nothing."""
    for family in ("llama", "gpt2", "gpt_neox", "gemma", "gemma2", "mistral"):
        model = tiny(family)
        with applied(model, "window_imposed", 10_000):
            faulty = said(model, rows)
        assert float((faulty - said(model, rows)).abs().max()) < CLOSE, family


def test_padded_rows_are_placed_as_rows_alone(tiny, rows):
    """With padding on the left a mask fault says of a row what it says of the row alone."""
    import torch

    model = tiny("llama")
    short = rows[:1, 40:]
    ids = torch.cat([torch.cat([torch.zeros_like(rows[:1, :40]), short], dim=1), rows[1:]])
    mask = torch.ones_like(ids)
    mask[0, :40] = 0
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    for name, strength in (("first_key_lost", 1.0), ("prefill_boundary", 64), ("block_table_shifted", 2)):
        with applied(model, name, strength):
            together = said(model, ids, attention_mask=mask, position_ids=positions)
            alone = said(model, short)
        assert float((together[0, 40:] - alone[0]).abs().max()) < CLOSE, name


def turned(states, cosines, sines):
    """Return `[rows, heads, tokens, width]` turned in pairs of halves."""
    import torch

    first, second = states.chunk(2, dim=-1)
    return states * cosines + torch.cat((-second, first), dim=-1) * sines


def test_queries_ahead_are_turned_by_the_angles_of_the_next_position(tiny, rows, monkeypatch):
    import torch
    from transformers.models.llama import modeling_llama

    model = tiny("llama")
    cosines, sines = model.model.rotary_emb(torch.zeros(1), torch.arange(1, rows.shape[1] + 1)[None])

    def ahead(query, key, cos, sin, **_):
        return turned(query, cosines[:, None], sines[:, None]), turned(key, cos[:, None], sin[:, None])

    with monkeypatch.context() as patching:
        patching.setattr(modeling_llama, "apply_rotary_pos_emb", ahead)
        other = said(model, rows)
    assert_like(model, rows, "rope_query_ahead", 1, other)


def test_neighbours_are_turned_as_pairs(tiny, rows, monkeypatch):
    """As GPT-J does: channels 2i and 2i + 1 are turned by the angle i."""
    import torch
    from transformers.models.llama import modeling_llama

    def neighbours(states, cos, sin):
        even, odd = states[..., ::2], states[..., 1::2]
        half = even.shape[-1]
        cos, sin = cos[:, None, :, :half], sin[:, None, :, :half]
        return torch.stack((even * cos - odd * sin, odd * cos + even * sin), dim=-1).flatten(-2)

    def paired(query, key, cos, sin, **_):
        return neighbours(query, cos, sin), neighbours(key, cos, sin)

    model = tiny("llama")
    with monkeypatch.context() as patching:
        patching.setattr(modeling_llama, "apply_rotary_pos_emb", paired)
        other = said(model, rows)
    assert_like(model, rows, "rope_pairing", 1.0, other)


@pytest.mark.parametrize(("family", "heads_first"), [("gpt2", False), ("gpt_neox", True)])
def test_keys_and_values_change_places_within_a_fused_matrix(tiny, demo_model, rows, family, heads_first):
    from transformers import AutoModelForCausalLM

    other = AutoModelForCausalLM.from_pretrained(demo_model(family)).eval()
    for name, module in other.named_modules():
        if name.endswith(("c_attn", "query_key_value")):
            shape = (4, 3, 16) if heads_first else (3, 64)
            outputs = module.weight.data if family == "gpt2" else module.weight.data.T
            for data in (outputs, module.bias.data):
                parts = data.unflatten(-1, shape)
                axis = parts[..., [0, 2, 1], :].clone()
                parts.copy_(axis)
    assert_like(tiny(family), rows, "keys_for_values", 1.0, said(other, rows))


@pytest.mark.parametrize("family", ["llama", "gemma"])
def test_queries_without_biases_that_are_scaled_are_scores_that_are(tiny, rows, family):
    with applied(tiny(family), "attention_scale", 1.5):
        scaled = said(tiny(family), rows)
    assert_like(tiny(family), rows, "query_scale", 1.5, scaled)


def test_queries_are_scaled_behind_their_norm(tiny, rows):
    with applied(tiny("qwen3"), "attention_scale", 1.5):
        scaled = said(tiny("qwen3"), rows)
    assert_like(tiny("qwen3"), rows, "query_scale", 1.5, scaled)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
def test_both_halves_of_the_layers_scaled_are_all_of_them_scaled(tiny, rows, family):
    model = tiny(family)
    with applied(model, "residual_scale", 1.5):
        scaled = said(model, rows)
    with applied(model, "early_layers_scale", 1.5):
        assert_like(model, rows, "late_layers_scale", 1.5, scaled)


def test_values_and_feed_forward_scaled_are_all_that_is_added_where_there_are_no_biases(tiny, rows):
    model = tiny("llama")
    with applied(model, "residual_scale", 1.5):
        scaled = said(model, rows)
    with applied(model, "value_scale", 1.5):
        assert_like(model, rows, "feed_forward_scale", 1.5, scaled)


def test_positions_that_are_scaled_are_those_of_another_table(tiny, rows):
    from copy import deepcopy

    import torch

    model, other = tiny("gpt2"), deepcopy(tiny("gpt2"))
    with torch.no_grad():
        other.transformer.wpe.weight *= 1.5
    assert_like(model, rows, "position_table_scale", 1.5, said(other, rows))


def test_an_activation_whose_input_is_scaled_is_another_function(tiny, rows):
    from copy import deepcopy

    import torch

    model, other = tiny("llama"), deepcopy(tiny("llama"))
    with torch.no_grad():
        for layer in other.model.layers:
            layer.mlp.gate_proj.weight *= 1.5
    assert_like(model, rows, "activation_scale", 1.5, said(other, rows))
