"""The demo checkpoints as users load them, and a modules cache of our own for their remote code."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_modules_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep copies of remote code out of the user's cache, also where transformers was imported before."""
    with pytest.MonkeyPatch.context() as patch:
        import transformers.dynamic_module_utils

        cache = str(tmp_path_factory.mktemp("demo_hf_modules"))
        patch.setattr(transformers.dynamic_module_utils, "HF_MODULES_CACHE", cache)
        patch.setattr(sys, "path", list(sys.path))
        yield


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
