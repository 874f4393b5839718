"""Computing with a model in float32 whatever the dtype of its weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def is_float32(model: Any) -> bool:
    """Say whether all of the model computes in float32 already."""
    return not _halves(model)


@contextmanager
def in_float32(model: Any) -> Iterator[None]:
    """Let the model compute in float32 until the end, exactly: what comes back are its own tensors.

    Weights of 16 bits become floats without any loss, so that this is the model as it would be without
    rounding on the way. Each module's weights are converted when it is called and given back when it is done,
    so that the memory needed is that of one module more, not of the model twice again.
    """
    handles = []
    owners = {id(module): module for module, _, _ in _halves(model)}
    held: dict[int, list[tuple[Any, Any]]] = {}

    def convert(module: Any, _: Any) -> None:
        import torch

        mine = []
        for tensor in (*module._parameters.values(), *module._buffers.values()):
            if tensor is not None and tensor.dtype in (torch.float16, torch.bfloat16):
                mine.append((tensor, tensor.data))
                tensor.data = tensor.data.float()
        held.setdefault(id(module), []).extend(mine)

    def restore(module: Any, _: Any, __: Any) -> None:
        for tensor, data in held.pop(id(module), ()):
            tensor.data = data

    try:
        for module in owners.values():
            handles.append(module.register_forward_pre_hook(convert))
            handles.append(module.register_forward_hook(restore, always_call=True))
        yield
    finally:
        for handle in handles:
            handle.remove()
        for pairs in held.values():
            for tensor, data in pairs:
                tensor.data = data


def _halves(model: Any) -> list[tuple[Any, str, Any]]:
    import torch

    return [
        (module, name, tensor)
        for module in model.modules()
        for name, tensor in (*module._parameters.items(), *module._buffers.items())
        if tensor is not None and tensor.dtype in (torch.float16, torch.bfloat16)
    ]
