"""The demo checkpoints as users load them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def loaded(demo_model: Callable[[str], Path]) -> Callable[[str], tuple[Any, Any]]:
    """Return a function from a family to its model and tokenizer; change neither."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    known: dict[str, tuple[Any, Any]] = {}

    def load(family: str) -> tuple[Any, Any]:
        if family not in known:
            path, trust = demo_model(family), family == "internlm2"
            model = AutoModelForCausalLM.from_pretrained(path, trust_remote_code=trust)
            tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=trust)
            known[family] = model.eval(), tokenizer
        return known[family]

    return load
