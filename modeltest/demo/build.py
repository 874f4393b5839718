"""Write a demo checkpoint: config, seeded weights, tokenizer and, for internlm2, the model's own code."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modeltest.api import PrerequisiteError, SpecError
from modeltest.demo.corpus import sample_texts
from modeltest.demo.directory import check_replaceable, written_beside
from modeltest.demo.families import FAMILY_BY_NAME, VOCABULARY_SIZE, Family, Specials
from modeltest.demo.tokenizer import tokenizer_files
from modeltest.installation import install_command
from modeltest.torch_on_host import import_torch

if TYPE_CHECKING:
    import torch

FAMILIES: tuple[str, ...] = tuple(FAMILY_BY_NAME)
DTYPES: tuple[str, ...] = ("float32", "bfloat16", "float16")

_WEIGHTS_FILE = "model.safetensors"
_JSON_FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
_REMOTE_CODE = Path(__file__).resolve().parent / "remote_code"
OWN_FILES = frozenset(
    {_WEIGHTS_FILE, *_JSON_FILES, "chat_template.jinja", *(path.name for path in _REMOTE_CODE.glob("*.py"))}
)
"""The names of all files that a demo model may have."""


def build_demo_model(
    family: str, directory: Path, *, dtype: str = "float32", seed: int = 0, force: bool = False
) -> Path:
    """Write a checkpoint of `family` into `directory` and return the directory.

    Equal arguments give equal bytes, on any machine. The directory appears complete or not at all; `force`
    replaces an earlier demo model in it, never other files.

    Raises: SpecError for an unknown family or dtype or an unusable directory; PrerequisiteError when torch,
    safetensors or tokenizers are not installed.
    """
    shape = _chosen(family, FAMILY_BY_NAME, kind="demo family")
    _chosen(dtype, dict.fromkeys(DTYPES), kind="dtype")
    _require_packages()
    check_replaceable(directory, OWN_FILES, force=force)
    with written_beside(directory.resolve()) as draft:
        _write_config(shape, draft, dtype=dtype)
        _write_weights(shape, draft / _WEIGHTS_FILE, dtype=dtype, seed=seed)
        for name, content in tokenizer_files(shape, sample_texts()).items():
            _write_json(draft / name, content)
        for name in shape.remote_code:
            shutil.copyfile(_REMOTE_CODE / name, draft / name)
    return directory


def _chosen(name: str, choices: Mapping[str, Any], *, kind: str) -> Any:
    if name not in choices:
        raise SpecError(f"unknown {kind} {name!r}; available: {', '.join(choices)}")
    return choices[name]


def _require_packages() -> None:
    missing = [name for name in ("torch", "safetensors", "tokenizers") if find_spec(name) is None]
    if missing:
        raise PrerequisiteError(
            f"a demo model needs {', '.join(missing)}, not installed here: {install_command('hf')}"
        )


def _write_config(family: Family, directory: Path, *, dtype: str) -> None:
    specials = family.specials
    token_ids = _token_ids(specials)
    config = {
        **family.config,
        "vocab_size": VOCABULARY_SIZE,
        **token_ids,
        "torch_dtype": dtype,  # what transformers 4 and MindIE read
        "dtype": dtype,  # what transformers 5 reads
    }
    _write_json(directory / "config.json", config)
    ends = [specials.eos, *([specials.turn_end] if family.turn_end_stops else [])]
    end_ids = [specials.tokens.index(token) for token in ends]
    eos = end_ids if len(end_ids) > 1 else end_ids[0]
    _write_json(directory / "generation_config.json", {**token_ids, "eos_token_id": eos})


def _token_ids(specials: Specials) -> dict[str, int]:
    """Return the ids for the config; without a BOS token its end of text stands there, as published."""
    roles = {"bos": specials.bos or specials.eos, "eos": specials.eos, "pad": specials.pad}
    return {f"{role}_token_id": specials.tokens.index(token) for role, token in roles.items()}


def _write_weights(family: Family, path: Path, *, dtype: str, seed: int) -> None:
    torch = import_torch()
    from safetensors.torch import save

    generator = torch.Generator().manual_seed(seed)
    kind = getattr(torch, dtype)
    weights = {
        name: _draw(shape, sd=family.sd_of(name), generator=generator).to(kind)
        for name, shape in family.all_weights()
    }
    weights |= {name: torch.full(shape, family.norm_value, dtype=kind) for name, shape in family.all_norms()}
    path.write_bytes(
        save(weights, metadata={"format": "pt"})
    )  # save_file makes a file only its owner can read


def _draw(shape: tuple[int, ...], *, sd: float, generator: torch.Generator) -> torch.Tensor:
    """Draw from a uniform distribution: its bits, unlike a normal one's, are the same on every CPU."""
    import torch

    return (torch.rand(shape, generator=generator) - 0.5) * (math.sqrt(12) * sd)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
