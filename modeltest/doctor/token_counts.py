"""How many tokens texts have, by a tokenizer.json from anywhere: counted in a process of its own.

The library is written in Rust, and panics over some damaged files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from modeltest.own_process import OwnProcess, ProcessEnded, ProcessLimits

_LIMITS = ProcessLimits(cpu_s=60.0, memory_bytes=4 << 30)


def token_counts(path: Path, texts: Sequence[str]) -> list[int]:
    """Return the tokens of each text; none where there is no tokenizers, or it cannot use the file."""
    if find_spec("tokenizers") is None:
        return []
    with OwnProcess(__name__) as process:
        try:
            counts: list[int] = process.ask({"path": str(path), "texts": list(texts)}, _LIMITS)
        except ProcessEnded:
            return []
    return counts


def prepare() -> None:
    """Import the library."""
    import tokenizers  # noqa: F401


def answer(request: Mapping[str, Any]) -> list[int]:
    """Return the tokens of each text in `texts` by the tokenizer at `path`.

    Raises: what the library raises.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(request["path"])
    return [len(encoding.ids) for encoding in tokenizer.encode_batch(request["texts"])]
