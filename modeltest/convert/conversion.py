"""From a folder of torch files to safetensors that every loader finds, or to a reason why not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from modeltest.api import EngineError, PrerequisiteError, SpecError
from modeltest.convert.companions import companion_files, copy_companion, is_same_file
from modeltest.convert.one_file import ConvertFile, FileConverter, require_space
from modeltest.convert.sources import TorchCheckpoint, TorchFile, find_torch_files
from modeltest.convert.staging import Finished, Staging
from modeltest.installation import install_command
from modeltest.machine.files import write_json
from modeltest.models.weights import read_weight_files

INDEX = "model.safetensors.index.json"

HEADER_BYTES = 1 << 20
"""What a file may need beyond its tensors; headers of large models have some 100 KB."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What was converted."""

    target: Path
    files: int
    tensors: int
    tensor_bytes: int
    source_bytes: int
    """Of the torch files, which are still there."""


def convert_checkpoint(
    directory: Path,
    *,
    output: Path | None = None,
    force: bool = False,
    tell: Callable[[str], None],
    convert_file: ConvertFile | None = None,
) -> Conversion:
    """Rewrite the torch files of `directory` as safetensors, there or in `output`; nothing is deleted.

    No file is in its place before all of them are written and verified, and what a killed conversion finished
    is not done again. `output` also gets the checkpoint's other files. `force` replaces safetensors of the
    same names. `tell` is called with a line per file. Each file is converted by `convert_file`; `None`
    does it in a process of its own.

    Raises: SpecError when there is nothing to convert or something in the way; EngineError when a torch file
    is damaged, incomplete or holds more than tensors; PrerequisiteError without torch, space or permission.
    """
    _require_packages()
    checkpoint = find_torch_files(directory)
    staging = Staging(directory if output is None else output)
    with staging.locked():
        try:
            finished = staging.finished(checkpoint)
            _refuse_existing(checkpoint, staging, finished, force=force)
            _check_space(
                staging.target, [file for file in checkpoint.files if file.path.name not in finished]
            )
            with closing(FileConverter()) as in_own_process:
                convert = convert_file or in_own_process
                _convert_all(checkpoint, staging, finished, tell=tell, convert=convert)
            _publish(checkpoint, staging, finished)
        finally:
            staging.remove_if_unused()
    return _describe(checkpoint, staging.target, finished.values())


def _require_packages() -> None:
    missing = [name for name in ("torch", "safetensors", "numpy") if find_spec(name) is None]
    if missing:
        raise PrerequisiteError(
            f"converting needs {', '.join(missing)}, not installed here: {install_command('hf')}"
        )


def _refuse_existing(
    checkpoint: TorchCheckpoint, staging: Staging, finished: Mapping[str, Finished], *, force: bool
) -> None:
    target = staging.target
    written = {file.target for file in checkpoint.files} | ({INDEX} if len(checkpoint.files) > 1 else set())
    earlier = {each.target for each in finished.values() if staging.is_published(each)}
    if len(earlier) == len(checkpoint.files):
        earlier.add(INDEX)
    present = {path.name for pattern in ("*.safetensors", f"*{INDEX}") for path in target.glob(pattern)}
    if foreign := sorted(present - written):
        raise SpecError(
            f"{target} holds {foreign[0]}, which is none of the files to be written: together they would be "
            "no checkpoint; move it away, or write elsewhere with --output DIR"
        )
    in_the_way = sorted(present - earlier) + [
        source.name
        for source in companion_files(checkpoint, target)
        if (target / source.name).exists() and not is_same_file(source, target / source.name)
    ]
    if in_the_way and not force:
        raise SpecError(
            f"{target} holds {in_the_way[0]} already; --force replaces it, --output DIR writes elsewhere"
        )


def _check_space(target: Path, files: Iterable[TorchFile]) -> None:
    needed = sum(file.size_bytes + HEADER_BYTES for file in files)
    require_space(target, needed)


def _convert_all(
    checkpoint: TorchCheckpoint,
    staging: Staging,
    finished: dict[str, Finished],
    *,
    tell: Callable[[str], None],
    convert: ConvertFile,
) -> None:
    owners = {name: each.source for each in finished.values() for name in each.names}
    for number, file in enumerate(checkpoint.files, start=1):
        source = file.path.name
        done, state = finished.get(source), "done before"
        if done is None:
            done, state = _convert_one(file, staging, owners, convert), "verified"
            finished[source] = done
            staging.record(finished)
            owners |= dict.fromkeys(done.names, source)
        tell(
            f"{number} of {len(checkpoint.files)}: {source} -> {done.target}, {len(done.names)} tensors, "
            f"{done.tensor_bytes / 1e9:.2f} GB, {state}"
        )
    if missing := sorted(checkpoint.promised - set(owners)):
        raise EngineError(
            f"the index of {checkpoint.directory} names {len(missing)} tensors that are in no file, such as "
            f"{missing[0]}; download the checkpoint again"
        )


def _convert_one(
    file: TorchFile, staging: Staging, owners: Mapping[str, str], convert: ConvertFile
) -> Finished:
    waiting = staging.waiting(file.target)
    waiting.unlink(missing_ok=True)
    written = convert(file.path, waiting)
    if twice := sorted(set(written.names) & set(owners)):
        waiting.unlink(missing_ok=True)
        raise EngineError(
            f"{file.path} and {owners[twice[0]]} both hold {twice[0]}: these files are not the parts of one "
            "checkpoint (ranks of a training must be merged first)"
        )
    return Finished(
        source=file.path.name,
        source_bytes=file.size_bytes,
        source_modified_ns=file.modified_ns,
        target=file.target,
        target_bytes=written.file_bytes,
        tensor_bytes=written.tensor_bytes,
        names=written.names,
    )


def _publish(checkpoint: TorchCheckpoint, staging: Staging, finished: Mapping[str, Finished]) -> None:
    """Put everything in its place: the index after the files it names, config.json last."""
    try:
        for each in finished.values():
            staging.publish(each)
        if len(checkpoint.files) > 1:
            write_json(staging.target / INDEX, _index(finished.values()))
        for source in companion_files(checkpoint, staging.target):
            copy_companion(source, staging.target)
    except OSError as problem:
        raise PrerequisiteError(
            f"cannot write into {staging.target}: {problem.strerror or problem}"
        ) from None
    read_weight_files(staging.target)
    staging.remove()


def _index(finished: Iterable[Finished]) -> dict[str, object]:
    files = list(finished)
    weight_map = {name: each.target for each in files for name in each.names}
    return {
        "metadata": {"total_size": sum(each.tensor_bytes for each in files)},
        "weight_map": dict(sorted(weight_map.items())),
    }


def _describe(checkpoint: TorchCheckpoint, target: Path, finished: Iterable[Finished]) -> Conversion:
    files = list(finished)
    return Conversion(
        target=target,
        files=len(files),
        tensors=sum(len(each.names) for each in files),
        tensor_bytes=sum(each.tensor_bytes for each in files),
        source_bytes=sum(file.size_bytes for file in checkpoint.files),
    )
