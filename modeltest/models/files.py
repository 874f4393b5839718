"""The files of a checkpoint that decide an answer, each with a digest.

By file, so that a run that goes on can say which of them has changed. Not among them is what no loader reads:
documents, licences, pictures, weights in other formats.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from pathlib import Path

from modeltest.api import EngineError, SpecError
from modeltest.lora_requests import read_adapters
from modeltest.models.weights import WeightFile, identity_of, read_weight_file
from modeltest.plain.json_text import parse_json

READ_BY_LOADERS = (
    "*.json",  # configs, tokenizer, vocabulary, special tokens, generation, quantisation, adapters, indices
    "*.jinja",  # chat templates
    # Of tokenizers:
    "*.model",
    "*.tiktoken",
    "*.spm",
    "*.bpe",
    "*.vocab",
    "vocab*.txt",
    "merges*.txt",
    "added_tokens*.txt",
)
FOLDERS_OF_TEMPLATES = ("additional_chat_templates", "chat_templates")
NOT_READ = ("trainer_state.json", "training_args.json", "*_results.json")
"""What training leaves behind."""

CODE = "*.py"
WEIGHTS = ".safetensors"
ADAPTERS = "lora_adapter.json"
_CHUNK_BYTES = 1 << 20
_LENGTH_BYTES = 8


def fingerprint_of(files: Mapping[str, str]) -> str:
    """Return the sha256 that tells one checkpoint from another: over names and digests, sorted by name."""
    digest = hashlib.sha256()
    for name, of_file in sorted(files.items()):
        for part in (name.encode("utf-8", "surrogateescape"), of_file.encode()):
            digest.update(len(part).to_bytes(_LENGTH_BYTES, "little"))
            digest.update(part)
    return digest.hexdigest()


def digests_of(
    directory: Path, weights: Iterable[WeightFile], *, trusts_code: bool, lora: str | None
) -> dict[str, str]:
    """Return the sha256 of each file that decides an answer, by its name in `directory`.

    Of weights it covers size, header and samples of every tensor. Code counts where it is run, adapters where
    the file `lora` names them.

    Raises: EngineError for a file that cannot be read; SpecError for one of LoRA.
    """
    found = {_name(file.path, directory): _of_weights(file) for file in weights}
    for path in _read_files(directory, trusts_code=trusts_code):
        found[_name(path, directory)] = _of_file(path)
    if lora is not None:
        found["the data of lora"] = _of_file(Path(lora).expanduser())
        for name, path in _adapter_files(directory, lora):
            is_weights = path.suffix == WEIGHTS
            found[name] = _of_weights(read_weight_file(path)) if is_weights else _of_file(path)
    return dict(sorted(found.items()))


def last_written(directory: Path, weights: Iterable[WeightFile], *, lora: str | None) -> dict[str, str]:
    """Return when each file with weights was written last (UTC), by its name in `digests_of`.

    In whole seconds, since not every file system keeps more.
    """
    paths = {_name(file.path, directory): file.path for file in weights}
    if lora is not None:
        adapters = _adapter_files(directory, lora)
        paths |= {name: path for name, path in adapters if path.suffix == WEIGHTS}
    return {name: _written(path) for name, path in sorted(paths.items())}


def _written(path: Path) -> str:
    moment = datetime.fromtimestamp(int(path.stat().st_mtime), timezone.utc)
    return moment.isoformat(timespec="seconds")


def _read_files(directory: Path, *, trusts_code: bool) -> Iterator[Path]:
    for path in _entries(directory):
        if any(fnmatchcase(path.name, pattern) for pattern in READ_BY_LOADERS) and not any(
            fnmatchcase(path.name, pattern) for pattern in NOT_READ
        ):
            yield path
    for folder in FOLDERS_OF_TEMPLATES:
        yield from (path for path in _entries(directory / folder) if path.suffix == ".jinja")
    if trusts_code:
        yield from (path for path in sorted(directory.rglob(CODE)) if path.is_file())


def _entries(folder: Path) -> list[Path]:
    """Return the files in `folder`, none where there is no such folder."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError) as problem:  # the name may come from a file, with what no path has
        reason = getattr(problem, "strerror", None) or problem
        raise EngineError(f"{folder} cannot be read: {reason}") from None


def _adapter_files(directory: Path, lora: str) -> Iterator[tuple[str, Path]]:
    """Yield name and path of the files of each adapter that is asked for.

    Folders that are not there are the engine's to refuse: it knows the format.
    """
    try:
        folders = parse_json((directory / ADAPTERS).read_bytes())
    except (OSError, ValueError):
        return
    asked = set(read_adapters(lora).values())
    for adapter, folder in sorted(folders.items()) if isinstance(folders, dict) else ():
        if adapter in asked and isinstance(folder, str):
            for path in _entries(directory / folder):
                yield f"lora {adapter}/{path.name}", path


def _name(path: Path, directory: Path) -> str:
    return path.relative_to(directory).as_posix()


def _of_weights(file: WeightFile) -> str:
    digest = hashlib.sha256()
    for part in identity_of(file):
        digest.update(len(part).to_bytes(_LENGTH_BYTES, "little"))
        digest.update(part)
    return digest.hexdigest()


def _of_file(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except (OSError, ValueError) as problem:
        raise SpecError(f"{path} cannot be read: {getattr(problem, 'strerror', None) or problem}") from None
    return digest.hexdigest()
