"""Writes a checkpoint in the dtype it is asked in. A process of its own, `checkpoint_side ORDER.json`.

The order names `shape`, `dtype`, the `device` that draws the weights, `data_dir` (`null`: the bundled
samples) for the tokenizer, and the `checkpoint`. Weights are written file by file, a layer each, so that a
model of 14 GB needs no 14 GB of memory here.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm_eval_comparison.checkpoints import EMBEDDING_SD, GAINS, dataset_texts, write_tokenizer
from lm_eval_comparison.shapes import ANSWERS, SEED, VOCABULARY_SIZE, Shape
from on_device.orders import serve
from on_device.sizes import DEVICE_SHAPES, Sized

if TYPE_CHECKING:
    import torch

INDEX = "model.safetensors.index.json"

_ANSWER_TEXTS = 100


def main(arguments: list[str]) -> None:
    """Write the checkpoint, complete or not at all."""
    serve(arguments, write)


def write(order: dict[str, Any]) -> dict[str, Any]:
    """Write what the order asks for and return how large it became."""
    directory = Path(order["checkpoint"])
    sized = Sized(order["shape"], order["dtype"])
    draft = directory.with_name(f".{directory.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    (draft / "config.json").write_text(json.dumps(sized.config, indent=2) + "\n", encoding="utf-8")
    write_tokenizer(draft, chain(dataset_texts(order["data_dir"]), _answers()))
    written = write_weights(sized, draft, device=order["device"])
    draft.rename(directory)
    return {"bytes": written}


def write_weights(sized: Sized, directory: Path, *, device: str) -> int:
    """Write seeded weights, one file for each layer and one for the rest; return their bytes."""
    from safetensors.torch import save_file

    places: dict[str, str] = {}
    written = 0
    for number, weights in enumerate(_parts(DEVICE_SHAPES[sized.shape], sized.dtype, device)):
        file = f"model-{number:05}.safetensors"
        save_file(weights, directory / file, metadata={"format": "pt"})
        places |= dict.fromkeys(weights, file)
        written += sum(each.numel() * each.element_size() for each in weights.values())
    index = {"metadata": {"total_size": written}, "weight_map": places}
    (directory / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return written


def _answers() -> Iterator[str]:
    # A small sample may not have every answer often enough to make one token of it.
    return iter([f"Answer:{answer}" for answer in ANSWERS] * _ANSWER_TEXTS)


def _parts(shape: Shape, dtype_name: str, device: str) -> Iterator[dict[str, torch.Tensor]]:
    """Yield the weights file by file. They are drawn on the device: a processor takes minutes for 7B."""
    import torch

    dtype = getattr(torch, dtype_name)
    generator = torch.Generator(device).manual_seed(SEED)

    def draw(rows: int, columns: int, sd: float) -> torch.Tensor:
        drawn = torch.randn(rows, columns, generator=generator, device=device).mul_(sd)
        return drawn.to(dtype).cpu()

    ones = torch.ones(shape.hidden, dtype=dtype)
    yield {
        "model.embed_tokens.weight": draw(VOCABULARY_SIZE, shape.hidden, EMBEDDING_SD),
        "model.norm.weight": ones.clone(),
    }
    for layer in range(shape.layers):
        prefix = f"model.layers.{layer}"
        matrices = {
            f"{prefix}.{name}.weight": draw(rows, columns, GAINS.get(name, 1.0) / math.sqrt(columns))
            for name, (rows, columns) in shape.layer_matrices.items()
        }
        norms = ("input_layernorm", "post_attention_layernorm")
        yield {**matrices, **{f"{prefix}.{norm}.weight": ones.clone() for norm in norms}}
