"""LoRA adapters of the stand-in: a copy of the model for each, its matrices merged."""

import copy
import json
from pathlib import Path
from typing import Any

import torch

PREFIX, DOWN, UP = "base_model.model.", ".lora_A.weight", ".lora_B.weight"


def with_adapter(model: Any, folder: str) -> Any:
    """Return a copy of `model` with the adapter in `folder`, as PEFT writes it, added to its weights."""
    from safetensors.torch import load_file

    settings = json.loads((Path(folder) / "adapter_config.json").read_text(encoding="utf-8"))
    weights = load_file(Path(folder) / "adapter_model.safetensors")
    merged = copy.deepcopy(model)
    with torch.no_grad():
        for name in [name for name in weights if name.endswith(DOWN)]:
            stem = name.removesuffix(DOWN)
            module = merged.get_submodule(stem.removeprefix(PREFIX))
            delta = weights[stem + UP].float() @ weights[name].float()
            delta *= settings["lora_alpha"] / settings["r"]
            module.weight.copy_(module.weight.float() + delta)
    return merged
