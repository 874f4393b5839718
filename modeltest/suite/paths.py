"""What texts of a suite file stand for: `${VARIABLE}`, `~` and patterns over checkpoints."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}")
_URL = re.compile(r"[a-z]+://", re.IGNORECASE)
_PATTERN = re.compile(r"[*?\[]")


def filled(text: str, variables: Mapping[str, str]) -> str:
    """Return `text` with `${NAME}` and `${NAME:-default}` replaced; an empty variable is none.

    Raises: ValueError naming a variable that is not set.
    """

    def value(found: re.Match[str]) -> str:
        name, default = found["name"], found["default"]
        if variables.get(name):
            return variables[name]
        if default is None:
            raise ValueError(f"the variable {name} is not set; set it, or write ${{{name}:-DEFAULT}}")
        return str(default)

    return _VARIABLE.sub(value, text)


def checkpoints(text: str) -> Sequence[str]:
    """Return the checkpoints that a path or a pattern stands for, sorted; a URL stands for what it serves.

    Raises: ValueError for a pattern that fits no folder with a config.json.
    """
    if _URL.match(text):
        return [text]
    try:
        path = Path(text).expanduser()
        if not _PATTERN.search(text) or path.exists():
            return [str(path)]
        base = Path(path.anchor)
        found = sorted(
            str(each) for each in base.glob(str(path.relative_to(base))) if (each / "config.json").is_file()
        )
    except (OSError, RuntimeError) as problem:  # a name too long, a folder locked, a home of nobody
        reason = getattr(problem, "strerror", None) or problem
        raise ValueError(f"{text!r:.200} cannot be looked for: {reason}") from None
    if not found:
        raise ValueError(f"{text!r} fits no folder with a config.json")
    return found


def short_name(model: str) -> str:
    """Return what a table calls a model: the last folder of its path, or the host and port of its URL."""
    if _URL.match(model):
        return urlsplit(model).netloc or model
    return Path(model).name or model
