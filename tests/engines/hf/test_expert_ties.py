"""Models of experts say something else by far where rounding turns a near-tie: no right way is refused."""

import pytest
import torch
from families import FAMILIES, FAMILY_BY_FAMILY_NAME, build
from transformers import AutoModelForCausalLM, AutoTokenizer

from engines.common.probe_text import probe_ids
from engines.hf.beliefs import ways
from engines.hf.beliefs.model_trial import ModelTrial
from engines.hf.beliefs.probe_tree import SMALLEST_LIMIT
from engines.hf.model.forward import Forward
from engines.hf.packed.tree_forward import TreeForward, UnsupportedAttention
from engines.hf.paged.continuous_batching import obstacle

pytestmark = pytest.mark.skipif(obstacle() is not None, reason=f"the families of this version: {obstacle()}")

OF_EXPERTS = [family.name for family in FAMILIES if "moe" in family.name] + ["mixtral", "deepseek_v3"]
TEXTS = 8


def _objections(name, dtype, folder, texts):
    """Return how many right ways were too far with a first text, and what is said against any in the end."""
    family = FAMILY_BY_FAMILY_NAME[name]
    directory = str(build(family, folder / family.name))
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=dtype, trust_remote_code=True).eval()
    ids = probe_ids(AutoTokenizer.from_pretrained(directory), model.get_input_embeddings().num_embeddings)
    forward = Forward(model, "cpu", 0)
    right = [ways.padded(forward), ways.padded_then_steps(forward)]
    try:
        tree = TreeForward(model, "cpu")
    except UnsupportedAttention:
        pass
    else:
        right += [ways.packed(tree, dtype), ways.packed_then_steps(tree, "cpu")]
    far, objections = 0, []
    for text in range(texts):
        begin = text * len(ids) // TEXTS
        trial = ModelTrial(model, (*ids[begin:], *ids[:begin]), "cpu")
        plain = trial.plain_beyond(SMALLEST_LIMIT)
        for way in right:
            try:
                worst = trial.distances(plain, way)[-1]
            except (RuntimeError, ValueError):  # it cannot be fed so at all
                continue
            if worst.dtype == "float32":  # then it is not right on this family
                continue
            far += not worst.is_rounding
            objections.append(trial.objection(plain, way))
    assert objections
    return far, [each for each in objections if each is not None]


def test_what_is_too_far_with_one_text_by_chance_is_accepted(tmp_path):
    far, objections = _objections("olmoe", torch.float16, tmp_path, texts=1)
    assert far  # a text of which that is so
    assert objections == []


@pytest.mark.long
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("name", OF_EXPERTS)
def test_no_right_way_of_a_family_of_experts_is_refused(name, dtype, tmp_path):
    if name == "minimax":
        pytest.skip("its decay factors are another model in 16 bits")
    _, objections = _objections(name, dtype, tmp_path, TEXTS)
    assert objections == []
