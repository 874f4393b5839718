"""Computing with a model in float32 whatever the dtype of its weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

PIECE_BYTES = 16 << 20
"""How much of a single large matrix is in float32 at a time."""


def is_float32(model: Any) -> bool:
    """Say whether all of the model computes in float32 already."""
    return next(_halves(model), None) is None


@contextmanager
def in_float32(model: Any) -> Iterator[None]:
    """Let the model compute in float32 inside the block; after it, its weights are the same tensors.

    Weights of 16 bits become floats without any loss, so that this is the model as it would be without
    rounding on the way. A layer's weights are converted when it is called and given back when it is done, so
    that the memory needed is that of one layer more, not of the model twice again. The vocabulary, which may
    be larger than all layers of a small model, is never converted at once: of an embedding what was looked
    up is, of an output matrix one piece after the other.
    """
    with ExitStack() as to_undo:
        for unit in list(_units(model)):
            to_undo.enter_context(_converted(unit))
        yield


@contextmanager
def in_float32_with_output_matrix(model: Any) -> Iterator[None]:
    """Let `model` compute in float32 as `in_float32` does, its output matrix converted from the beginning.

    Some models (Mamba, xLSTM) cast what their layers say to the dtype of the output matrix before they call
    it. A matrix that is converted only while it is called would make them round there, or fail.
    """
    matrix = model.get_output_embeddings()
    held = [] if matrix is None else [(each, each.data) for each in matrix.parameters()]
    try:
        for tensor, data in held:
            tensor.data = data.float()
        with in_float32(model):
            yield
    finally:
        for tensor, data in held:
            tensor.data = data


def _converted(unit: Any) -> AbstractContextManager[None]:
    """Return what lets `unit` compute in float32."""
    import torch

    # A forward set on the instance, by a kernel library say, may use the weights without calling the module.
    forward = None if "forward" in vars(unit) else type(unit).forward
    if forward is torch.nn.Embedding.forward and unit.max_norm is None:
        return _looked_up(unit)
    if forward is torch.nn.Linear.forward:
        return _in_pieces(unit)
    return _whole(unit)


@contextmanager
def _looked_up(embedding: Any) -> Iterator[None]:
    handle = embedding.register_forward_hook(lambda _, __, output: output.float())
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _in_pieces(matrix: Any) -> Iterator[None]:
    import torch

    rows = max(1, PIECE_BYTES // (4 * matrix.in_features))

    def forward(hidden: Any) -> Any:
        weights = matrix.weight.split(rows)
        biases = [None] * len(weights) if matrix.bias is None else matrix.bias.float().split(rows)
        pairs = zip(weights, biases, strict=True)
        multiply = torch.nn.functional.linear
        return torch.cat([multiply(hidden, weight.float(), bias) for weight, bias in pairs], dim=-1)

    matrix.forward = forward
    try:
        yield
    finally:
        del matrix.forward


@contextmanager
def _whole(unit: Any) -> Iterator[None]:
    tensors = list(_halves(unit))
    held: list[list[Any]] = []

    def convert(_: Any, __: Any) -> None:
        held.append([tensor.data for tensor in tensors])
        for tensor in tensors:
            tensor.data = tensor.data.float()

    def restore(*_: Any) -> None:
        for tensor, data in zip(tensors, held.pop(), strict=True):
            tensor.data = data

    handles = (
        unit.register_forward_pre_hook(convert),
        # Undone in reverse order: a module may be among the layers twice.
        unit.register_forward_hook(restore, always_call=True, prepend=True),
    )
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        while held:  # of a call that raised before the hook
            restore()


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
