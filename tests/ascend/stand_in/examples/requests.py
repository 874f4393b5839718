"""Requests and the KV cache of the stand-in: blocks are counted, the keys and values are transformers'."""

import math
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Request:
    """One request on its way: what was asked, what was said, what it holds."""

    number: int
    input_ids: list[int]
    output_ids: list[int] = field(default_factory=list)
    adapter: str | None = None
    cache: Any = None
    blocks: int = 0


class BlockCounter:
    """Blocks of the KV cache, as many as the warm-up made."""

    def __init__(self, blocks: int, block_size: int) -> None:
        self.num_blocks = blocks
        self.block_size = block_size
        self.free = blocks

    def allocate(self, request: Request, new_tokens: int) -> None:
        """Take the blocks that `request` will need at most."""
        need = math.ceil((len(request.input_ids) + new_tokens) / self.block_size)
        if need > self.free:
            raise ValueError(
                f"req: {request.number} out of memory, need block:{need} is more than free block:{self.free}"
            )
        request.blocks = need
        self.free -= need

    def release(self, request: Request) -> None:
        """Give the blocks of `request` back."""
        self.free += request.blocks
        request.blocks = 0
        request.cache = None
