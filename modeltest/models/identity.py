"""What a model is called: by its user's word, else by its folder and a short fingerprint.

Not by its shape: base, instruct and fine-tuned models of one size must never share a history.
"""

from __future__ import annotations

import re
from pathlib import Path

SHORT_CHARACTERS = 6
"""Of the fingerprint, in hexadecimal."""

_LONGEST_FOLDER = 80
_CACHED = re.compile(r"models--(.+)")
"""A folder of the cache of Hugging Face, which has a checkpoint under `snapshots/REVISION`."""


def identity_of(directory: Path, fingerprint: str, known_as: str | None) -> str:
    """Return what pages, tables, histories and metrics call the checkpoint: `demo2 (a1b2c3)`."""
    return known_as or f"{_folder(directory)} ({fingerprint[:SHORT_CHARACTERS]})"


def _folder(directory: Path) -> str:
    name = directory.name if directory.name not in ("", "..") else directory.resolve().name
    if directory.parent.name == "snapshots" and (cached := _CACHED.fullmatch(directory.parent.parent.name)):
        name = cached[1].rpartition("--")[2]
    return "".join(letter if letter.isprintable() else "?" for letter in name)[:_LONGEST_FOLDER] or "model"
