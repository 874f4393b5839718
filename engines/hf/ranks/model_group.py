"""The connections that carry a split model's activations from rank to rank."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from engines.common.device import is_out_of_memory

BACKENDS = {"cpu": "gloo", "cuda": "nccl", "npu": "hccl"}

PATIENCE = timedelta(days=7)
"""A follower waits as long as rank 0 has nothing to ask; a rank that dies is noticed at once all the same."""


class AnotherRankFailed(RuntimeError):
    """Another rank cut the connection before it sent its part."""


class ModelGroup:
    """Collective operations between all ranks, until one of them hangs up."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._group: Any = None
        self.renew()

    def all_reduce(self, tensor: Any) -> Any:
        """Return `tensor` holding the sum over all ranks.

        Raises: AnotherRankFailed.
        """
        import torch.distributed as dist

        with self._working() as group:
            dist.all_reduce(tensor, group=group)
        return tensor

    def gather_last(self, tensor: Any, width: int) -> Any:
        """Return the parts of all ranks side by side in the last dimension, cut to `width`.

        Raises: AnotherRankFailed.
        """
        import torch
        import torch.distributed as dist

        tensor = tensor.contiguous()
        parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
        with self._working() as group:
            dist.all_gather(parts, tensor, group=group)
        return torch.cat(parts, dim=-1)[..., :width]

    def broadcast(self, tensor: Any) -> Any:
        """Return `tensor` as rank 0 has it.

        Raises: AnotherRankFailed.
        """
        import torch.distributed as dist

        with self._working() as group:
            dist.broadcast(tensor, src=0, group=group)
        return tensor

    def hang_up(self) -> None:
        """Cut the connections, so that no rank waits for this one's part any longer."""
        import torch.distributed as dist

        group, self._group = self._group, None
        if group is not None:
            dist.destroy_process_group(group)

    def renew(self) -> None:
        """Connect again, when all ranks do."""
        import torch.distributed as dist

        self.hang_up()
        self._group = dist.new_group(backend=BACKENDS[self._device], timeout=PATIENCE)

    @contextmanager
    def _working(self) -> Iterator[Any]:
        if self._group is None:
            raise AnotherRankFailed("this rank has hung up")
        try:
            yield self._group
        except RuntimeError as problem:
            if is_out_of_memory(problem):
                raise
            reason = " ".join(str(problem).split())
            raise AnotherRankFailed(f"another rank hung up: {reason:.200}") from problem
