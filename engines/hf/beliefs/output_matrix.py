"""Holding a model's output matrix in float32 where the model itself looks at it.

Some models (Mamba, xLSTM) cast what their layers say to the dtype of the output matrix before they call it.
A matrix that is converted only while it is called would make them round there, or fail.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from engines.hf.beliefs.float32 import in_float32


@contextmanager
def in_float32_with_output_matrix(model: Any) -> Iterator[None]:
    """Let `model` compute in float32 as `in_float32` does, its output matrix converted from the beginning."""
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
