"""How ranks share a model: replicas, each split over ranks that vLLM starts. Nothing is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from modeltest.api import ModelInfo, PrerequisiteError, RankUse, RunSpec
from modeltest.plain.json_text import JsonError, parse_published_json

_USABLE = ("dp", "tp")

_BACKENDS: Mapping[str, str] = {"cpu": "gloo", "cuda": "nccl", "npu": "hccl"}


@dataclass(frozen=True, slots=True)
class Degrees:
    """How many `replicas` of the model there are, and over how many ranks each is `split`."""

    replicas: int
    split: int


def degrees(spec: RunSpec) -> Degrees:
    """Return what the words ask for; what they leave open is the split.

    Raises: PrerequisiteError for what does not come out as the world size, or is not available.
    """
    given = {name: value for name, value in asdict(spec.parallel).items() if value > 1}
    others = [f"{name} {value}" for name, value in given.items() if name not in _USABLE]
    if others:
        raise PrerequisiteError(
            f"engine vllm knows the parallel degrees dp and tp; the words ask for {', '.join(others)}: leave "
            "them at 1 or -1"
        )
    size, dp, tp = spec.world_size, spec.parallel.dp, spec.parallel.tp
    replicas = dp if dp > 0 else max(1, size // tp if tp > 0 else 1)
    split = tp if tp > 0 else max(1, size // replicas)
    if replicas * split != size:
        raise PrerequisiteError(
            f"the words ask for dp {replicas} and tp {split} on {size} chips; their product must be the "
            f"number of chips: give {replicas * split} before the brackets, or other degrees"
        )
    return Degrees(replicas, split)


def check_split(spec: RunSpec, model: ModelInfo) -> None:
    """Refuse ranks that cannot share the work.

    Raises: PrerequisiteError that says what to ask for instead.
    """
    if spec.cluster is not None:
        raise PrerequisiteError("engine vllm runs on one machine; leave the rank table out")
    found = degrees(spec)
    if found.replicas > 1 and spec.cases:
        raise PrerequisiteError(
            f"dp {found.replicas} splits the questions of an accuracy run; {spec.mode} times one batch on "
            f"one model: give tp {spec.world_size}, or time one replica on {found.split} of the chips"
        )
    if found.split > 1:
        _check_heads(model, found.split)


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
    size, found = spec.world_size, degrees(spec)
    if size == 1:
        return None
    names = tuple(device if device == "cpu" else f"{device}:{rank}" for rank in range(size))
    backend = _BACKENDS.get(device, device) if found.split > 1 else "sockets"
    return RankUse(size, split=found.split, replicas=found.replicas, backend=backend, devices=names)
