"""The LoRA adapters of a checkpoint as MindIE finds them: `lora_adapter.json`, a map of names to folders.

They are handed to PARunner by name as well: reading the file by itself ends with MindIE of July 2026.

Source: Ascend/MindIE-LLM at 8b4871ad, examples/atb_models/examples/run_pa.py.
"""

from __future__ import annotations

from pathlib import Path

from engines.mindie.environment import check_path
from modeltest.api import ModelInfo, RunSpec, SpecError
from modeltest.lora_requests import BASE, read_adapters
from modeltest.plain.json_text import parse_json

FILE_NAME = "lora_adapter.json"

NO_ADAPTER = BASE

_SETTINGS = "adapter_config.json"


def adapter_paths(model: ModelInfo) -> dict[str, str]:
    """Return the folder of each adapter of a checkpoint by its name, relative ones taken from its own folder.

    Raises: SpecError.
    """
    place = Path(model.path) / FILE_NAME
    try:
        found = parse_json(place.read_bytes())
    except FileNotFoundError:
        raise SpecError(
            f'the words ask for LoRA, and {place} is not there; write it: {{"adapter1": "/folder/of/it"}}'
        ) from None
    except (OSError, ValueError) as problem:
        raise SpecError(f"{place} cannot be read: {problem}") from None
    if not isinstance(found, dict) or not all(isinstance(path, str) and path for path in found.values()):
        raise SpecError(f"{place} is no map of adapter names to folders")
    return {name: str((Path(model.path) / path).resolve()) for name, path in found.items()}


def check_lora(spec: RunSpec, model: ModelInfo) -> None:
    """Refuse adapters that are asked for and are not there, or that MindIE would refuse to open.

    Raises: SpecError.
    """
    if not spec.lora:
        return
    known = adapter_paths(model)
    for request, name in read_adapters(spec.lora).items():
        if name not in known:
            raise SpecError(
                f"{spec.lora} gives request {request} the adapter {name!r}; {FILE_NAME} of the weights has: "
                f"{', '.join(sorted(known)) or 'none'} (and {NO_ADAPTER}: the model as it is)"
            )
    for name, path in known.items():
        if not (Path(path) / _SETTINGS).is_file():
            raise SpecError(f"the adapter {name!r} of {FILE_NAME} has no {_SETTINGS} in {path}")
        check_path(f"the folder of the adapter {name!r}", Path(path), "rename or move it")
