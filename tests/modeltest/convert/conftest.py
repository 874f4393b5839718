"""Torch checkpoints made on the spot."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def torch_checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Return a function from state dicts, one per file, to a folder that holds them under the usual names."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("safetensors.torch")

    def write(*shards, folder="model", config=True, **options):
        directory = tmp_path / folder
        directory.mkdir(exist_ok=True)
        for number, tensors in enumerate(shards, start=1):
            whole = "pytorch_model.bin"
            name = whole if len(shards) == 1 else f"pytorch_model-{number:05}-of-{len(shards):05}.bin"
            torch.save(tensors, directory / name, **options)
        if config:
            (directory / "config.json").write_text('{"model_type": "llama"}')
        return directory

    return write
