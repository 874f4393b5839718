"""One torch file as safetensors: read, written and compared, by a process of its own.

What is in such a file decides how much memory and time reading it takes, and libraries in C++ and Rust read
it: none of that may take the command along that converts a checkpoint.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeltest.api import EngineError, PrerequisiteError
from modeltest.convert.safetensors_file import lay_out, verify_safetensors, write_safetensors
from modeltest.convert.state_dict import load_state_dict
from modeltest.own_process import OwnProcess, ProcessEnded, ProcessLimits
from modeltest.plain.contracts import from_plain, to_plain
from modeltest.torch_on_host import import_torch

_SLOWEST_BYTES_PER_S = 5_000_000
_LEAST_CPU_S = 60.0
_LEAST_MEMORY_BYTES = 4 << 30
_COPIES = 4
"""How often the content of a file may be in memory: as it is read, one tensor copied, written and mapped."""


@dataclass(frozen=True, slots=True)
class Written:
    """What was written of a file, and compared."""

    names: tuple[str, ...]
    """Of the tensors, in the order of the file."""

    tensor_bytes: int
    file_bytes: int


ConvertFile = Callable[[Path, Path], Written]
"""Writes what is in the torch file at the first path to the second."""


def convert_file(source: Path, target: Path) -> Written:
    """Write the tensors in `source` to `target`, and compare them.

    Raises: EngineError when the file is damaged or holds more than tensors; PrerequisiteError when the disk
    is full.
    """
    tensors = load_state_dict(source)
    layout = lay_out(tensors)
    require_space(target.parent, layout.file_bytes)
    try:
        write_safetensors(target, tensors, layout)
    except OSError as problem:
        target.unlink(missing_ok=True)
        raise PrerequisiteError(
            f"cannot write {target}: {problem.strerror or problem}; what is finished is kept, and the same "
            "command goes on from there"
        ) from None
    verify_safetensors(target, tensors)
    return Written(layout.names, layout.tensor_bytes, layout.file_bytes)


def require_space(folder: Path, needed_bytes: int) -> None:
    """Refuse to begin what the disk of `folder` has no room for.

    Raises: PrerequisiteError.
    """
    free_bytes = shutil.disk_usage(folder).free
    if needed_bytes > free_bytes:
        raise PrerequisiteError(
            f"{folder} needs {needed_bytes / 1e9:.2f} GB more, its disk has {free_bytes / 1e9:.2f} GB free: "
            "make room, or write to another disk with --output DIR"
        )


class FileConverter:
    """`convert_file` in a process of its own, which is started for the first file and kept."""

    def __init__(self) -> None:
        self._process: OwnProcess | None = None

    def __call__(self, source: Path, target: Path) -> Written:
        """Do what `convert_file` does.

        Raises: what it raises; EngineError also for a file that ends the process.
        """
        if self._process is None:
            self._process = OwnProcess(__name__)
        try:
            plain = self._process.ask({"source": str(source), "target": str(target)}, _limits(source))
        except ProcessEnded as problem:
            target.unlink(missing_ok=True)
            raise EngineError(
                f"{source} cannot be read: {problem}; copy or download it again, from a source you trust"
            ) from None
        return from_plain(Written, plain)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.close()
        self._process = None


def _limits(source: Path) -> ProcessLimits:
    size = source.stat().st_size
    return ProcessLimits(
        cpu_s=_LEAST_CPU_S + size / _SLOWEST_BYTES_PER_S,
        memory_bytes=_LEAST_MEMORY_BYTES + _COPIES * size,
    )


def prepare() -> None:
    """Import the libraries."""
    import_torch()
    import safetensors.torch  # noqa: F401


def answer(request: Mapping[str, Any]) -> object:
    """Convert the file `source` into `target` and return what was written.

    Raises: what `convert_file` raises.
    """
    return to_plain(convert_file(Path(request["source"]), Path(request["target"])))
