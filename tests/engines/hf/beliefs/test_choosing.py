"""Which way rows are fed, by what trials found."""

import pytest
import torch
from transformers import LlamaConfig

from engines.hf.beliefs.choosing import FEWEST_ROWS_TRIED, Choosing, Feeding
from engines.hf.beliefs.model_trial import Plain
from engines.hf.beliefs.probe_tree import SMALLEST_LIMIT, probe_tree

CONFIG = LlamaConfig(max_position_embeddings=200, sliding_window=50)


class Scripted:
    """Stands for trials; `objects` says to which feeding beyond which limit there is an objection."""

    def __init__(self, objects):
        self.objects = objects
        self.tried = []

    def plain_beyond(self, limit):
        return Plain(probe_tree(range(100), limit), (), ())

    def end(self, plain):
        pass

    def objection(self, plain, way):
        self.tried.append((way, plain.tree.limit))
        return "no" if (way, plain.tree.limit) in self.objects else None


def _choosing(objects=()):
    trial = Scripted(set(objects))
    ways = {Feeding.SHARED: "shared", Feeding.PADDED: "padded"}
    return Choosing(trial, CONFIG, ways, Plain(probe_tree(range(100)), (), ())), trial


def test_what_is_right_for_short_rows_is_tried_once_and_used():
    choosing, trial = _choosing()
    for _ in range(2):
        assert choosing.by_feeding([10, 20]) == {Feeding.SHARED: [0, 1]}
    assert trial.tried == [("shared", SMALLEST_LIMIT)]


def test_a_slower_way_is_used_where_the_faster_is_not_right_and_the_reason_kept():
    choosing, _ = _choosing([("shared", SMALLEST_LIMIT)])
    assert choosing.usual is Feeding.PADDED
    assert choosing.reasons == ["shared rows: no"]


def test_with_no_way_right_rows_are_asked_one_by_one():
    choosing, _ = _choosing([("shared", SMALLEST_LIMIT), ("padded", SMALLEST_LIMIT)])
    assert choosing.by_feeding([5]) == {Feeding.ALONE: [0]}


def test_a_limit_is_tried_before_enough_rows_are_longer():
    choosing, trial = _choosing([("shared", 50), ("padded", 50)])
    lengths = [10, *[60] * FEWEST_ROWS_TRIED]
    assert choosing.by_feeding(lengths) == {
        Feeding.SHARED: [0],
        Feeding.ALONE: list(range(1, FEWEST_ROWS_TRIED + 1)),
    }
    assert trial.tried == [("shared", SMALLEST_LIMIT), ("shared", 50), ("padded", 50)]


def test_a_limit_that_no_row_goes_beyond_is_not_tried():
    choosing, trial = _choosing()
    choosing.by_feeding([50] * 100)
    assert trial.tried == [("shared", SMALLEST_LIMIT)]


def test_few_rows_beyond_a_limit_are_asked_one_by_one_without_a_trial():
    choosing, trial = _choosing()
    assert choosing.by_feeding([10, 51]) == {Feeding.SHARED: [0], Feeding.ALONE: [1]}
    assert trial.tried == [("shared", SMALLEST_LIMIT)]


def test_a_row_beyond_two_limits_is_fed_as_the_stricter_wants():
    choosing, _ = _choosing([("shared", 50)])
    assert choosing.by_feeding([300] * 10) == {Feeding.PADDED: list(range(10))}


def test_a_trial_without_memory_leaves_rows_alone():
    choosing, trial = _choosing()

    def scarce(plain, way):
        raise torch.OutOfMemoryError("CUDA out of memory")

    trial.objection = scarce
    assert choosing.usual is Feeding.ALONE
    assert "no memory" in choosing.reasons[0]


def test_a_model_that_ignores_its_positions_is_neither_packed_nor_padded(demo_model, monkeypatch):
    from transformers.models.llama.modeling_llama import LlamaModel

    from engines.hf.engine import HFEngine
    from modeltest.api import ModelInfo, RunSpec

    own = LlamaModel.forward

    def forward(self, *given, position_ids=None, **named):
        return own(self, *given, **named)

    monkeypatch.setattr(LlamaModel, "forward", forward)
    weights = str(demo_model("llama"))
    spec = RunSpec("hf_fp32", "test", "test", "m", weights, dtype="float32")
    info = HFEngine().load(spec, ModelInfo("m", "m", weights, "m", "float32", None, 8192, 128, 1, None))
    assert "shared prefixes off" in info.notes[0]
    assert "it differs from a plain pass by" in info.notes[0]


def test_a_model_with_a_closed_attention_is_padded(demo_model, monkeypatch):
    from transformers import LlamaForCausalLM

    from engines.hf.engine import HFEngine
    from modeltest.api import ModelInfo, RunSpec

    def closed(*_):
        raise ValueError("no such attention")

    monkeypatch.setattr(LlamaForCausalLM, "set_attn_implementation", closed)
    weights = str(demo_model("llama"))
    spec = RunSpec("hf_fp32", "test", "test", "m", weights, dtype="float32")
    info = HFEngine().load(spec, ModelInfo("m", "m", weights, "m", "float32", None, 8192, 128, 1, None))
    assert info.notes[0] == "shared prefixes off: shared rows: ValueError: no such attention"


def test_a4_an_encoder_is_no_causal_model(demo_model, tmp_path):
    from transformers import AutoTokenizer, BertConfig, BertLMHeadModel

    from engines.hf.engine import HFEngine
    from modeltest.api import EngineError, ModelInfo, RunSpec

    config = BertConfig(
        vocab_size=1537, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    BertLMHeadModel(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(demo_model("llama")).save_pretrained(tmp_path)
    spec = RunSpec("hf_fp32", "test", "test", "m", str(tmp_path), dtype="float32")
    info = ModelInfo("m", "m", str(tmp_path), "bert", "float32", None, 512, 128, 1, None)
    with pytest.raises(EngineError, match=r"is not a causal language model.*depends on later tokens"):
        HFEngine().load(spec, info)
