"""Torch checkpoints rewritten as safetensors: file by file, verified, and taken up again where it ended."""

from modeltest.convert.conversion import Conversion, convert_checkpoint

__all__ = ["Conversion", "convert_checkpoint"]
