"""Over how many ranks vLLM splits a model, read from config.json alone: nothing loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from modeltest.api import ModelInfo, PrerequisiteError, RankUse, RunSpec
from modeltest.plain.json_text import JsonError, parse_published_json

_USABLE = ("dp", "tp")

_BACKENDS: Mapping[str, str] = {"cpu": "gloo", "cuda": "nccl", "npu": "hccl"}


def check_split(spec: RunSpec, model: ModelInfo) -> None:
    """Refuse ranks that vLLM cannot share a model out to.

    Raises: PrerequisiteError that says what to ask for instead.
    """
    if spec.cluster is not None:
        raise PrerequisiteError("engine vllm runs on one machine; leave the rank table out")
    degrees = {name: value for name, value in asdict(spec.parallel).items() if value > 1}
    others = [f"{name} {value}" for name, value in degrees.items() if name not in _USABLE]
    if others:
        raise PrerequisiteError(
            f"engine vllm knows the parallel degree tp; the words ask for {', '.join(others)}: leave them at "
            "1 or -1"
        )
    if degrees.get("dp", 1) > 1:
        raise PrerequisiteError(
            f"engine vllm steps one replica of the model, and the words ask for dp {degrees['dp']}: give tp "
            f"{spec.world_size}, or run engine hf, which has replicas in accuracy runs"
        )
    if degrees.get("tp", spec.world_size) != spec.world_size:
        raise PrerequisiteError(
            f"the words ask for tp {degrees['tp']} on {spec.world_size} chips; give {degrees['tp']} before "
            "the brackets, or leave tp at -1"
        )
    if spec.world_size > 1:
        _check_heads(model, spec.world_size)


def _check_heads(model: ModelInfo, size: int) -> None:
    config = _config(model)
    heads, kept = config.get("num_attention_heads"), config.get("num_key_value_heads")
    if not isinstance(heads, int) or _fits(heads, kept, size):
        return  # what vLLM makes of a family that counts otherwise it says at load
    fitting = [each for each in range(1, heads + 1) if _fits(heads, kept, each)]
    raise PrerequisiteError(
        f"{model.name} with {heads} attention heads and {kept or heads} of keys and values cannot be split "
        f"over {size} ranks; world sizes that work: {', '.join(map(str, fitting))}"
    )


def _fits(heads: int, kept: Any, size: int) -> bool:
    kept = kept if isinstance(kept, int) and kept > 0 else heads
    return heads % size == 0 and (kept % size == 0 or size % kept == 0)


def _config(model: ModelInfo) -> Mapping[str, Any]:
    """Return the part of config.json that describes the text decoder.

    Raises: PrerequisiteError.
    """
    place = Path(model.path) / "config.json"
    try:
        found = parse_published_json(place.read_bytes())
    except (OSError, JsonError) as problem:
        raise PrerequisiteError(f"{place} cannot be read: {problem}") from None
    inner = found.get("text_config") if isinstance(found, dict) else {}
    return inner if isinstance(inner, dict) else found


def share_of_cache(config: Any, size: int) -> int:
    """Return into how many parts keys and values of a token are split over `size` ranks."""
    kept = getattr(config, "num_key_value_heads", None) or getattr(config, "num_attention_heads", None)
    return min(size, kept) if isinstance(kept, int) and kept > 0 else 1


def rank_use(spec: RunSpec, device: str) -> RankUse | None:
    """Return how the ranks share the work; `None` where the worker does it all."""
    size = spec.world_size
    if size == 1:
        return None
    names = tuple(device if device == "cpu" else f"{device}:{rank}" for rank in range(size))
    return RankUse(size, split=size, replicas=1, backend=_BACKENDS.get(device, device), devices=names)
