"""Log-probabilities of a text's tokens as told behind each layer: its states through final norm and head.

Only the worker imports this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from math import isfinite
from typing import Any

from modeltest.api import EngineError
from modeltest.locate.parts import layers_of

_TOGETHER = 4
"""Of so many layers the states go through the head at once: their logits are held beside each other."""


def logprobs_behind_layers(model: Any, ids: Sequence[int]) -> list[list[float]]:
    """Return, for each number of first layers from 1 on, the log-probability of each token but the first.

    `model` is a causal language model of transformers. Its own final norm, head and whatever it does behind
    its layers compute them: in further passes its last layer returns the states of others instead of its own.
    """
    import torch

    device = model.get_input_embeddings().weight.device
    asked = torch.tensor([list(ids)], device=device)
    with torch.inference_mode():
        states = _states(model, asked)
        return [each for logits in _logits(model, asked, states) for each in _told(logits, asked)]


def refuse_infinite(told: Sequence[Sequence[float]], dtype: str) -> None:
    """Refuse a reference that has no numbers to hold a candidate against.

    Raises: EngineError.
    """
    for layers, logprobs in enumerate(told, start=1):
        if not all(map(isfinite, logprobs)):
            raise EngineError(
                f"the reference is not finite behind {layers} layers in {dtype}: give another --dtype"
            )


def _states(model: Any, asked: Any) -> list[Any]:
    found: list[Any] = []
    with ExitStack() as undo:
        for layer in layers_of(model):
            handle = layer.register_forward_hook(lambda _, __, output: found.append(_first(output)))
            undo.callback(handle.remove)
        model(input_ids=asked, use_cache=False)
    return found


def _logits(model: Any, asked: Any, states: Sequence[Any]) -> Iterator[Any]:
    """Yield the logits of several layers, `[layers, tokens, vocabulary]`."""
    import torch

    last = layers_of(model)[-1]
    for begin in range(0, len(states), _TOGETHER):
        several = torch.cat(tuple(states[begin : begin + _TOGETHER]))

        def hook(_: Any, __: Any, output: Any, several: Any = several) -> Any:
            return (several, *output[1:]) if isinstance(output, tuple) else several

        handle = last.register_forward_hook(hook)
        try:
            yield model(input_ids=asked, use_cache=False).logits
        finally:
            handle.remove()


def _told(logits: Any, asked: Any) -> list[list[float]]:
    logprobs = logits[:, :-1].float().log_softmax(-1)
    following = asked[:, 1:, None].expand(len(logprobs), -1, -1)
    told: list[list[float]] = logprobs.gather(-1, following)[..., 0].tolist()
    return told


def _first(output: Any) -> Any:
    return output[0] if isinstance(output, tuple) else output
