"""Checkpoints of the first layers of another: its safetensors sliced, its config cut.

Each layer is written once, into a file of its own, and cuts share these by hard links: all cuts together
take as much room as the checkpoint does.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from modeltest.api import PrerequisiteError, SpecError
from modeltest.machine.files import write_json
from modeltest.models.config_json import JsonFile, read_json_object
from modeltest.models.layers import LayerField, decoder_stack, layers_asked
from modeltest.models.rules import LAYER_FIELDS
from modeltest.models.weights import (
    LENGTH_BYTES,
    WHOLE,
    WeightFile,
    read_by_loaders,
    read_weight_files,
    tensor_names,
)
from modeltest.plain.json_text import parse_json

OUTSIDE = "outside.safetensors"
"""Embedding, final norm, head, and whatever else is in no layer."""

_PARTS = "parts"
_CONFIG = "config.json"
_NOT_COPIED = (".bin", ".pt", ".pth", ".safetensors", ".h5", ".msgpack", ".onnx", ".gguf", ".index.json")
_NO_LAYER_LISTS = ("architectures", "eos_token_id", "bos_token_id", "pad_token_id", "auto_map")
_SPREAD = ("num_kv_shared_layers", "num_nextn_predict_layers", "mtp_num_hidden_layers")
"""What layers share with others behind them, or are counted behind them: a cut would be another model."""

_CHUNK = 16 << 20


@dataclass(frozen=True, slots=True)
class _Tensor:
    file: WeightFile
    about: Mapping[str, Any]
    """dtype, shape and offsets as its file has them."""

    @property
    def size(self) -> int:
        first, last = self.about["data_offsets"]
        return int(last - first)


@dataclass(frozen=True, slots=True)
class CutSource:
    """A checkpoint whose layers were found."""

    directory: Path
    config: JsonFile
    place: LayerField
    by_layer: Mapping[int | None, Mapping[str, _Tensor]]
    """Weights by layer; `None`: those of no layer."""

    @property
    def layers(self) -> int:
        """How many layers the whole model has."""
        return self.place.layers

    @property
    def size_bytes(self) -> int:
        """What all cuts take together."""
        return sum(tensor.size for tensors in self.by_layer.values() for tensor in tensors.values())


def read_source(directory: Path) -> CutSource:
    """Find the layers of the checkpoint in `directory`.

    Raises: SpecError for one whose layers are not understood, naming the family; as `read_weight_files`.
    """
    config = read_json_object(directory / _CONFIG)
    files = read_by_loaders(directory, read_weight_files(directory))
    field, stack = layers_asked(config), decoder_stack(tensor_names(files))
    family = config.values.get("model_type", "of no named family")
    if field is None or stack is None or set(stack[1]) != set(range(field.layers)):
        raise SpecError(
            f"{directory}: the layers of a {family!s:.60} model are not understood, so no checkpoint of the "
            "first ones can be made; give an engine that holds its model, such as hf"
        )
    table = _table(config.values, field.keys)
    if spread := next((name for name in _SPREAD if table.get(name)), None):
        raise SpecError(
            f"{config.place(*field.keys[:-1], spread)}: with {spread} the first layers of a {family!s:.60} "
            "model are no model of their own, so none can be cut off"
        )
    layer_of = {name: layer for layer, names in stack[1].items() for name in names}
    by_layer: dict[int | None, dict[str, _Tensor]] = {None: {}}
    for file in files:
        for name, about in parse_json(file.header).items():
            if name != "__metadata__":
                by_layer.setdefault(layer_of.get(name), {})[name] = _Tensor(file, about)
    return CutSource(directory, config, field, by_layer)


def require_room(sources: Sequence[CutSource], folder: Path) -> int:
    """Return how many bytes all cuts of `sources` take.

    Raises: PrerequisiteError where the disk of `folder` has no room for them.
    """
    needed, free = sum(each.size_bytes for each in sources), shutil.disk_usage(folder).free
    if needed > free:
        raise PrerequisiteError(
            f"checkpoints of the first layers need up to {needed / 1e9:.2f} GB in {folder}, its disk has "
            f"{free / 1e9:.2f} GB free: make room, or give another disk with --output or --keep"
        )
    return needed


def write_cut(source: CutSource, layers: int, folder: Path) -> Path:
    """Return the checkpoint of the first `layers` layers below `folder`; one that is there is left as it is.

    Raises: PrerequisiteError where it cannot be written.
    """
    target = folder / f"{layers}-layers"
    if target.is_dir():
        return target
    draft = folder / f".{target.name}.tmp"
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        _fill(source, layers, draft, folder / _PARTS)
        draft.replace(target)
    except OSError as problem:
        raise PrerequisiteError(
            f"no checkpoint of the first layers can be written to {folder}: {problem}"
        ) from problem
    return target


def cut_config(values: Mapping[str, Any], place: LayerField, layers: int) -> dict[str, Any]:
    """Return the config of the first `layers` layers: their number, and every list of one entry per layer."""
    *outer, _ = place.keys
    cut = {name: _cut_entry(name, value, place.layers, layers) for name, value in values.items()}
    for name in outer:
        inner = values[name]
        cut[name] = {key: _cut_entry(key, value, place.layers, layers) for key, value in inner.items()}
    return cut


def _cut_entry(name: str, value: Any, before: int, layers: int) -> Any:
    if name in LAYER_FIELDS and value == before:
        return layers
    if isinstance(value, list) and len(value) == before and name not in _NO_LAYER_LISTS:
        return value[:layers]
    return value


def _table(values: Mapping[str, Any], keys: Sequence[str]) -> Mapping[str, Any]:
    for name in keys[:-1]:
        values = values[name]
    return values


def _fill(source: CutSource, layers: int, draft: Path, parts: Path) -> None:
    parts.mkdir(exist_ok=True)
    chosen: dict[str, Mapping[str, _Tensor]] = {OUTSIDE: source.by_layer[None]}
    chosen.update({f"layer-{layer:05}.safetensors": source.by_layer[layer] for layer in range(layers)})
    for name, tensors in chosen.items():
        part = parts / name
        if not part.exists():
            _write_part(tensors, part)
        _share(part, draft / name)
    total = sum(tensor.size for tensors in chosen.values() for tensor in tensors.values())
    weight_map = {tensor: name for name, tensors in chosen.items() for tensor in tensors}
    write_json(draft / f"{WHOLE}.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map})
    for path in sorted(source.directory.iterdir()):
        is_copied = path.is_file() and not path.name.startswith(".") and path.name != _CONFIG
        if is_copied and not path.name.endswith(_NOT_COPIED):
            shutil.copyfile(path, draft / path.name)
    write_json(draft / _CONFIG, cut_config(source.config.values, source.place, layers))


def _share(part: Path, target: Path) -> None:
    """Let `target` be the file `part` too; by name alone on disks that know no hard links."""
    try:
        os.link(part, target)
    except OSError:
        target.symlink_to(part.resolve())


def _write_part(tensors: Mapping[str, _Tensor], path: Path) -> None:
    """Write `tensors`, byte for byte as they are, into a safetensors file of their own."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, tensor in tensors.items():
        header[name] = {**tensor.about, "data_offsets": [end, end + tensor.size]}
        end += tensor.size
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % LENGTH_BYTES)
    draft = path.with_name(f".{path.name}.tmp")
    with draft.open("wb") as written:
        written.write(len(raw).to_bytes(LENGTH_BYTES, "little"))
        written.write(raw)
        for tensor in tensors.values():
            _copy(tensor, written)
    draft.replace(path)


def _copy(tensor: _Tensor, written: IO[bytes]) -> None:
    begin = LENGTH_BYTES + len(tensor.file.header) + tensor.about["data_offsets"][0]
    remaining = tensor.size
    with tensor.file.path.open("rb") as opened:
        opened.seek(begin)
        while remaining:
            piece = opened.read(min(_CHUNK, remaining))
            if not piece:
                raise OSError(f"{tensor.file.path} ends before its weights do")
            written.write(piece)
            remaining -= len(piece)
