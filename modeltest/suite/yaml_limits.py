"""How much a suite file may hold: a few lines of YAML can ask for more than any memory has.

An alias stands for all that its anchor holds, so ten lines of ten aliases each are ten thousand million
values. What a file comes to is counted before anything is made of it, in time that grows with its text alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from modeltest.api import SpecError

MOST_CHARACTERS = 1_000_000
MOST_VALUES = 100_000
DEEPEST = 40
LONGEST_TEXT = 100_000
LONGEST_NUMBER = 300
"""A number of as many digits as a file may hold takes minutes to read; no float has more than 309."""

_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp")


def read_text(path: Path) -> str:
    """Return the text of a file that is not too long.

    Raises: SpecError when it is, or cannot be read.
    """
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MOST_CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as problem:
        raise SpecError(f"{path} cannot be read: {getattr(problem, 'strerror', None) or problem}") from None
    if len(text) > MOST_CHARACTERS:
        raise SpecError(f"{path} has more than {MOST_CHARACTERS:,} characters: no suite needs so many")
    return text


def refuse_depth(events: Any, path: Path) -> None:
    """Refuse values that lie too deep in each other, by the events of a parser, which does not recurse.

    Raises: SpecError naming the line; the parser's own errors.
    """
    import yaml

    depth = 0
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise _error(event, path, f"values lie more than {DEEPEST} deep in each other")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def refuse_size(root: Any, path: Path) -> None:
    """Refuse nodes that come to too many values, or to one that is too long or holds itself.

    Raises: SpecError naming the line.
    """
    _measure(root, path, measured={}, open_nodes=set())


class _Size(NamedTuple):
    values: int
    depth: int


def _measure(node: Any, path: Path, *, measured: dict[int, _Size], open_nodes: set[int]) -> _Size:
    """Return what `node` comes to when every alias is followed; each node is measured once."""
    if id(node) in measured:
        return measured[id(node)]
    if id(node) in open_nodes:
        raise _error(node, path, "these values hold themselves")
    values, depth = 1, 0
    if isinstance(node.value, str):
        _refuse_length(node, path)
    else:
        open_nodes.add(id(node))
        for item in node.value:
            for child in item if isinstance(item, tuple) else (item,):
                size = _measure(child, path, measured=measured, open_nodes=open_nodes)
                values, depth = values + size.values, max(depth, size.depth + 1)
        open_nodes.remove(id(node))
    if values > MOST_VALUES:
        raise _error(
            node, path, f"with its aliases this comes to more than {MOST_VALUES:,} values; a suite has fewer"
        )
    if depth > DEEPEST:
        raise _error(node, path, f"with its aliases, values lie more than {DEEPEST} deep in each other")
    measured[id(node)] = _Size(values, depth)
    return measured[id(node)]


def _refuse_length(node: Any, path: Path) -> None:
    kind, most = ("number", LONGEST_NUMBER) if node.tag in _NUMBERS else ("text", LONGEST_TEXT)
    if len(node.value) > most:
        raise _error(node, path, f"a {kind} of {len(node.value):,} characters; it may have {most:,}")


def _error(place: Any, path: Path, text: str) -> SpecError:
    return SpecError(f"{path}, line {place.start_mark.line + 1}: {text}")
