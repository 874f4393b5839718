"""The LoRA adapters that requests name, and how large vLLM makes its room for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engines.common.lora_adapters import SETTINGS, check_folders, named_adapters
from modeltest.api import ModelInfo, RunSpec, SpecError
from modeltest.plain.json_text import JsonError, parse_published_json

_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""The sizes that vLLM makes room for."""

_PATTERNS = ("rank_pattern", "alpha_pattern")


@dataclass(frozen=True, slots=True)
class Adapters:
    """The adapters of a run."""

    folders: Mapping[str, str] = field(default_factory=dict)
    """By name, of those that requests name."""

    rank: int = 0
    """The largest of them, as vLLM makes room for it."""

    patterns: tuple[str, ...] = ()
    """Settings they have that give some modules another rank or factor."""

    def arguments(self) -> dict[str, Any]:
        """Return what vLLM is told of them."""
        if not self.folders:
            return {}
        # On the cpu vLLM 0.32 answers rows without an adapter with the last place for one: it stays empty.
        places = len(self.folders) + 1
        return {
            "enable_lora": True,
            "max_lora_rank": self.rank,
            "max_loras": places,
            "max_cpu_loras": places,
        }


def adapters_of(spec: RunSpec, model: ModelInfo) -> Adapters:
    """Return the adapters that the words name, their settings read.

    Raises: SpecError for one that is not there, or whose settings cannot be used.
    """
    folders = named_adapters(spec, model)
    if not folders:
        return Adapters()
    check_folders(folders)
    settings = {folder: _read(Path(folder) / SETTINGS) for folder in folders.values()}
    largest = max(_rank(folder, found) for folder, found in settings.items())
    rank = next((size for size in _RANKS if size >= largest), None)
    if rank is None:
        raise SpecError(f"an adapter has rank {largest}; vLLM takes {_RANKS[-1]} at most")
    patterns = [name for name in _PATTERNS if any(found.get(name) for found in settings.values())]
    return Adapters(folders, rank, tuple(patterns))


def _read(settings: Path) -> dict[str, Any]:
    try:
        found = parse_published_json(settings.read_bytes())
    except (OSError, JsonError) as problem:
        raise SpecError(f"{settings} cannot be read: {problem}") from None
    if not isinstance(found, dict):
        raise SpecError(f"{settings} is no map of settings")
    return found


def _rank(folder: str, settings: Mapping[str, Any]) -> int:
    """Return the largest rank of any module of the adapter in `folder`.

    Raises: SpecError.
    """
    patterns = settings.get("rank_pattern") or {}
    ranks = [settings.get("r"), *(patterns.values() if isinstance(patterns, dict) else [None])]
    known = [rank for rank in ranks if type(rank) is int and rank > 0]
    if len(known) < len(ranks):
        raise SpecError(f"{SETTINGS} of the adapter in {folder} gives no rank: `r`, a whole number above 0")
    return max(known)
