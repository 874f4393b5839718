"""Writing a safetensors file tensor by tensor, and comparing it with what it was written from.

The library's own writer wants all tensors of a file in memory as it will write them: tied and transposed ones
are then there twice. Here at most one tensor is copied at a time. Equal tensors give the library's bytes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modeltest.api import EngineError
from modeltest.models.weights import LENGTH_BYTES
from modeltest.torch_on_host import import_torch

if TYPE_CHECKING:
    import torch

KINDS = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "float8_e5m2": "F8_E5M2",
    "float8_e4m3fn": "F8_E4M3",
    "int16": "I16",
    "uint16": "U16",
    "float16": "F16",
    "bfloat16": "BF16",
    "int32": "I32",
    "uint32": "U32",
    "float32": "F32",
    "float64": "F64",
    "int64": "I64",
    "uint64": "U64",
}
"""What safetensors calls the dtypes of torch, in its order: a file begins with the tensors of the last."""

_ALIGNMENT = 8


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each tensor of a file will stand."""

    names: tuple[str, ...]
    """In the order of the file."""

    header: bytes
    """With its length in front."""

    tensor_bytes: int

    @property
    def file_bytes(self) -> int:
        """The size of the whole file."""
        return len(self.header) + self.tensor_bytes


def lay_out(tensors: Mapping[str, torch.Tensor]) -> Layout:
    """Return the layout of a file of `tensors`.

    Raises: EngineError for a dtype that safetensors does not know.
    """
    kinds = {name: _kind(name, tensor) for name, tensor in tensors.items()}
    order = list(KINDS.values())
    names = tuple(sorted(tensors, key=lambda name: (-order.index(kinds[name]), name)))
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in names:
        begin, end = end, end + tensors[name].numel() * tensors[name].element_size()
        entries[name] = {
            "dtype": kinds[name],
            "shape": list(tensors[name].shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return Layout(names, len(text).to_bytes(LENGTH_BYTES, "little") + text, end)


def write_safetensors(path: Path, tensors: Mapping[str, torch.Tensor], layout: Layout) -> None:
    """Write `tensors` to `path`, onto the disk.

    Raises: OSError.
    """
    with path.open("wb") as file:
        file.write(layout.header)
        for name in layout.names:
            file.write(_bytes_of(tensors[name]).numpy().data)
        file.flush()
        os.fsync(file.fileno())


def verify_safetensors(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Check, with the safetensors library, that `path` holds exactly `tensors`: names, shapes, dtypes, bits.

    Raises: EngineError naming the first tensor that differs.
    """
    torch = import_torch()
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as opened:
            if set(opened.keys()) != set(tensors):
                raise EngineError(f"{path} does not hold the tensors that were written; is the disk sound?")
            for name, expected in tensors.items():
                found = opened.get_tensor(name)
                same_kind = (found.dtype, found.shape) == (expected.dtype, expected.shape)
                # As bytes: NaN equals nothing, and 0.0 equals -0.0.
                if not same_kind or not torch.equal(_bytes_of(found), _bytes_of(expected)):
                    raise EngineError(f"{path}: tensor {name!r} is not what was written; is the disk sound?")
    except SafetensorError as problem:
        raise EngineError(f"{path} was written but cannot be read: {problem}") from None


def _kind(name: str, tensor: torch.Tensor) -> str:
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in KINDS:
        raise EngineError(f"tensor {name!r} is {dtype}; safetensors takes {', '.join(KINDS)}")
    return KINDS[dtype]


def _bytes_of(tensor: torch.Tensor) -> torch.Tensor:
    """Return the elements of `tensor` in order, as one row of bytes; a copy only where they lie otherwise."""
    import torch

    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)
