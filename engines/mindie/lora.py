"""The LoRA adapters of a checkpoint as MindIE takes them: all of `lora_adapter.json`, handed over by name.

They are handed to PARunner by name as well: reading the file by itself ends with MindIE of July 2026.
"""

from __future__ import annotations

from pathlib import Path

from engines.common.lora_adapters import adapter_paths, check_folders, named_adapters
from engines.mindie.environment import check_path
from modeltest.api import ModelInfo, RunSpec
from modeltest.lora_requests import BASE

NO_ADAPTER = BASE


def check_lora(spec: RunSpec, model: ModelInfo) -> None:
    """Refuse adapters that are asked for and are not there, or that MindIE would refuse to open.

    Raises: SpecError.
    """
    if not spec.lora:
        return
    named_adapters(spec, model)
    known = adapter_paths(model)
    check_folders(known)
    for name, path in known.items():
        check_path(f"the folder of the adapter {name!r}", Path(path), "rename or move it")
