"""A model of 16 bits computes in float32 and is itself afterwards."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from engines.hf.beliefs.float32 import in_float32, is_float32


def _model(demo_model, family, dtype):
    return AutoModelForCausalLM.from_pretrained(demo_model(family), dtype=dtype).eval()


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_it_says_what_a_float32_copy_says(demo_model, family, dtype):
    model = _model(demo_model, family, dtype)
    copy = _model(demo_model, family, dtype).float()
    ids = torch.tensor([[5, 60, 7, 61]])
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.inference_mode():
        with in_float32(model):
            assert torch.equal(model(ids).logits, copy(ids).logits)
        assert model(ids).logits.dtype == dtype
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == dtype
        assert torch.equal(tensor, before[name])


def test_weights_that_another_module_of_the_layer_uses_are_converted_too():
    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Linear(4, 4, dtype=torch.bfloat16)

        def forward(self, x):
            return x @ self.inner.weight.T  # the inner module itself is never called

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.ModuleList([Layer()])

        def forward(self, x):
            return self.layers[0](x)

    model = Model()
    with in_float32(model), torch.inference_mode():
        assert model(torch.ones(1, 4)).dtype == torch.float32
    assert model.layers[0].inner.weight.dtype == torch.bfloat16


def test_an_output_matrix_is_converted_in_pieces(demo_model, monkeypatch):
    model = _model(demo_model, "llama", torch.bfloat16)
    copy = _model(demo_model, "llama", torch.bfloat16).float()
    bias = torch.linspace(0, 1, 1536).bfloat16()  # as those of some families have
    model.lm_head.bias, copy.lm_head.bias = torch.nn.Parameter(bias), torch.nn.Parameter(bias.float())
    monkeypatch.setattr("engines.hf.beliefs.float32.PIECE_BYTES", 100 * 4 * model.config.hidden_size)
    sizes = []
    multiply = torch.nn.functional.linear
    monkeypatch.setattr(
        torch.nn.functional, "linear", lambda *given: sizes.append(len(given[1])) or multiply(*given)
    )
    ids = torch.tensor([[5, 60, 7, 61]])
    with torch.inference_mode(), in_float32(model):
        found = model(ids).logits
    monkeypatch.undo()
    with torch.inference_mode():
        torch.testing.assert_close(found, copy(ids).logits, atol=1e-6, rtol=1e-5)
    assert sizes[-16:] == [*[100] * 15, 36]
    assert "forward" not in vars(model.lm_head)


def test_of_an_embedding_only_what_is_looked_up_is_converted(demo_model):
    model = _model(demo_model, "llama", torch.bfloat16)
    seen = []
    embedding = model.get_input_embeddings()
    embedding.register_forward_hook(
        lambda module, _, output: seen.append((module.weight.dtype, output.dtype))
    )
    with torch.inference_mode(), in_float32(model):
        found = embedding(torch.tensor([[5, 60]]))
    assert seen == [(torch.bfloat16, torch.bfloat16)]
    assert torch.equal(found, embedding.weight[[5, 60]].float()[None])


def test_a_module_that_calls_itself_is_given_back(demo_model):
    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.Linear(4, 4, dtype=torch.bfloat16)
            self.own = torch.nn.Parameter(torch.ones(4, dtype=torch.bfloat16))

        def forward(self, x, again=True):
            return self(self.inner(x), again=False) * self.own if again else self.inner(x)

    model = Twice()
    with torch.inference_mode(), in_float32(model):
        assert model(torch.ones(1, 4)).dtype == torch.float32
    assert {tensor.dtype for tensor in model.parameters()} == {torch.bfloat16}


def test_a_layer_that_comes_twice_is_given_back():
    layer = torch.nn.Linear(4, 4, dtype=torch.bfloat16)
    layers = torch.nn.ModuleList([torch.nn.Sequential(layer)])
    layers.append(layers[0])
    model = torch.nn.Module()
    model.layers = layers
    with torch.inference_mode(), in_float32(model):
        assert layers[1](layers[0](torch.ones(1, 4))).dtype == torch.float32
    assert layer.weight.dtype == torch.bfloat16


def test_a_failing_pass_leaves_the_model_as_it_was(demo_model):
    model = _model(demo_model, "llama", torch.bfloat16)
    with pytest.raises(IndexError), in_float32(model), torch.inference_mode():
        model(torch.tensor([[10**6]]))
    assert {tensor.dtype for tensor in model.parameters()} == {torch.bfloat16}
    assert not model._forward_hooks
    assert not model.lm_head._forward_hooks


def test_it_is_known_what_computes_in_float32_already(demo_model):
    assert is_float32(_model(demo_model, "llama", torch.float32))
    assert not is_float32(_model(demo_model, "llama", torch.bfloat16))
