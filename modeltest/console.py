"""The one way ModelTest prints with rich: what is printed stands as it is."""

from __future__ import annotations

from typing import IO

from rich.console import Console


def plain_console(*, width: int | None = None, file: IO[str] | None = None, record: bool = False) -> Console:
    """Return a console that takes no text for markup.

    Most of what is printed comes from outside: names of models, answers, paths, commands. To rich, `[hf]` in
    them would be a style that is swallowed, and `:key:` a picture. What is to have a colour is a `Text`.
    """
    return Console(markup=False, emoji=False, highlight=False, width=width, file=file, record=record)
