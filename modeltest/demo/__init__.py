"""Tiny seeded checkpoints with a working tokenizer: something to run every command on without a download."""

from modeltest.demo.build import DTYPES, FAMILIES, build_demo_model

__all__ = ["DTYPES", "FAMILIES", "build_demo_model"]
