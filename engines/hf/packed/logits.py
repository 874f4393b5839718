"""Logits of chosen positions only: never `[batch, sequence, vocabulary]`."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any


class LogitsAt:
    """Calls a causal language model of transformers for the logits of some positions of one row.

    Through `logits_to_keep` where the model's forward takes it. Otherwise the hidden states are cut down on
    their way into the output embedding, which every such model has.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        parameters = inspect.signature(model.forward).parameters
        self._takes_positions = "logits_to_keep" in parameters

    def __call__(self, positions: Sequence[int], **arguments: Any) -> Any:
        """Return logits `[positions, vocabulary]` of the first row."""
        import torch

        device = arguments["input_ids"].device
        # With nothing to read one position is computed all the same: an empty product is not every model's.
        wanted = torch.tensor(positions or [0], device=device)
        if self._takes_positions:
            logits = self._model(**arguments, logits_to_keep=wanted).logits
        else:
            logits = self._call_with_hook(wanted, arguments)
        return logits[0][: len(positions)]

    def _call_with_hook(self, wanted: Any, arguments: dict[str, Any]) -> Any:
        def keep(_: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
            return (inputs[0][:, wanted], *inputs[1:])

        handle = self._model.get_output_embeddings().register_forward_pre_hook(keep)
        try:
            return self._model(**arguments).logits
        finally:
            handle.remove()
