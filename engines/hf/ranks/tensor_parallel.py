"""Splitting a model over ranks as transformers' plan of its family says.

transformers cuts the weights while it reads them, so that no rank ever holds the whole model. What it cut is
then computed here: each rank's part as a plain matrix, with the exchange of activations through `ModelGroup`,
which a rank that fails can leave.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from engines.hf.ranks.model_group import ModelGroup
from modeltest.api import EngineError

SUMMED = frozenset({"rowwise", "rowwise_rep", "rowwise_split_input"})
GATHERED = frozenset({"colwise_gather_output", "colwise_rep"})
LOCAL = frozenset({"colwise", "replicate", "replicated_with_grad_allreduce"})
LOOKED_UP = frozenset({"embedding_rowwise"})
STYLES = (SUMMED - {"rowwise_split_input"}) | GATHERED | LOCAL | LOOKED_UP
"""What a plan may say of a module; any other style needs exchanges that are not here."""

_LAYER_NUMBER = re.compile(r"\.\d+(?=\.|$)")


def split_arguments(size: int) -> dict[str, Any]:
    """Return what makes `from_pretrained` cut the weights for `size` ranks.

    Raises: ImportError where transformers does not know how.
    """
    from transformers.distributed import DistributedConfig

    return {"distributed_config": DistributedConfig(tp_size=size)}


def take_over(model: Any, group: ModelGroup, *, rank: int, size: int) -> None:
    """Let `model`, cut by transformers, compute with this rank's parts and exchange through `group`.

    Raises: EngineError for a module whose exchange is unknown here.
    """
    plan = model.tp_plan
    local: dict[int, Any] = {}
    for name, module in list(model.named_modules()):
        style = plan.get(_LAYER_NUMBER.sub(".*", name))
        is_split = _make_local(module, local, _rows(module, style, size))
        if style is None:
            continue
        if style not in STYLES:
            raise EngineError(f"{name} is split {style!r}, which engine hf does not know")
        vars(module).pop("forward", None)
        if is_split and style not in LOCAL:
            module.forward = _forward(module, style, group, rank=rank, size=size)


def _rows(module: Any, style: str | None, size: int) -> int | None:
    """Return how many rows every rank's part must have; `None` if it does not matter.

    The last rank has fewer when the vocabulary does not come out even. An embedding may be tied to a matrix
    whose outputs are gathered.
    """
    if style in GATHERED:
        return _part(module.out_features, size)
    return _part(module.num_embeddings, size) if style in LOOKED_UP else None


def _part(whole: int, size: int) -> int:
    return -(-whole // size)


def _make_local(module: Any, local: dict[int, Any], rows: int | None) -> bool:
    """Put plain tensors in the place of the module's cut ones and say whether there were any.

    They are filled up with zeros to `rows`.
    `local` remembers them by what they replace: tied weights stay one.
    """
    import torch
    from torch.distributed.tensor import DTensor

    found = False
    for name, parameter in list(module._parameters.items()):
        if id(parameter) in local:
            module._parameters[name] = local[id(parameter)][1]
            found = True
        if not isinstance(parameter, DTensor):
            continue
        found = True
        if id(parameter) not in local:
            part = parameter.to_local()
            if rows is not None and len(part) < rows:
                part = torch.cat([part, part.new_zeros(rows - len(part), *part.shape[1:])])
            # The replaced tensor is held too: its id must not be given to another.
            local[id(parameter)] = parameter, torch.nn.Parameter(part, requires_grad=False)
        module._parameters[name] = local[id(parameter)][1]
    return found


def _forward(module: Any, style: str, group: ModelGroup, *, rank: int, size: int) -> Callable[[Any], Any]:
    if style in LOOKED_UP:
        return _lookup(module, group, first=rank * _part(module.num_embeddings, size))
    return _sum(module, group) if style in SUMMED else _gather(module, group)


def _sum(module: Any, group: ModelGroup) -> Callable[[Any], Any]:
    """Each rank has some inputs of the matrix: outputs are sums over ranks, and the bias is added once."""
    import torch

    def forward(hidden: Any) -> Any:
        output = group.all_reduce(torch.nn.functional.linear(hidden, module.weight))
        return output if module.bias is None else output + module.bias

    return forward


def _gather(module: Any, group: ModelGroup) -> Callable[[Any], Any]:
    """Each rank has some outputs of the matrix, and all are wanted."""
    import torch

    def forward(hidden: Any) -> Any:
        part = torch.nn.functional.linear(hidden, module.weight, module.bias)
        return group.gather_last(part, module.out_features)

    return forward


def _lookup(module: Any, group: ModelGroup, *, first: int) -> Callable[[Any], Any]:
    """Each rank has the embeddings of some tokens, beginning with `first`; for all others it adds zero."""
    module.padding_idx = None  # it is of use in training only, and may be another rank's

    def forward(ids: Any) -> Any:
        place = ids - first
        is_here = (place >= 0) & (place < len(module.weight))
        found = type(module).forward(module, place.where(is_here, 0))
        return group.all_reduce(found.masked_fill(~is_here.unsqueeze(-1), 0))

    return forward
