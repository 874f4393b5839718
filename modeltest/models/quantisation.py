"""Which kind of quantisation a checkpoint has: from its config.json, or from the file its quantiser wrote."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modeltest.api import MINDIE_KINDS, SpecError
from modeltest.models.config_json import JsonFile, read_json_object

SPARSE_KINDS = frozenset({"w8a8s", "w8a8sc", "w16a16s", "w16a16sc"})
"""Kinds that only the chips of a 300I DUO compute."""

SPLIT_KINDS = frozenset({"w8a8sc"})
"""Kinds whose weights are compressed for each rank, in folders `part0-of-2`, `part1-of-2`."""

DESCRIPTION = "quant_model_description.json"
DESCRIPTIONS = (DESCRIPTION, "quant_model_description_*.json")
"""What msModelSlim writes beside the weights; earlier versions put the kind into the name."""

RENAMED_WITH_DESCRIPTION = {"w8a8_mix": "w8a8_pdmix"}


def quantisation(config: JsonFile) -> str | None:
    """Return the quantisation: MindIE's kind from config or description, else the method of transformers.

    Raises: SpecError for a kind that nobody knows.
    """
    description = _description(config.path.parent)
    value, source, key = config.values.get("quantize"), config, "quantize"
    if value is None and description is not None:
        source, key = read_json_object(description), "model_quant_type"
        value = source.values.get(key)
    if value is None:
        return _quant_method(config.values)
    kind = value.lower() if isinstance(value, str) else None
    if kind not in MINDIE_KINDS:
        raise SpecError(
            f"{source.place(key)}: unknown {key} {json.dumps(value)}; known: {', '.join(MINDIE_KINDS)}"
        )
    return RENAMED_WITH_DESCRIPTION.get(kind, kind) if description is not None else kind


def weight_folders(directory: Path, kind: str | None, world_size: int) -> tuple[Path, ...]:
    """Return the folders that hold the weights of a checkpoint: itself, or one per rank.

    Raises: SpecError when there is no set of folders for `world_size` ranks.
    """
    if kind not in SPLIT_KINDS:
        return (directory,)
    wanted = tuple(directory / f"part{rank}-of-{world_size}" for rank in range(world_size))
    missing = [folder.name for folder in wanted if not folder.is_dir()]
    if not missing:
        return wanted
    sizes = sorted(
        {
            int(found[1])
            for path in directory.glob("part*-of-*")
            if (found := re.search(r"-of-(\d+)$", path.name))
        }
    )
    there = f"it was split for {', '.join(map(str, sizes))}" if sizes else "there are no such folders"
    raise SpecError(
        f"{directory} is {kind}: its weights are split by rank, and {missing[0]} is missing for "
        f"{world_size} devices; {there}"
    )


def _description(directory: Path) -> Path | None:
    found = (path for pattern in DESCRIPTIONS for path in sorted(directory.glob(pattern)))
    return next(found, None)


def _quant_method(config: Mapping[str, Any]) -> str | None:
    settings = config.get("quantization_config")
    method = settings.get("quant_method") if isinstance(settings, Mapping) else None
    return method if isinstance(method, str) and method else None
