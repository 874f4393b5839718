"""LoRA adapters with vLLM: each request has the answers of the model with its adapter merged by hand."""

import json
import shutil

import pytest
import torch
from run_processes import journal, run, run_directory
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from modeltest.api import PrerequisiteError, Request, TextPrompt
from modeltest.testing.engine_contract import complete

pytestmark = [pytest.mark.vllm, pytest.mark.filterwarnings("default")]

ALPHA = 24
RANKS = {"law": 3, "sea": 8}
MODULES = ("self_attn.q_proj", "self_attn.v_proj", "mlp.down_proj")
SHOTS = tuple(f"Question {i}: is {i} more than {i + 1}?\nAnswer: no\n\n" for i in range(12))
PROMPTS = [TextPrompt("", SHOTS, f"Question: is {i} odd?\nAnswer:") for i in range(4)]
LONG_S = 600
NAMES = (None, "law", "sea")


def adapter(weights, folder, rank, seed):
    """Write an adapter as PEFT does and return its matrices, `up @ down` times the factor, by parameter."""
    generator = torch.Generator().manual_seed(seed)
    tensors, changes = {}, {}
    for name, matrix in load_file(weights / "model.safetensors").items():
        module = name.removesuffix(".weight")
        if not module.endswith(MODULES):
            continue
        outputs, inputs = matrix.shape
        down = torch.randn(rank, inputs, generator=generator) / 8
        up = torch.randn(outputs, rank, generator=generator) / 8
        tensors[f"base_model.model.{module}.lora_A.weight"] = down
        tensors[f"base_model.model.{module}.lora_B.weight"] = up
        changes[name] = up @ down * (ALPHA / rank)
    folder.mkdir()
    save_file(tensors, folder / "adapter_model.safetensors")
    settings = {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": ALPHA,
        "target_modules": [module.rpartition(".")[2] for module in MODULES],
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return changes


@pytest.fixture(scope="module")
def adapted(llama, tmp_path_factory):
    """Return a checkpoint with two adapters, and a plain model for each and for none."""
    weights = tmp_path_factory.mktemp("adapted") / "llama"
    shutil.copytree(llama, weights)
    models = {None: AutoModelForCausalLM.from_pretrained(llama, dtype=torch.float32).eval()}
    for seed, (name, rank) in enumerate(RANKS.items()):
        changes = adapter(weights, weights / name, rank, seed)
        model = AutoModelForCausalLM.from_pretrained(llama, dtype=torch.float32).eval()
        with torch.no_grad():
            for parameter, change in changes.items():
                model.get_parameter(parameter).add_(change)
        models[name] = model
    (weights / "lora_adapter.json").write_text(json.dumps({name: name for name in RANKS}))
    words = weights / "lora.jsonl"
    words.write_text(json.dumps({str(i): name for i, name in enumerate(RANKS)}))
    return weights, models


@pytest.fixture(scope="module")
def loaded(adapted, start_vllm):
    found = start_vllm(adapted[0], lora=str(adapted[0] / "lora.jsonl"), batch_sizes=((4,),))
    yield found
    found.engine.close()


def logprobs_of(model, ids):
    with torch.inference_mode():
        return model(torch.tensor([list(ids)])).logits[0].log_softmax(-1)


@pytest.mark.parametrize("choices", [(" yes", " no"), (" yes it is", " no it is not at all")])
def test_choices_are_those_of_the_merged_weights_though_prompts_are_the_same(adapted, loaded, choices):
    requests = [
        Request(f"{name} {i}", prompt, choices=choices, adapter=name)
        for i, prompt in enumerate(PROMPTS)
        for name in NAMES
    ]
    before = loaded.engine.usage().reused_tokens
    found = complete(loaded.engine, requests)
    for request in requests:
        one = found[request.id]
        assert one.error is None
        for ids, logprob in zip(one.choice_tokens, one.choice_logprobs, strict=True):
            table = logprobs_of(adapted[1][request.adapter], one.prompt_tokens + ids)
            right = float(table[len(one.prompt_tokens) - 1 : -1][range(len(ids)), ids].sum())
            assert logprob == pytest.approx(right, abs=2e-3)
    assert loaded.engine.usage().reused_tokens > before, "rows of one adapter share their shots"
    by_adapter = {name: found[f"{name} 0"].choice_logprobs for name in NAMES}
    assert abs(by_adapter["law"][0] - by_adapter["sea"][0]) > 0.01
    assert abs(by_adapter[None][0] - by_adapter["law"][0]) > 0.01


def test_texts_are_those_of_the_merged_weights(adapted, loaded):
    requests = [
        Request(f"{name} {i}", prompt, max_new_tokens=8, adapter=name)
        for i, prompt in enumerate(PROMPTS[:2])
        for name in NAMES
    ]
    found = complete(loaded.engine, requests)
    for request in requests:
        one = found[request.id]
        table = logprobs_of(adapted[1][request.adapter], one.prompt_tokens + one.output_tokens)
        assert list(one.output_tokens) == table[len(one.prompt_tokens) - 1 : -1].argmax(-1).tolist()


def test_the_word_lora_gives_each_question_the_answer_of_the_adapter_in_its_line(adapted, tmp_path):
    weights, models = adapted
    names = ["law", "sea", None, "law"]
    file = tmp_path / "lora.jsonl"
    file.write_text(json.dumps({str(i): name for i, name in enumerate(names) if name}))
    words = ["vllm_fp32", "sample_BoolQ", "4", "auto", "lora", str(file), str(weights), "1"]
    run(*words, "--limit", str(len(names)), output=tmp_path / "runs", timeout=LONG_S)
    found = [line["sample"]["completion"] for line in journal(run_directory(tmp_path / "runs"))]
    found.sort(key=lambda one: int(one["request_id"].rpartition("/")[2]))
    assert len(found) == len(names)
    for one, name in zip(found, names, strict=True):
        tokens = [ids for (ids,) in one["choice_tokens"]]
        right = {each: logprobs_of(models[each], one["prompt_tokens"])[-1][tokens].tolist() for each in NAMES}
        assert one["choice_logprobs"] == pytest.approx(right.pop(name), abs=2e-3)
        assert all(one["choice_logprobs"] != pytest.approx(other, abs=1e-2) for other in right.values())


def test_an_adapter_that_vllm_does_not_load_is_refused_at_load(adapted, start_vllm, tmp_path):
    weights = tmp_path / "llama"
    shutil.copytree(adapted[0], weights)
    settings = weights / "law" / "adapter_config.json"
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "use_dora": True}))
    with pytest.raises(PrerequisiteError, match=r"does not load the adapter 'law'.*DoRA"):
        start_vllm(weights, lora=str(weights / "lora.jsonl"))
