"""A model of 16 bits computes in float32 and is itself afterwards."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from engines.beliefs.float32 import in_float32, is_float32


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
