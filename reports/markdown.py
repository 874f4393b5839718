"""Markdown that shows text as it is, whoever wrote it: for the job summaries of GitHub and GitLab."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

SHOWN_CHARACTERS = 200
"""How much of a text a cell shows."""

_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]"
)
"""Control characters, lone surrogates, line ends of Unicode, and marks that turn the order of reading."""

_MEANING = re.compile(
    r"""[\\`*\[\]<>&|~@#$:!^{}"']|(?<![^\W_])_|_(?![^\W_])|(?<=\bwww)\.|^[-+=\s]|^\d(?=\d*[.)](?:\s|$))|\s$"""
)
"""What Markdown, HTML or a forge may read something into; an underscore within a word is only itself."""


def escape(text: str) -> str:
    """Return `text` for a table cell or a paragraph, in one line: nothing in it is markup.

    A character reference never begins or ends anything, in CommonMark as in the tables of GitHub.
    """
    line = _UNPRINTABLE.sub(_visible, text)
    return _MEANING.sub(lambda found: f"&#{ord(found[0])};", line)


def quoted(text: str, most: int = SHOWN_CHARACTERS) -> str:
    """Return the beginning of what a model or a dataset says, as code: forges look for nothing in it."""
    shown = text if len(text) <= most else f"{text[:most]}..."
    return f"<code>{escape(shown)}</code>" if shown else ""


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, has_numbers: bool = True) -> str:
    """Return a table of cells that are escaped already; all columns but the first may be numbers."""
    rule = ["---", *("---:" if has_numbers else "---" for _ in header[1:])]
    lines = [header, rule, *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def details(title: str, body: str) -> str:
    """Return `body`, Markdown, folded under `title`."""
    return f"<details><summary>{escape(title)}</summary>\n\n{body}\n</details>\n"


def bullets(lines: Iterable[str]) -> str:
    """Return a list of texts, each escaped."""
    return "".join(f"- {escape(line)}\n" for line in lines)


def _visible(found: re.Match[str]) -> str:
    character = found[0]
    if character in "\n\r\t\u2028\u2029":
        return " "
    return "\N{REPLACEMENT CHARACTER}"
