"""Which versions of transformers the engine `hf` knows, and what differs between them."""

from __future__ import annotations

from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from modeltest.installation import install_command, pip_command

OLDEST, NEWEST = (4, 46), (5, 23)
"""`tests/test_old_environments.py` has the oldest, constraints.txt the newest."""

OPEN_ATTENTION = (4, 54)
"""Since then the attention of a loaded model can be replaced."""


def obstacle() -> str | None:
    """Return why the installed transformers cannot be used, or `None`; imports nothing."""
    try:
        version("torch")
        found = version("transformers")
    except PackageNotFoundError as problem:
        return (
            f"it needs torch and transformers, and {problem.name} is not installed: {install_command('hf')}"
        )
    if OLDEST <= numbers(found) <= NEWEST:
        return None
    return (
        f"it knows transformers {_text(OLDEST)} to {_text(NEWEST)}, and {found} is installed: "
        + pip_command(f"transformers>={_text(OLDEST)},<{NEWEST[0]}.{NEWEST[1] + 1}")
    )


def closed_attention() -> str | None:
    """Return why no model's attention can be replaced with the installed version, or `None`."""
    found = version("transformers")
    if numbers(found) >= OPEN_ATTENTION:
        return None
    return f"transformers {found} keeps a model's attention closed, {_text(OPEN_ATTENTION)} and newer open it"


def numbers(found: str) -> tuple[int, ...]:
    """Return the major and minor number of a version."""
    return tuple(int(part) for part in found.split(".")[:2] if part.isdigit())


def dtype_argument(transformers: Any) -> str:
    """Return what `from_pretrained` calls the dtype: it was renamed in 4.56."""
    return "dtype" if numbers(transformers.__version__) >= (4, 56) else "torch_dtype"


def keep_argument(parameters: Collection[str]) -> str | None:
    """Return by which of its `parameters` a model's forward is told how many last positions need logits.

    It was renamed in 4.50; some families had neither before they were rewritten.
    """
    return next((name for name in ("logits_to_keep", "num_logits_to_keep") if name in parameters), None)


def _text(found: tuple[int, ...]) -> str:
    return ".".join(map(str, found))
