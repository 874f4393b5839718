"""Reading TOML on every supported Python: the one place that knows `tomllib` came with Python 3.11."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of `path`.

    Raises: ValueError naming the place when it is not TOML; OSError when it cannot be read.
    """
    return parse_toml(path.read_text(encoding="utf-8"))


def parse_toml(text: str) -> dict[str, Any]:
    """Return what `text` says.

    Raises: ValueError naming the place when it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("values lie too deep in each other") from None
