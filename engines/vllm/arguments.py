"""What vLLM's engine is told, in its own words: chosen for what is asked, and recorded. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from engines.vllm.lora import Adapters
from engines.vllm.options import Options
from engines.vllm.sizes import Sizes
from modeltest.api import ModelInfo, RunSpec

_SMALLEST_BLOCKS: Mapping[str, int] = MappingProxyType({"cpu": 32, "cuda": 16})
"""Only whole blocks are shared, so that small ones waste less of a prefix. Elsewhere vLLM chooses."""

MOST_SHARE = 0.9
"""Of an accelerator's memory, as vLLM's own default was for long."""

_OF_FREE = 0.95

_EVERY_TOKEN = -1


@dataclass(frozen=True, slots=True)
class Place:
    """Where the engine runs and what it finds there."""

    device: str
    context_tokens: int
    cache_bytes: int | None = None
    """For keys and values on the cpu; `None`: vLLM takes what its share leaves."""

    free_share: float = 1.0
    """Of an accelerator's memory, what is free."""

    host_bytes: int | None = None
    """Of the memory for weights and cache on the cpu, this engine's part; `None`: what is free."""

    ranks: int = 1
    """Processes that share the model."""

    adapters: Adapters = field(default_factory=Adapters)
    """That answer some requests."""


def compiles(spec: RunSpec, device: str, options: Options) -> bool:
    """Say whether the model is compiled: where times are taken, and on accelerators, whose graphs it needs.

    On the cpu compiling takes longer than most accuracy runs.
    """
    if options.compile is not None:
        return options.compile
    return bool(spec.cases) or device != "cpu"


def arguments(
    spec: RunSpec, model: ModelInfo, *, sizes: Sizes, options: Options, place: Place, dtype: str
) -> dict[str, Any]:
    """Return the arguments of vLLM's engine."""
    caches = not sizes.is_timed if options.prefix_cache is None else options.prefix_cache
    given: dict[str, Any] = {
        "model": model.path,
        "skip_tokenizer_init": True,  # prompts are token ids, for every engine the same ones
        "trust_remote_code": spec.trust_remote_code,
        "load_format": "safetensors",
        "generation_config": "vllm",  # nothing of the checkpoint's own is applied unasked
        "dtype": dtype,
        "seed": spec.seed,
        # vLLM counts the last new token, which is never fed.
        "max_model_len": place.context_tokens + 1,
        "max_num_seqs": sizes.rows,
        "max_num_batched_tokens": sizes.step_tokens,
        "enable_chunked_prefill": True,
        "enable_prefix_caching": caches,
        "enforce_eager": not compiles(spec, place.device, options),
        "tensor_parallel_size": spec.world_size,
        "logprobs_mode": "raw_logprobs",
        "max_logprobs": _EVERY_TOKEN,
        "disable_log_stats": False,  # its own times, which those of the step loop are held against
    }
    if spec.world_size > 1:
        given["distributed_executor_backend"] = "mp"  # never ray, which outlives the run
    block = options.block_size or (None if sizes.is_timed else _SMALLEST_BLOCKS.get(place.device))
    if block is not None:
        given["block_size"] = block
    if place.cache_bytes is not None:
        given["kv_cache_memory_bytes"] = place.cache_bytes
    else:
        share = options.memory_share or min(MOST_SHARE, _OF_FREE * place.free_share)
        given["gpu_memory_utilization"] = round(share, 3)
    return given | place.adapters.arguments()
