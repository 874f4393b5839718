"""Contract dataclasses to plain JSON values and back, checked against their annotations."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from typing import Any, TypeVar, cast

T = TypeVar("T")

_MANY = 16
Where = tuple[Any, str]
"""The place of what a value lies in, or `None`, and its own name: put together only for an error."""

Builder = Callable[[Any, Where], Any]
"""Makes of a plain value at a place what an annotation says.

Raises: ValueError naming the place.
"""

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
    return cast(T, _builder(cast(Any, kind))(value, (None, kind.__name__)))


def with_fields(value: T, changes: Mapping[str, object]) -> T:
    """Return the dataclass `value` with the fields of these names built of what `to_plain` gave.

    Raises: ValueError naming the field that does not fit.
    """
    kind = type(value)
    fields = _fields(cast(Any, kind))
    if not changes.keys() <= fields.keys():
        raise ValueError(f"{kind.__name__}: unknown fields {sorted(changes.keys() - fields.keys())}")
    built = {name: fields[name][0](item, (None, f"{kind.__name__}.{name}")) for name, item in changes.items()}
    return cast(T, dataclasses.replace(cast(Any, value), **built))


@cache
def _builder(kind: Any) -> Builder:
    """Return what builds a `kind`: its annotations are looked at once, not for every line of a journal."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return lambda value, _: value
    if origin in (typing.Union, types.UnionType):
        return _union_builder(arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping_builder(*map(_builder, arguments))
    if isinstance(origin, type) and issubclass(origin, (tuple, Sequence, Iterable)):
        return _list_builder(arguments[0])
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _dataclass_builder(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return lambda value, _: kind(value)
    return _scalar_builder(kind)


def _scalar_builder(kind: Any) -> Builder:
    def build(value: Any, where: Where) -> Any:
        if type(value) is not kind:
            is_bool = isinstance(value, bool)
            if kind is float and isinstance(value, int) and not is_bool:
                return _as_float(value, where)
            if not isinstance(value, kind) or (is_bool and kind is not bool):
                raise ValueError(f"{_path(where)}: expected {kind.__name__}, got {value!r:.80}")
        if kind is str and not value.isascii():
            value.encode()  # half a character, which JSON can spell, is an error here: no file can hold it
        return value

    return build


def _as_float(value: int, where: Where) -> float:
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{_path(where)}: a number beyond all bounds") from None


def _union_builder(options: tuple[Any, ...]) -> Builder:
    builders = tuple(map(_builder, options))
    exact = dict(_exact(options, builders))

    def build(value: Any, where: Where) -> Any:
        if (found := exact.get(type(value))) is not None:
            return found(value, where)
        problems = []
        for builder in builders:
            try:
                return builder(value, where)
            except ValueError as problem:
                problems.append(str(problem))
        raise ValueError("; ".join(problems))

    return build


def _exact(options: Sequence[Any], builders: Sequence[Builder]) -> Iterator[tuple[type, Builder]]:
    """Yield the types whose values need no trying of one option after the other, which is most values."""
    known: set[type] = set()
    for option, builder in zip(options, builders, strict=True):
        is_taken_before = (option is int and float in known) or any(map(_takes_texts, options))
        if option is type(None) or (option in _ATOMS and not is_taken_before):
            known.add(option)
            yield option, builder


def _takes_texts(option: Any) -> bool:
    return option is Any or (isinstance(option, type) and issubclass(option, Enum))


def _mapping_builder(build_key: Builder, build_item: Builder) -> Builder:
    def build(value: Any, where: Where) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError(f"{_path(where)}: expected an object, got {value!r:.80}")
        return {build_key(key, where): build_item(item, (where, f".{key}")) for key, item in value.items()}

    return build


def _list_builder(kind: Any) -> Builder:
    build_item = _builder(kind)

    def build(value: Any, where: Where) -> Any:
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{_path(where)}: expected a list, got {value!r:.80}")
        if kind is int and set(map(type, value)) <= {int}:
            return tuple(value)  # token ids: thousands a prompt
        return tuple([build_item(item, (where, f"[{i}]")) for i, item in enumerate(value)])

    return build


def _dataclass_builder(kind: type) -> Builder:
    def build(value: Any, where: Where) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError(f"{_path(where)}: expected an object, got {value!r:.80}")
        fields = _fields(kind)  # not before: the hints of a class may name one that is defined below it
        if not value.keys() <= fields.keys():
            raise ValueError(f"{_path(where)}: unknown fields {sorted(set(value) - set(fields))}")
        built = {}
        for name, item in value.items():
            build_field, place = fields[name]
            built[name] = build_field(item, (where, place))
        try:
            return kind(**built)
        except TypeError as problem:
            raise ValueError(f"{_path(where)}: {problem}") from problem

    return build


@cache
def _fields(kind: type) -> Mapping[str, tuple[Builder, str]]:
    """Return by name what builds each field of a dataclass, and what its place is called."""
    return {name: (_builder(hint), f".{name}") for name, hint in typing.get_type_hints(kind).items()}


def _path(where: Where | None) -> str:
    return "" if where is None else _path(where[0]) + where[1]
