"""The files of a checkpoint that are no weights: config, tokenizer, code. A copy elsewhere needs them too."""

from __future__ import annotations

import filecmp
import secrets
import shutil
from pathlib import Path

from modeltest.convert.sources import TorchCheckpoint

CONFIG = "config.json"

WEIGHT_SUFFIXES = (".bin", ".pt", ".pth", ".safetensors", ".h5", ".msgpack", ".onnx", ".gguf", ".index.json")
"""What is not copied: weights of any format, and their indexes."""


def companion_files(checkpoint: TorchCheckpoint, target: Path) -> list[Path]:
    """Return the files to copy into `target`, config.json last; none when that is where they are."""
    if target.resolve() == checkpoint.directory.resolve():
        return []
    files = [
        path
        for path in sorted(checkpoint.directory.iterdir())
        if path.is_file() and not path.name.startswith(".") and not path.name.endswith(WEIGHT_SUFFIXES)
    ]
    return sorted(files, key=lambda path: path.name == CONFIG)


def is_same_file(first: Path, second: Path) -> bool:
    """Say whether two files have the same content."""
    return filecmp.cmp(first, second, shallow=False)


def copy_companion(source: Path, target: Path) -> None:
    """Copy `source` into the folder `target`: completely or not at all.

    Raises: OSError.
    """
    draft = target / f".{source.name}.{secrets.token_hex(4)}.tmp"
    try:
        shutil.copyfile(source, draft)
        draft.replace(target / source.name)
    finally:
        draft.unlink(missing_ok=True)
