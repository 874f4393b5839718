"""Computing with a model in float32 whatever the dtype of its weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def is_float32(model: Any) -> bool:
    """Say whether all of the model computes in float32 already."""
    return next(_halves(model), None) is None


@contextmanager
def in_float32(model: Any) -> Iterator[None]:
    """Let the model compute in float32 until the end, exactly: what comes back are its own tensors.

    Weights of 16 bits become floats without any loss, so that this is the model as it would be without
    rounding on the way. A layer's weights are converted when it is called and given back when it is done, so
    that the memory needed is that of one layer more, not of the model twice again.
    """
    handles = []
    held: dict[int, list[tuple[Any, Any]]] = {}

    def convert(module: Any, _: Any) -> None:
        mine = held.setdefault(id(module), [])
        for tensor in tensors[id(module)]:
            mine.append((tensor, tensor.data))
            tensor.data = tensor.data.float()

    def restore(module: Any, _: Any, __: Any) -> None:
        for tensor, data in held.pop(id(module), ()):
            tensor.data = data

    units = list(_units(model))
    tensors = {id(unit): list(_halves(unit)) for unit in units}
    try:
        for unit in units:
            handles.append(unit.register_forward_pre_hook(convert))
            handles.append(unit.register_forward_hook(restore, always_call=True))
        yield
    finally:
        for handle in handles:
            handle.remove()
        for pairs in held.values():
            for tensor, data in pairs:
                tensor.data = data


def _units(module: Any) -> Iterator[Any]:
    """Yield the modules whose weights are converted together: the members of lists, such as layers, whole.

    Within a layer one module may use the weights of another; elsewhere each stands for itself.
    """
    import torch

    if isinstance(module, torch.nn.ModuleList):
        for member in module:
            yield from _units(member) if isinstance(member, torch.nn.ModuleList) else (member,)
        return
    if next(_halves(module, below=False), None) is not None:
        yield module
        return
    for child in module.children():
        yield from _units(child)


def _halves(module: Any, *, below: bool = True) -> Iterator[Any]:
    """Yield the tensors of 16 bits in a module, and in those below it, each once."""
    import torch

    for tensor in (*module.parameters(recurse=below), *module.buffers(recurse=below)):
        if tensor.dtype in (torch.float16, torch.bfloat16):
            yield tensor
