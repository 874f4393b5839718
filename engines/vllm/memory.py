"""How much of the host's memory keys and values get on the cpu, where vLLM would take a fixed share. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engines.vllm.sizes import Sizes
from modeltest.api import OutOfMemory

USABLE_SHARE = 0.7
"""Of what is free beside the weights: the rest is for what is computed."""

UNKNOWN_SHARE = 0.3
"""Of what is usable, where the config does not tell how large keys and values are."""

SPARE_BLOCKS = 8
"""Blocks beyond those counted: one is never used, and each row's last is begun."""

_BLOCK_TOKENS = 128
"""The largest block of the platform."""


@dataclass(frozen=True, slots=True)
class CacheMemory:
    """The memory for keys and values, and the longest row that finds room in it."""

    bytes: int
    context_tokens: int


def cache_memory(
    sizes: Sizes, context_tokens: int, *, token_bytes: int, free_bytes: int, share: float = USABLE_SHARE
) -> CacheMemory:
    """Return what the cache gets: what `sizes` need if memory allows, else what is usable.

    `token_bytes` is 0 where it is not known; `free_bytes` is what is free beside the weights, of which
    `share` may be taken.

    Raises: OutOfMemory when not even one row finds room.
    """
    usable = int(share * free_bytes)
    if not token_bytes:
        return CacheMemory(max(int(UNKNOWN_SHARE * usable), 1), context_tokens)
    spare = (sizes.rows + SPARE_BLOCKS) * _BLOCK_TOKENS
    wanted = (max(sizes.cache_tokens, context_tokens) + spare) * token_bytes
    given = min(wanted, usable)
    longest = given // token_bytes - SPARE_BLOCKS * _BLOCK_TOKENS
    if longest < sizes.longest_row:
        raise OutOfMemory(
            f"a row of {sizes.longest_row} tokens needs {sizes.longest_row * token_bytes >> 20} MiB for keys "
            f"and values; {max(usable, 0) >> 20} MiB are usable beside the weights"
        )
    return CacheMemory(given, min(context_tokens, longest))


def weights_bytes(directory: str) -> int:
    """Return the size of the weights in a checkpoint's folder."""
    return sum(path.stat().st_size for path in Path(directory).glob("*.safetensors"))
