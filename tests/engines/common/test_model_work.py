import types

import pytest

from engines.common.model_work import model_work

torch = pytest.importorskip("torch")


class TinyModel(torch.nn.Module):
    """Two layers' worth of weights: a matrix, a norm, experts; a table of tokens, one of positions."""

    def __init__(self, *, tied: bool, experts: bool = False, **config: object) -> None:
        super().__init__()
        self.tokens = torch.nn.Embedding(100, 8)
        self.positions = torch.nn.Embedding(50, 8)
        self.matrix = torch.nn.Linear(8, 16, bias=False)
        self.norm = torch.nn.LayerNorm(8)
        self.out = torch.nn.Linear(8, 100, bias=False)
        if tied:
            self.out.weight = self.tokens.weight
        if experts:
            self.mlp = torch.nn.Module()
            self.mlp.experts = torch.nn.ModuleList(torch.nn.Linear(8, 8, bias=False) for _ in range(4))
        known = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 8}
        self.config = types.SimpleNamespace(**{**known, **config})
        self.dtype = torch.float32

    def get_output_embeddings(self) -> torch.nn.Module:
        return self.out


def test_tables_from_which_rows_are_picked_are_not_read():
    work = model_work(TinyModel(tied=False))
    assert work.parameters == 800 + 400 + 128 + 16 + 800
    assert work.step_weight_bytes == 4 * (128 + 16 + 800)
    assert work.token_flop == 2 * 128, "norms are no matrices, and the output matrix serves few tokens"


def test_a_tied_output_matrix_is_read_once():
    work = model_work(TinyModel(tied=True))
    assert work.parameters == 800 + 400 + 128 + 16
    assert work.step_weight_bytes == 4 * (128 + 16 + 800)
    assert work.token_flop == 2 * 128


def test_of_experts_only_those_a_token_meets_count():
    work = model_work(TinyModel(tied=True, experts=True, num_experts=4, num_experts_per_tok=2))
    assert work.step_weight_bytes == 4 * (128 + 16 + 800 + 2 * 64)
    assert work.token_flop == 2 * (128 + 2 * 64)


@pytest.mark.parametrize(
    ("config", "values"),
    [
        ({}, 2 * 2 * 8),  # keys and values of two layers, four heads of two
        ({"num_key_value_heads": 1}, 2 * 2 * 2),
        ({"num_key_value_heads": 1, "head_dim": 16}, 2 * 2 * 16),
        ({"multi_query": True}, 2 * 2 * 2),
        ({"kv_lora_rank": 4}, 0),  # compressed: nothing is claimed
        ({"num_attention_heads": None}, 0),
    ],
)
def test_keys_and_values_are_counted_from_the_config(config, values):
    assert model_work(TinyModel(tied=True, **config)).cache_token_bytes == 4 * values


@pytest.mark.parametrize(("window", "expected"), [(None, None), (0, None), (4096, 4096)])
def test_a_sliding_window_bounds_what_is_looked_back_on(window, expected):
    assert model_work(TinyModel(tied=True, sliding_window=window)).cache_window_tokens == expected


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "gemma", "llama", "qwen2", "internlm2"])
def test_every_family_is_counted(family, demo_model):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        demo_model(family), trust_remote_code=family == "internlm2", dtype=torch.float32
    )
    work = model_work(model)
    vocabulary, hidden = model.get_output_embeddings().weight.shape
    layers = [weight for name, weight in model.named_parameters() if ".layers." in name or ".h." in name]
    assert work.parameters == model.num_parameters()
    assert work.token_flop == 2 * sum(weight.numel() for weight in layers if weight.dim() > 1)
    assert work.step_weight_bytes >= 4 * (sum(weight.numel() for weight in layers) + vocabulary * hidden)
    assert work.step_weight_bytes <= 4 * work.parameters
    with torch.inference_mode():
        cache = model(torch.ones(1, 8, dtype=torch.long), use_cache=True).past_key_values
    kept = sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)
    assert work.cache_token_bytes == 4 * kept // 8
