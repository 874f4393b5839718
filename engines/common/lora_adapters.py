"""The LoRA adapters of a checkpoint: `lora_adapter.json` beside the weights, a map of names to folders.

Source: Ascend/MindIE-LLM at 8b4871ad, examples/atb_models/examples/run_pa.py; every engine finds them so.
"""

from __future__ import annotations

from pathlib import Path

from modeltest.api import ModelInfo, RunSpec, SpecError
from modeltest.lora_requests import BASE, read_adapters
from modeltest.plain.json_text import parse_json

FILE_NAME = "lora_adapter.json"

SETTINGS = "adapter_config.json"


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


def named_adapters(spec: RunSpec, model: ModelInfo) -> dict[str, str]:
    """Return the folder of each adapter that the words name, by its name; none where they name none.

    Raises: SpecError for an adapter that is named and is not there.
    """
    if not spec.lora:
        return {}
    known = adapter_paths(model)
    named = read_adapters(spec.lora)
    for request, name in named.items():
        if name not in known:
            raise SpecError(
                f"{spec.lora} gives request {request} the adapter {name!r}; {FILE_NAME} of the weights has: "
                f"{', '.join(sorted(known)) or 'none'} (and {BASE}: the model as it is)"
            )
    return {name: known[name] for name in sorted(set(named.values()))}


def check_folders(paths: dict[str, str]) -> None:
    """Refuse adapters whose folder holds no settings.

    Raises: SpecError.
    """
    for name, path in paths.items():
        if not (Path(path) / SETTINGS).is_file():
            raise SpecError(f"the adapter {name!r} of {FILE_NAME} has no {SETTINGS} in {path}")
