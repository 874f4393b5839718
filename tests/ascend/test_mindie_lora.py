"""LoRA on the stand-in: each request is answered by the adapter the file names for it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import calls
import pytest
import torch
from mindie_place import place_of
from safetensors.torch import load_file, save_file

from engines.common.lora_adapters import adapter_paths
from engines.mindie.lora import check_lora
from modeltest.api import Request, SpecError, TextPrompt

RANK, ALPHA = 2, 64
MATRIX = "model.layers.0.mlp.down_proj"
PLAIN = [
    Request(f"c{i}", TextPrompt("", (), "The sea is salt. " * i + "Is it?"), choices=(" yes", " no"))
    for i in range(1, 5)
]
GENERATED = [
    Request(f"g{i}", TextPrompt("", (), "The sea is salt. " * i + "Why?"), max_new_tokens=3)
    for i in range(1, 5)
]


@pytest.fixture
def adapted(demo_model, tmp_path) -> tuple[Path, Path]:
    """Return a checkpoint with an adapter, as PEFT writes it, and one with that adapter merged into it."""
    weights, merged = tmp_path / "weights", tmp_path / "merged"
    for folder in (weights, merged):
        shutil.copytree(demo_model("llama", "float16"), folder)
    tensors = load_file(merged / "model.safetensors")
    outputs, inputs = tensors[f"{MATRIX}.weight"].shape
    generator = torch.Generator().manual_seed(0)
    down = torch.randn(RANK, inputs, generator=generator) / 4
    up = torch.randn(outputs, RANK, generator=generator) / 4
    (weights / "law").mkdir()
    stem = f"base_model.model.{MATRIX}"
    save_file(
        {f"{stem}.lora_A.weight": down, f"{stem}.lora_B.weight": up},
        weights / "law" / "adapter_model.safetensors",
    )
    (weights / "law" / "adapter_config.json").write_text(json.dumps({"r": RANK, "lora_alpha": ALPHA}))
    (weights / "lora_adapter.json").write_text(json.dumps({"law": str(weights / "law")}))
    tensors[f"{MATRIX}.weight"] = (tensors[f"{MATRIX}.weight"].float() + up @ down * (ALPHA / RANK)).half()
    save_file(tensors, merged / "model.safetensors", metadata={"format": "pt"})
    return weights, merged


def _scores(done):
    return [
        {key: (one.error, one.choice_logprobs, one.output_tokens) for key, one in batch.items()}
        for batch in done
    ]


def test_requests_of_one_batch_are_answered_by_the_adapters_they_name(adapted, scratch):
    weights, merged = (place_of(str(folder), scratch, {"stand_in": "yes"}) for folder in adapted)
    (scratch.parent / "lora.jsonl").write_text('{"1": "law", "3": "law"}')
    with_lora = replace(weights, spec=replace(weights.spec, lora=str(scratch.parent / "lora.jsonl")))
    batches = [
        [replace(request, adapter="law") if row % 2 else request for row, request in enumerate(requests)]
        for requests in (PLAIN, GENERATED)
    ]
    found, _, _ = with_lora.call(calls.complete, batches, 4)
    base, _, _ = weights.call(calls.complete, [PLAIN, GENERATED], 4)
    law, _, _ = merged.call(calls.complete, [PLAIN, GENERATED], 4)
    assert _scores(base) != _scores(law)
    for asked, of_found, of_base, of_law in zip(batches, *map(_scores, (found, base, law)), strict=True):
        for request in asked:
            expected = of_law if request.adapter else of_base
            assert of_found[request.id] == expected[request.id], request


@pytest.fixture
def place(adapted, scratch):
    (scratch.parent / "lora.jsonl").write_text('{"1": "law", "2": "base"}')
    found = place_of(str(adapted[0]), scratch, {"stand_in": "yes"})
    return replace(found, spec=replace(found.spec, lora=str(scratch.parent / "lora.jsonl")))


def test_folders_of_adapters_are_handed_on_whole(place):
    folder = f"{place.model.path}/law"
    assert adapter_paths(place.model) == {"law": folder}
    (Path(place.model.path) / "lora_adapter.json").write_text('{"law": "law"}')
    assert adapter_paths(place.model) == {"law": folder}, "relative to the weights"


def test_adapters_that_are_not_there_are_refused_before_loading(place):
    check_lora(place.spec, place.model)
    Path(place.spec.lora).write_text('{"0": "medicine"}')
    with pytest.raises(
        SpecError, match=r"gives request 0 the adapter 'medicine'; lora_adapter\.json of .* has: law"
    ):
        check_lora(place.spec, place.model)
    Path(place.spec.lora).write_text("")
    folder = Path(place.model.path)
    (folder / "law" / "adapter_config.json").unlink()
    with pytest.raises(
        SpecError, match=r"the adapter 'law' of lora_adapter\.json has no adapter_config\.json"
    ):
        check_lora(place.spec, place.model)
    (folder / "lora_adapter.json").write_text('["law"]')
    with pytest.raises(SpecError, match="is no map of adapter names to folders"):
        check_lora(place.spec, place.model)
    (folder / "lora_adapter.json").unlink()
    with pytest.raises(
        SpecError, match=r"the words ask for LoRA, and .*lora_adapter\.json is not there; write it"
    ):
        check_lora(place.spec, place.model)
    check_lora(replace(place.spec, lora=None), place.model)
