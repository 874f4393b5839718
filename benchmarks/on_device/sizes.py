"""The models of a device: which shapes, in which dtypes, and whether one fits. Known without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lm_eval_comparison.shapes import SHAPES, Shape

BYTES = {"float32": 4, "bfloat16": 2}

_DEVICE_MARGIN_BYTES = 4 << 30
"""For the activations and keys of a batch beside the weights, and what CUDA takes for itself."""

_DISK_MARGIN = 1.05

DEVICE_SHAPES = {
    **SHAPES,
    # Like Llama 2 7B but for tied embeddings: 6.6 instead of 6.7 thousand million parameters.
    "7B": Shape("7B", hidden=4096, layers=32, heads=32, key_value_heads=32, intermediate=11008),
    # Like TinyLlama, with tied embeddings.
    "1B": Shape("1B", hidden=2048, layers=22, heads=32, key_value_heads=4, intermediate=5632),
}


@dataclass(frozen=True, slots=True)
class Sized:
    """A shape in a dtype: one checkpoint."""

    shape: str
    dtype: str

    @property
    def name(self) -> str:
        """A name fit for a folder."""
        return f"{self.shape}-{self.dtype}"

    @property
    def weight_bytes(self) -> int:
        """What its weights take, on disk and on the device."""
        return DEVICE_SHAPES[self.shape].parameters * BYTES[self.dtype]

    @property
    def config(self) -> dict[str, Any]:
        """The content of config.json."""
        # `torch_dtype` is what transformers 4 reads.
        return {**DEVICE_SHAPES[self.shape].config, "dtype": self.dtype, "torch_dtype": self.dtype}


FULL = (
    Sized("135M", "float32"),
    Sized("135M", "bfloat16"),
    Sized("1B", "bfloat16"),
    Sized("7B", "bfloat16"),
)
QUICK = (Sized("2M", "float32"), Sized("15M", "bfloat16"))


def choose_sizes(shapes: Sequence[str], *, quick: bool) -> tuple[Sized, ...]:
    """Return the models to measure, small ones first: those of the named shapes, else the usual ones."""
    if shapes:
        return tuple(sized for sized in (*QUICK, *FULL) if sized.shape in shapes)
    return QUICK if quick else FULL


def misfit(sized: Sized, *, copies: int, device_bytes: int, disk_bytes: int | None) -> str | None:
    """Return why a model cannot be measured here, or `None`.

    `copies`: how often its weights are on the device at once. `disk_bytes` is what is free, `None` for a
    checkpoint that is there already.
    """
    if disk_bytes is not None and sized.weight_bytes * _DISK_MARGIN > disk_bytes:
        return f"its checkpoint takes {_gib(sized.weight_bytes)}, {_gib(disk_bytes)} are free in --work-dir"
    # Margins grow with the model, but a small one must not be refused on a small device.
    needed = copies * sized.weight_bytes + min(_DEVICE_MARGIN_BYTES, 2 * sized.weight_bytes)
    if needed > device_bytes:
        return f"it takes about {_gib(needed)} of the device, {_gib(device_bytes)} are free"
    return None


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
