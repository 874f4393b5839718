"""Models that cast to the dtype of their output matrix are tried in float32 too, whatever their dtype."""

import pytest
import torch
from families import FAMILY_BY_FAMILY_NAME, build
from transformers import AutoModelForCausalLM

from engines.hf.beliefs import ways
from engines.hf.beliefs.model_trial import ModelTrial
from engines.hf.model.forward import Forward


@pytest.mark.parametrize(("name", "is_right"), [("mamba", True), ("xlstm", False)])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_padding_is_judged_in_float32(tmp_path, name, is_right, dtype):
    directory = build(FAMILY_BY_FAMILY_NAME[name], tmp_path / name)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=dtype).eval()
    trial = ModelTrial(model, range(10, 110), "cpu")
    plain = trial.plain_at_load()
    found = trial.distances(plain, ways.padded(Forward(model, "cpu", 2)))
    assert found[0].dtype == "float32"
    assert found[-1].is_rounding is is_right
    assert model.get_output_embeddings().weight.dtype is dtype
