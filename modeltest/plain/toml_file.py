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
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("values lie too deep in each other") from None
