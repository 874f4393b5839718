"""Computing the last layer only at positions whose logits are read.

After the attention of the last layer a token's hidden state is of use only if its logits are read. So the
matrices that come after it are fed the positions that are read, and the rest of their output is zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engines.common.text_config import layer_count


class LastLayer:
    """Lets the matrices of a model's last layer skip positions, once `begin` says which are read.

    It knows nothing of the model but which modules are its last layer and that they treat positions one by
    one after the attention; whoever uses it checks the result against a plain forward.
    """

    def __init__(self, model: Any) -> None:
        layer = _last_layer(model)
        self._matrices = tuple(_matrices(layer)) if layer is not None else ()
        self._positions: Any = None
        self._tokens = 0
        self._hooks: list[Any] = []

    def begin(self, positions: Any, tokens: int) -> None:
        """From now on compute only `positions` of `tokens`: the attention of the last layer is done."""
        self._positions = positions
        self._tokens = tokens
        for module in self._matrices:  # hooked only now: a timed forward pass should meet no hook at all
            self._hooks.append(module.register_forward_pre_hook(self._cut))
            self._hooks.append(module.register_forward_hook(self._fill))

    def end(self) -> None:
        """Compute everything again."""
        while self._hooks:
            self._hooks.pop().remove()

    def _cut(self, _: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (inputs[0].index_select(-2, self._positions), *inputs[1:])

    def _fill(self, _: Any, __: tuple[Any, ...], output: Any) -> Any:
        whole = output.new_zeros((*output.shape[:-2], self._tokens, output.shape[-1]))
        return whole.index_copy_(-2, self._positions, output)


def _last_layer(model: Any) -> Any | None:
    """Return the last of the model's decoder layers, or `None` where they are not to be found."""
    import torch

    count = layer_count(model.config)
    for module in model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == count:
            return module[-1]
    return None


def _matrices(layer: Any) -> Iterator[Any]:
    """Yield the modules of `layer` that are one matrix; GPT-2's `Conv1D` is one too."""
    import torch

    for module in layer.modules():
        # A subclass may return more than the product: the router of some mixtures of experts does.
        is_plain = isinstance(module, torch.nn.Linear) and type(module).forward is torch.nn.Linear.forward
        if is_plain or type(module).__name__ == "Conv1D":
            yield module
