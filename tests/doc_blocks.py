"""Reads the project's documents: fenced blocks, the commands in them, inline code, tables and links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TRANSLATIONS = {
    ROOT / "README.md": ROOT / "README.zh.md",
    ROOT / "docs" / "ascend.md": ROOT / "docs" / "ascend.zh.md",
}
"""Chinese editions, by what they translate. Their code is the same byte for byte, so it is run once."""

DOCUMENTS = (
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md"),
    *(path for path in sorted((ROOT / "docs").glob("*.md")) if path not in TRANSLATIONS.values()),
)

_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)`(?!`)([^`]+)`(?!`)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_SHELL = ("", "bash", "sh", "console")


@dataclass(frozen=True)
class Block:
    """A fenced block and where its first line of text stands."""

    path: Path
    line: int
    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command as a document shows it; `output` is what the document shows behind it."""

    words: tuple[str, ...]
    where: str
    output: str = ""


def blocks(path: Path, language: str | None = None, text: str | None = None) -> Iterator[Block]:
    text = path.read_text(encoding="utf-8") if text is None else text
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start("text")) + 1
        if language in (None, match["language"]):
            yield Block(path, line, match["language"], match["text"])


def commands(block: Block) -> list[Command]:
    """Return the commands of a shell block; with `$ ` before some lines, those are the commands.

    A line that ends with a backslash goes on with the next.
    """
    if block.language not in _SHELL:
        return []
    lines = block.text.replace("\\\n", " ").splitlines()
    if not any(line.startswith("$ ") for line in lines):
        lines = [f"$ {line}" for line in lines if line.strip()]
    found: list[Command] = []
    for number, line in enumerate(lines):
        if line.startswith("$ "):
            words = tuple(shlex.split(line[2:], comments=True))
            rest = lines[number + 1 :]
            end = next((i for i, each in enumerate(rest) if each.startswith("$ ")), len(rest))
            found.append(Command(words, f"{block.path.name}:{block.line + number}", "\n".join(rest[:end])))
    return [command for command in found if command.words]


def all_commands() -> list[Command]:
    return [command for path in DOCUMENTS for block in blocks(path) for command in commands(block)]


def inline_code(path: Path) -> list[str]:
    """Return the inline code of a document; code that runs over a line end has one blank there."""
    prose = _FENCE.sub("", path.read_text(encoding="utf-8"))
    return [" ".join(code.split()) for code in _INLINE.findall(prose)]


def links(path: Path) -> list[str]:
    return _LINK.findall(_FENCE.sub("", path.read_text(encoding="utf-8")))


def anchors(path: Path) -> set[str]:
    """Return the anchors of a document's headings, by GitHub's rule."""
    headings = _HEADING.findall(_FENCE.sub("", path.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def section(path: Path, title: str) -> str:
    """Return the text between the heading `title` and the next heading of its level or above."""
    text = path.read_text(encoding="utf-8")
    heading = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert heading, f"{path.name} has no section {title!r}"
    end = re.search(rf"^#{{1,{len(heading[1])}}} ", text[heading.end() :], re.MULTILINE)
    return text[heading.end() :][: end.start() if end else None]


def table_rows(text: str) -> list[list[str]]:
    """Return the cells of every table row of `text` but headers and rules."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    rules = {number for number, line in enumerate(lines) if set(line) <= set("|-: ")}
    headers = {number - 1 for number in rules}
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for number, line in enumerate(lines)
        if number not in rules | headers
    ]


def names_in(cell: str) -> list[str]:
    """Return the names a table cell has as code."""
    return _INLINE.findall(cell)
