"""How a part of a step is asked and answers: a file each, so that its output may say anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def serve(arguments: list[str], measure: Callable[[dict[str, Any]], Any]) -> None:
    """Do what the order named first asks for, and write what was found beside it, into result.json."""
    path = Path(arguments[0])
    found = measure(json.loads(path.read_text(encoding="utf-8")))
    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    path.with_name("result.json").write_text(text, encoding="utf-8")
