"""YAML whose values know the line they stand in, so that an error can name it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeltest.api import PrerequisiteError, SpecError
from modeltest.installation import install_command
from modeltest.suite.yaml_limits import read_text, refuse_depth, refuse_size

_TEXT = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True)
class Located:
    """One value: a scalar, a list of `Located` or a dict from text to `Located`."""

    value: Any
    where: str
    """File and line, as errors begin."""

    def error(self, text: str) -> SpecError:
        """Return the error that says what is wrong with this value."""
        return SpecError(f"{self.where}: {text}")

    def mapping(self, what: str) -> dict[str, Located]:
        """Return the value as a mapping.

        Raises: SpecError when it is none.
        """
        if not isinstance(self.value, dict):
            raise self.error(f"{what} must be a mapping of names to values, not {self.shown}")
        return self.value

    def items(self, what: str) -> list[Located]:
        """Return the value as a list.

        Raises: SpecError when it is none.
        """
        if not isinstance(self.value, list):
            raise self.error(f"{what} must be a list, not {self.shown}")
        return self.value

    def text(self, what: str) -> str:
        """Return the value as text.

        Raises: SpecError when it is none.
        """
        if not isinstance(self.value, str):
            raise self.error(f"{what} must be a text, not {self.shown}; put it in quotes if it is one")
        return self.value

    @property
    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, list):
            return [item.plain for item in self.value]
        if isinstance(self.value, dict):
            return {name: item.plain for name, item in self.value.items()}
        return self.value

    @property
    def shown(self) -> str:
        """The value as an error shows it."""
        return f"{self.plain!r:.60}"


def read_yaml(path: Path) -> Located:
    """Return what `path` holds.

    Raises: PrerequisiteError without PyYAML; SpecError when the file cannot be read, is no YAML, has a key
    twice, or asks for more than a suite may hold.
    """
    try:
        import yaml
    except ImportError:
        raise PrerequisiteError(f"a suite needs PyYAML: {install_command('suite')}") from None
    text = read_text(path)
    try:
        loader = yaml.SafeLoader(text)
    except yaml.reader.ReaderError as problem:
        place = f"{path}, line {text.count(chr(10), 0, problem.position) + 1}"
        raise SpecError(f"{place}: not YAML: the character U+{problem.character:04X}") from None
    try:
        refuse_depth(yaml.parse(text, yaml.SafeLoader), path)
        node = loader.get_single_node()
        if node is None:
            raise SpecError(f"{path} is empty")
        refuse_size(node, path)
        _refuse_repeated_keys(node, path)
        return _located(node, loader, path)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        place = f", line {mark.line + 1}" if mark else ""
        raise SpecError(f"{path}{place}: not YAML: {problem.problem or problem.context}") from None
    except yaml.YAMLError as problem:
        raise SpecError(f"{path}: not YAML: {' '.join(str(problem).split())}") from None
    finally:
        loader.dispose()


def _located(node: Any, loader: Any, path: Path, key: Any = None) -> Located:
    """Return what `node` holds; a value that has a key stands where its key does."""
    import yaml

    where = f"{path}, line {(key or node).start_mark.line + 1}"
    if isinstance(node, yaml.SequenceNode):
        return Located([_located(child, loader, path) for child in node.value], where)
    if isinstance(node, yaml.MappingNode):
        pairs = {name: (key_node, child) for name, key_node, child in _pairs(node, loader, path)}
        return Located(
            {name: _located(child, loader, path, key_node) for name, (key_node, child) in pairs.items()},
            where,
        )
    try:
        value = loader.construct_object(node)
    except ValueError as problem:  # the 45th of a month, or `!!int` before a word
        raise SpecError(f"{where}: {node.value!r:.60} cannot be read: {problem}; put it in quotes") from None
    if value is not None and not isinstance(value, (str, int, float, bool)):
        value = node.value  # a date, say: the text as it stands
    return Located(value, where)


def _refuse_repeated_keys(node: Any, path: Path) -> None:
    """Raise SpecError where a mapping has a key twice; before anything is merged into it."""
    pending, seen = [node], set()
    while pending:
        current = pending.pop()
        if id(current) in seen or not isinstance(getattr(current, "value", None), list):
            continue
        seen.add(id(current))
        keys: set[str] = set()
        for item in current.value:
            child = item
            if isinstance(item, tuple):
                key, child = item
                if not isinstance(key.value, str):
                    raise _no_name(key, path)
                if key.value in keys:
                    line = key.start_mark.line + 1
                    raise SpecError(f"{path}, line {line}: {key.value!r} is given twice")
                keys.add(key.value)
            pending.append(child)


def _pairs(node: Any, loader: Any, path: Path) -> Iterator[tuple[str, Any, Any]]:
    """Yield the keys of a mapping, each with its node and that of its value."""
    loader.flatten_mapping(node)  # `<<: *anchor`: what is merged comes first
    for key_node, child in node.value:
        key = loader.construct_object(key_node) if key_node.tag == _TEXT else None
        if not isinstance(key, str):
            raise _no_name(key_node, path)
        yield key, key_node, child


def _no_name(key_node: Any, path: Path) -> SpecError:
    shown = key_node.value if isinstance(key_node.value, str) else "of a list or a mapping"
    return SpecError(
        f"{path}, line {key_node.start_mark.line + 1}: the name {shown:.60} must be a text; put it in quotes"
    )
