"""Which torch files of a folder are its weights, and what each is called as safetensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from modeltest.api import EngineError, SpecError
from modeltest.models.config_json import read_json_object
from modeltest.models.weights import GIT_LFS_POINTER, TORCH_PATTERNS, numbered_files

INDEX = "pytorch_model.bin.index.json"
SINGLE_FILE = "pytorch_model.bin"
SINGLE_TARGET = "model.safetensors"
_LONGEST_NAME = 255
"""Bytes of a file's name, on every usual file system."""

NOT_WEIGHTS = (
    "training_args.*",
    "optimizer*",
    "scheduler*",
    "rng_state*",
    "scaler.*",
    "adapter_*",
    "*_states.*",
)
"""Torch files that lie beside weights and are none: the state of a training, a LoRA adapter."""


@dataclass(frozen=True, slots=True)
class TorchFile:
    """One torch file of a checkpoint; size and time of modification tell whether it is still the same."""

    path: Path
    size_bytes: int
    modified_ns: int
    target: str
    """Its name as safetensors."""


@dataclass(frozen=True, slots=True)
class TorchCheckpoint:
    """The torch files of a checkpoint, in the order of their names."""

    directory: Path
    files: tuple[TorchFile, ...]
    promised: frozenset[str]
    """The tensors its index names; empty without an index."""


def find_torch_files(directory: Path) -> TorchCheckpoint:
    """Return the torch files that hold the weights in `directory`.

    Raises: SpecError when there are none or they cannot be told apart; EngineError when one is missing or is
    not there in full.
    """
    if not directory.is_dir():
        raise SpecError(f"{directory} is not a folder; give the one that holds the *.bin files")
    weight_map = _weight_map(directory)
    names = sorted(set(weight_map.values())) if weight_map else _names_without_index(directory)
    _refuse_missing(directory, names)
    targets = safetensors_names(names)
    files = tuple(_torch_file(directory / name, targets[name]) for name in names)
    return TorchCheckpoint(directory, files, frozenset(weight_map))


def safetensors_names(names: Sequence[str]) -> dict[str, str]:
    """Return what each torch file is called as safetensors: `model...` as transformers expects it.

    Raises: SpecError when two would get the same name.
    """
    if len(names) == 1:
        return {names[0]: SINGLE_TARGET}
    targets = {name: Path(name).stem.replace("pytorch_model", "model") + ".safetensors" for name in names}
    if len(set(targets.values())) < len(targets):
        raise SpecError(f"two of these files would get the same name as safetensors: {', '.join(names)}")
    return targets


def _weight_map(directory: Path) -> dict[str, str]:
    """Return file names by tensor name, as the index has them; empty where there is no index."""
    path = directory / INDEX
    if not path.exists():
        return {}
    weight_map = read_json_object(path).values.get("weight_map")
    if not isinstance(weight_map, Mapping) or not weight_map:
        raise EngineError(f"{path} is not an index of torch files: it has no weight_map")
    for name in weight_map.values():
        # A path would let an index from anywhere read and write outside of the folder.
        if (
            not isinstance(name, str)
            or name in ("", "..")
            or name != Path(name).name
            or not _is_file_name(name)
        ):
            raise EngineError(f"{path} names {name!r}; the files of a checkpoint lie beside its index")
    return dict(weight_map)


def _is_file_name(name: str) -> bool:
    """Say whether a file system could hold a file of this name."""
    try:
        return "\0" not in name and len(name.encode()) <= _LONGEST_NAME
    except UnicodeEncodeError:
        return False


def _names_without_index(directory: Path) -> list[str]:
    if (directory / SINGLE_FILE).exists():
        return [SINGLE_FILE]
    for pattern in TORCH_PATTERNS:
        names = sorted(path.name for path in directory.glob(pattern) if is_weights(path.name))
        if names:
            return sorted({*names, *numbered_files(names)})
    wanted = ", ".join(TORCH_PATTERNS)
    if any(directory.glob("*.safetensors")):
        raise SpecError(f"{directory} holds safetensors already, and none of {wanted}: nothing to convert")
    raise SpecError(f"{directory} holds no torch weights: none of {wanted}")


def is_weights(name: str) -> bool:
    """Say whether a torch file of this name holds weights, going by its name."""
    return not any(fnmatch(name, pattern) for pattern in NOT_WEIGHTS)


def _refuse_missing(directory: Path, names: Iterable[str]) -> None:
    missing = [name for name in names if not (directory / name).is_file()]
    if missing:
        more = ", ..." if len(missing) > 3 else ""
        raise EngineError(
            f"{directory} lacks {len(missing)} of its torch files: {', '.join(missing[:3])}{more}; "
            "download the checkpoint again"
        )


def _torch_file(path: Path, target: str) -> TorchFile:
    try:
        status = path.stat()
        with path.open("rb") as file:
            start = file.read(len(GIT_LFS_POINTER))
    except OSError as problem:
        raise EngineError(f"{path} cannot be read: {problem.strerror or problem}") from None
    if start == GIT_LFS_POINTER:
        raise EngineError(f"{path} is a Git LFS pointer, not the weights: run `git lfs pull` in its folder")
    return TorchFile(path, status.st_size, status.st_mtime_ns, target)
