"""Reading a torch file for its tensors and for nothing else: no code in it is ever run."""

from __future__ import annotations

import pickle
import re
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from modeltest.api import EngineError
from modeltest.torch_on_host import import_torch

if TYPE_CHECKING:
    import torch

_GLOBAL = re.compile(r"GLOBAL (\S+)")


def load_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors in a torch file by name, on the cpu.

    Of a file that torch wrote since 1.6 the tensors are mapped into memory, not read.

    Raises: EngineError when the file holds anything but tensors, among them code to run, or is damaged.
    """
    torch = import_torch()

    if tarfile.is_tarfile(path):
        # torch before 2.6 runs code from these even with weights_only (CVE-2025-32434).
        raise EngineError(f"{path} is a tar archive of torch before 0.2, which cannot be read safely")
    is_zip = _is_zip(path)
    if is_zip:
        _check_sums(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as problem:
        raise EngineError(_refusal(path, str(problem))) from None
    except Exception as problem:  # a damaged file, or a hostile one, makes torch raise anything
        reason = " ".join(str(problem).split())
        raise EngineError(
            f"{path} cannot be read, it may be damaged ({type(problem).__name__}: {reason:.200}); "
            "copy or download it again"
        ) from None
    if not isinstance(content, Mapping):
        raise EngineError(f"{path} holds a {type(content).__name__}, not tensors by name")
    for name, value in content.items():
        _check_entry(path, name, value)
    return dict(content)


def _is_zip(path: Path) -> bool:
    """Say whether a file is an archive, also one that zipfile cannot open: torch may read it all the same."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:
        return True


def _check_sums(path: Path) -> None:
    """Compare a file with its own checksums: torch looks at none, and a wrong bit is a wrong weight.

    Raises: EngineError.
    """
    try:
        with zipfile.ZipFile(path) as file:
            # torch compresses nothing: what comes to more than the file was made to fill memory and time.
            if sum(entry.file_size for entry in file.infolist()) > path.stat().st_size:
                raise EngineError(
                    f"{path} is damaged: its entries come to more bytes than it has; "
                    "copy or download it again"
                )
            damaged = file.testzip()
    except EngineError:
        raise
    except Exception as problem:  # a damaged list makes zipfile raise anything
        damaged = f"its list ({problem})"
    if damaged is not None:
        raise EngineError(
            f"{path} is damaged: {damaged} in it is not what its checksum says; copy or download it again"
        )


def _check_entry(path: Path, name: object, value: object) -> None:
    import torch

    if not isinstance(name, str) or not _is_text(name) or not isinstance(value, torch.Tensor):
        raise EngineError(
            f"{path} holds {name!r:.80}, a {type(value).__name__}; a checkpoint's file holds tensors by name "
            "(of a training's file, save the model's state_dict alone)"
        )
    if value.layout != torch.strided or value.is_quantized or value.is_meta:
        kind = "quantised" if value.is_quantized else "without data" if value.is_meta else str(value.layout)
        raise EngineError(f"{path}: tensor {name!r} is {kind}; safetensors takes plain tensors only")


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refusal(path: Path, said: str) -> str:
    asked = _GLOBAL.search(said)
    if asked is None:
        return f"{path} is not a file of tensors: {' '.join(said.split()):.300}"
    return (
        f"{path} asks for {asked[1]} to be run or built when it is opened; it was not. Weights need nothing "
        "but tensors: get the checkpoint from a source you trust, or its safetensors"
    )
