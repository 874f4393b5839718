"""The weight files of a checkpoint: which there are, whether they are whole, and their fingerprint.

Only headers and a few samples are read, so that a checkpoint of any size is checked in a moment.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modeltest.api import EngineError, SpecError
from modeltest.plain.json_text import parse_json

LENGTH_BYTES = 8
"""A safetensors file starts with the length of its JSON header: unsigned, 64 bits, little-endian."""

LARGEST_HEADER_BYTES = 100_000_000
"""The limit of the safetensors library itself; more means that the file is something else."""

SAMPLES = 64
SAMPLE_BYTES = 64
"""What the fingerprint reads of each file's tensors: fine-tunes of one model differ in nothing else."""

WHOLE = "model.safetensors"
"""What the library of Hugging Face calls weights that are in one file."""

GIT_LFS_POINTER = b"version https://git-lfs"
TORCH_PATTERNS = ("pytorch_model*.bin", "*.bin", "*.pt", "*.pth")
"""Weights in torch's own format, likeliest first."""


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One whole safetensors file."""

    path: Path
    size_bytes: int
    header: bytes = field(repr=False)


def read_weight_files(directory: Path) -> tuple[WeightFile, ...]:
    """Return the checkpoint's safetensors files in the order of their names, each checked to be whole.

    Raises: SpecError when there are none; EngineError when one is missing, truncated or unreadable.
    """
    paths = sorted(directory.glob("*.safetensors"))
    if not paths:
        raise SpecError(_no_safetensors(directory))
    _check_complete(directory, {path.name for path in paths})
    return tuple(_read_header(path) for path in paths)


def tensor_names(files: Iterable[WeightFile]) -> tuple[str, ...]:
    """Return the names of all weights in `files`, as their headers have them."""
    return tuple(name for file in files for name in parse_json(file.header) if name != "__metadata__")


def read_by_loaders(directory: Path, files: Iterable[WeightFile]) -> tuple[WeightFile, ...]:
    """Return those of `files` that a loader takes where a folder holds the same weights twice.

    That is what `model.safetensors.index.json` names, else `model.safetensors`, else all of them: some
    publishers add one file with the weights under other names.
    """
    listed = tuple(files)
    index = directory / f"{WHOLE}.index.json"
    wanted = _shards_in(index) if index.is_file() else {WHOLE}
    chosen = tuple(file for file in listed if file.path.name in wanted)
    return chosen or listed


def holds_two_values(files: Iterable[WeightFile], one: str, other: str) -> bool:
    """Say whether the files hold both weights, of one size, and they differ somewhere in what is sampled."""
    found: dict[str, tuple[WeightFile, int, int]] = {}
    for file in files:
        tensors = parse_json(file.header)
        for name in {one, other} & tensors.keys():
            first, last = tensors[name]["data_offsets"]
            found[name] = file, first, last
    if len(found) < 2 or len({last - first for _, first, last in found.values()}) > 1:
        return False
    return len({_sampled(*place) for place in found.values()}) > 1


def earlier_fingerprint(config: bytes, files: Iterable[WeightFile]) -> str:
    """Return the fingerprint as earlier versions had it, for runs that they began.

    It covers config.json and of each weight file the name, size, header and evenly spaced samples of the
    tensors; each of these is preceded by its length in 8 bytes, little-endian.
    """
    digest = hashlib.sha256()
    for part in (config, *(part for file in files for part in _identity(file))):
        digest.update(len(part).to_bytes(LENGTH_BYTES, "little"))
        digest.update(part)
    return digest.hexdigest()


def read_weight_file(path: Path) -> WeightFile:
    """Return one safetensors file, checked to be whole.

    Raises: EngineError when it is truncated or unreadable.
    """
    return _read_header(path)


def identity_of(file: WeightFile) -> Iterator[bytes]:
    """Yield what tells the weights in `file` from others: size, header, samples, and one of every tensor.

    So weights of which a single matrix was edited are others.

    Raises: EngineError when it cannot be read.
    """
    yield from itertools.islice(_identity(file), 1, None)  # its name stands elsewhere
    places = sorted(_places(file.path, file.header))
    begin = LENGTH_BYTES + len(file.header)
    try:
        with file.path.open("rb") as opened:
            for first, last in places:
                middle = (first + last) // 2
                opened.seek(begin + middle)
                yield opened.read(min(SAMPLE_BYTES, last - middle))
    except (OSError, ValueError) as problem:
        raise EngineError(f"{file.path} cannot be read: {problem}") from None


def convert_command(directory: Path) -> str:
    """Return the shell command that rewrites the torch files of `directory` as safetensors."""
    return shlex.join(["modeltest", "convert", "--model", str(directory)])


def numbered_files(names: Iterable[str]) -> set[str]:
    """Return every file that the numbers in `names` ask for: `x-00001-of-00002.bin` asks for two."""
    expected: set[str] = set()
    for name in names:
        numbered = re.fullmatch(r"(.*-)(\d{1,5})(-of-)(\d{1,5})(\.\w+)", name)
        if numbered:
            prefix, number, joint, total, suffix = numbered.groups()
            width = len(number)
            expected |= {f"{prefix}{i:0{width}}{joint}{total}{suffix}" for i in range(1, int(total) + 1)}
    return expected


def _no_safetensors(directory: Path) -> str:
    pattern = next((pattern for pattern in TORCH_PATTERNS if any(directory.glob(pattern))), None)
    if pattern is None:
        return f"{directory} holds no weights: *.safetensors files are needed"
    return (
        f"{directory} holds {pattern} but no *.safetensors, which are needed; "
        f"convert them with: {convert_command(directory)}"
    )


def _check_complete(directory: Path, present: set[str]) -> None:
    """Refuse a checkpoint of which an index, or the numbers in the names, say that files are missing."""
    for index in sorted(directory.glob("*.safetensors.index.json")):
        _refuse_missing(directory, _shards_in(index) - present, f"{index.name} names")
    _refuse_missing(directory, numbered_files(present) - present, "the numbers of the others ask for")


def _refuse_missing(directory: Path, missing: set[str], reason: str) -> None:
    if missing:
        names = ", ".join(sorted(missing)[:3]) + (", ..." if len(missing) > 3 else "")
        raise EngineError(f"{directory} lacks {len(missing)} weight file(s) that {reason}: {names}")


def _shards_in(index: Path) -> set[str]:
    try:
        names = list(parse_json(index.read_bytes())["weight_map"].values())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        raise EngineError(f"{index} is not a safetensors index: no JSON object with a weight_map") from None
    for name in names:
        if not isinstance(name, str):
            raise EngineError(f"{index} is not a safetensors index: it names {name!r:.80} as a file")
    return set(names)


def _read_header(path: Path) -> WeightFile:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(LENGTH_BYTES)
            length = int.from_bytes(start, "little")
            _check_length(path, start=start + file.read(len(GIT_LFS_POINTER)), length=length, size=size)
            file.seek(LENGTH_BYTES)
            header = file.read(length)
    except OSError as problem:
        raise EngineError(f"{path} cannot be read: {problem.strerror or problem}") from None
    promised = LENGTH_BYTES + length + _data_bytes(path, header)
    if promised != size:
        raise EngineError(_wrong_size(path, promised, size))
    return WeightFile(path, size, header)


def _check_length(path: Path, *, start: bytes, length: int, size: int) -> None:
    if start.startswith(GIT_LFS_POINTER):
        raise EngineError(f"{path} is a Git LFS pointer, not the weights: run `git lfs pull` in its folder")
    if size >= LENGTH_BYTES and length > LARGEST_HEADER_BYTES:
        raise EngineError(f"{path} is not a safetensors file: it promises a header of {length} bytes")
    if size < LENGTH_BYTES + length:
        raise EngineError(_wrong_size(path, LENGTH_BYTES + length, size))


def _wrong_size(path: Path, promised: int, size: int) -> str:
    state = "truncated" if size < promised else "damaged"
    return f"{path} is {state}: it promises {promised} bytes but has {size}; copy or download it again"


def _data_bytes(path: Path, header: bytes) -> int:
    """Return the size of the tensors the header lists."""
    return max((end for _, end in _places(path, header)), default=0)


def _places(path: Path, header: bytes) -> list[tuple[int, int]]:
    """Return where each tensor of the header begins and ends; the one reader of these numbers.

    Raises: EngineError for a header that lists anything else.
    """
    try:
        tensors: Mapping[str, Any] = parse_json(header)
        places = [tuple(tensor["data_offsets"]) for name, tensor in tensors.items() if name != "__metadata__"]
    except (ValueError, LookupError, TypeError, AttributeError):
        raise EngineError(f"{path} is not a safetensors file: its header is damaged") from None
    for place in places:
        if [type(number) for number in place] != [int, int] or not 0 <= place[0] <= place[1]:
            raise EngineError(f"{path} is not a safetensors file: its header has a tensor at {place!s:.80}")
    return [(first, last) for first, last in places]


def _identity(file: WeightFile) -> Iterable[bytes]:
    yield file.path.name.encode()
    yield str(file.size_bytes).encode()
    yield file.header
    yield from _samples(file, 0, file.size_bytes - LENGTH_BYTES - len(file.header))


def _sampled(file: WeightFile, first: int, last: int) -> bytes:
    return b"".join(_samples(file, first, last))


def _samples(file: WeightFile, first: int, last: int) -> Iterable[bytes]:
    """Yield evenly spaced samples of the tensors' bytes from `first` to `last`.

    Raises: EngineError when they cannot be read.
    """
    begin = LENGTH_BYTES + len(file.header)
    step = (last - first) / SAMPLES
    try:
        with file.path.open("rb") as opened:
            for sample in range(SAMPLES):
                place = first + int(sample * step)
                opened.seek(begin + place)
                yield opened.read(min(SAMPLE_BYTES, last - place))
    except OSError as problem:
        raise EngineError(f"{file.path} cannot be read: {problem.strerror or problem}") from None
