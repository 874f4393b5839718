"""Contract dataclasses to plain JSON values and back, checked against their annotations."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")

_MANY = 16
_ATOMS = frozenset({str, int, float, bool, type(None)})


def to_plain(value: object) -> Any:
    """Return `value` as JSON-able dicts, lists and scalars; field names are kept."""
    if type(value) in _ATOMS:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        if len(value) > _MANY and set(map(type, value)) == {int}:
            return list(value)  # token ids: thousands a prompt
        return [to_plain(item) for item in value]
    return value


def from_plain(kind: type[T], value: object) -> T:
    """Return a `kind` built from what `to_plain` gave.

    Raises: ValueError naming the field when `value` does not fit.
    """
    return typing.cast(T, _build(kind, value, kind.__name__))


def _build(kind: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if kind is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _build_union(kind, value, where)
    if origin is not None:
        return _build_generic(kind, origin, value, where)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _build_dataclass(kind, value, where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    return _build_scalar(kind, value, where)


def _build_scalar(kind: Any, value: Any, where: str) -> Any:
    is_bool = isinstance(value, bool)
    if kind is float and isinstance(value, int) and not is_bool:
        try:
            return float(value)
        except OverflowError:
            raise ValueError(f"{where}: a number beyond all bounds") from None
    if not isinstance(value, kind) or (is_bool and kind is not bool):
        raise ValueError(f"{where}: expected {kind.__name__}, got {value!r:.80}")
    if kind is str and not value.isascii():
        value.encode()  # half a character, which JSON can spell, is an error here: no file can hold it later
    return value


def _build_union(kind: Any, value: Any, where: str) -> Any:
    problems = []
    for option in typing.get_args(kind):
        try:
            return _build(option, value, where)
        except ValueError as problem:
            problems.append(str(problem))
    raise ValueError("; ".join(problems))


def _build_generic(kind: Any, origin: Any, value: Any, where: str) -> Any:
    arguments = typing.get_args(kind)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise ValueError(f"{where}: expected an object, got {value!r:.80}")
        return {
            _build(arguments[0], key, where): _build(arguments[1], item, f"{where}.{key}")
            for key, item in value.items()
        }
    if origin is tuple or (isinstance(origin, type) and issubclass(origin, (Sequence, Iterable))):
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{where}: expected a list, got {value!r:.80}")
        if arguments[0] is int and set(map(type, value)) <= {int}:
            return tuple(value)  # token ids: thousands a prompt
        return tuple(_build(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    raise ValueError(f"{where}: cannot build {kind}")


def _build_dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}: expected an object, got {value!r:.80}")
    hints = _hints(kind)
    unknown = set(value) - set(hints)
    if unknown:
        raise ValueError(f"{where}: unknown fields {sorted(unknown)}")
    built = {name: _build(hints[name], item, f"{where}.{name}") for name, item in value.items()}
    try:
        return kind(**built)
    except TypeError as problem:
        raise ValueError(f"{where}: {problem}") from problem


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)
