"""Engines of transformers give their model away, and leave its attention to it when asked."""

import pytest
from family_sweep import spec_of

from engines.hf.engine import HFEngine
from engines.hf.paged.engine import HFPagedEngine
from modeltest.api import EngineError, HoldingModule, ModelInfo, PrerequisiteError, Request, TokenPrompt

SHARED = tuple(range(40, 90))
ASKED = [Request(str(last), TokenPrompt((*SHARED, last)), choices=((5,), (6, 7))) for last in range(300, 304)]


def loaded(kind, directory):
    engine = kind()
    engine.load(
        spec_of("hf_fp32", directory),
        ModelInfo("m", "m", str(directory), "llama", "float32", None, 8192, 16, 1, None),
    )
    return engine


def said(engine):
    found = {
        each.request_id: each.choice_logprobs
        for some in engine.complete(ASKED, batch_size=4)
        for each in some
    }
    return [value for request in ASKED for value in found[request.id]]


@pytest.mark.parametrize("kind", [HFEngine, HFPagedEngine])
def test_what_is_changed_in_the_model_changes_the_answers(demo_model, kind):
    import torch

    engine = loaded(kind, demo_model("llama"))
    assert isinstance(engine, HoldingModule)
    before = said(engine)
    with torch.no_grad():
        engine.module().lm_head.weight.zero_()
    after = said(engine)
    engine.close()
    uniform = -torch.tensor(1536.0).log().item()
    assert before[0] != pytest.approx(uniform, abs=0.01)
    assert after == pytest.approx([uniform, 2 * uniform] * len(ASKED), abs=1e-4)


def test_rows_are_padded_when_the_model_is_to_compute_its_own_attention(demo_model):
    engine = loaded(HFEngine, demo_model("llama"))
    before, shared = said(engine), engine.usage().reused_tokens
    engine.feed_plainly()
    after = said(engine)
    assert shared > 0
    assert engine.usage().reused_tokens == shared
    assert after == pytest.approx(before, abs=1e-3)
    assert (
        engine.begin(spec_of("hf_fp32", demo_model("llama")), None).notes[0].startswith("shared prefixes off")
    )
    engine.close()


def test_pages_are_not_left_to_the_model(demo_model):
    engine = loaded(HFPagedEngine, demo_model("llama"))
    with pytest.raises(PrerequisiteError, match="hf_paged computes attention itself"):
        engine.feed_plainly()
    engine.close()


def test_there_is_no_model_before_it_is_loaded():
    with pytest.raises(EngineError, match="engine hf is asked for its model before it has loaded one"):
        HFEngine().module()
    with pytest.raises(EngineError, match="engine hf is asked to feed a model before it has loaded one"):
        HFEngine().feed_plainly()
