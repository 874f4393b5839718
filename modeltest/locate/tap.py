"""Looks at every operation of a pass, and hands on what it is told to instead of what was computed.

So each operation of a candidate can be given the reference's values, and what it makes of them is its own
doing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from modeltest.locate.attending import attention_functions, rescaled
from modeltest.locate.parts import layers_of, no_change, with_epsilon
from modeltest.locate.stations import Part, Station, part_given, part_returned

Changes = Mapping[str, Callable[[], Any]]
"""By name, what computes how values at a place would change by one unit of a known fault."""

See = Callable[[Station, Any, Changes], Any]
"""Called with a place, the tensor `[..., channels]` there and known changes; returns what is handed on."""

_TRANSPARENT = ("Dropout", "Identity")
_HEADS = (("queries", Part.ROTARY), ("keys", Part.ROTARY), ("values", Part.VALUES))


@contextmanager
def tapped(model: Any, see: See) -> Iterator[None]:
    """Call `see` at every operation of the passes of `model`, a causal language model of transformers.

    What is there already, hooks among it, is part of the operations. It is taken off at the end.

    Raises: ValueError where no list of decoder layers is found.
    """
    with ExitStack() as undo:
        _Tap(undo, see).put_in(model)
        yield


class _Tap:
    """The hooks of one model."""

    def __init__(self, undo: ExitStack, see: See) -> None:
        self._undo = undo
        self._see = see
        self._layer: int | None = None
        self._calls: Counter[str] = Counter()

    def put_in(self, model: Any) -> None:
        layers = layers_of(model)
        self._hook(model.register_forward_pre_hook(self._begin))
        for place, layer in enumerate(layers):
            # Before the hooks of the modules in it, so that these know which layer they are in.
            self._hook(layer.register_forward_pre_hook(self._entering(place)))
        inside = {id(each) for layer in layers for each in layer.modules()}
        for path, module in model.named_modules():
            kind = type(module).__name__
            if next(module.children(), None) is not None or any(word in kind for word in _TRANSPARENT):
                continue
            part = part_returned(path, kind, in_layer=id(module) in inside)
            self._hook(module.register_forward_pre_hook(self._given(path, part), with_kwargs=True))
            self._hook(module.register_forward_hook(self._returned(path, part)))
        for place, layer in enumerate(layers):
            self._hook(layer.register_forward_hook(self._leaving(place)))
        for mapping, name, inner in attention_functions(model):
            mapping[name] = self._attending(inner)
            self._undo.callback(mapping.__setitem__, name, inner)

    def _hook(self, handle: Any) -> None:
        self._undo.callback(handle.remove)

    def _begin(self, *_: Any) -> None:
        self._calls.clear()
        self._layer = None

    def _entering(self, place: int) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            self._layer = place

        return hook

    def _leaving(self, place: int) -> Callable[..., Any]:
        def hook(_: Any, __: Any, output: Any) -> Any:
            changed = self._look_at_all(f"layer {place} out", Part.RESIDUAL, output)
            self._layer = None
            return changed

        return hook

    def _given(self, path: str, returned: Part) -> Callable[..., Any]:
        def hook(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
            part = part_given(returned, in_layer=self._layer is not None)
            if part is Part.ATTENDED and f"attention of layer {self._layer} out" in self._calls:
                part = Part.HEADS
            if given:
                return (self._look(f"{path} in", part, given[0]), *given[1:]), named
            if not named:
                return given, named
            first = next(iter(named))
            return given, {**named, first: self._look(f"{path} in", part, named[first])}

        return hook

    def _returned(self, path: str, part: Part) -> Callable[..., Any]:
        def hook(module: Any, given: tuple[Any, ...], output: Any) -> Any:
            changes = with_epsilon(module, given) if part in (Part.NORM, Part.FINAL_NORM) else {}
            return self._look_at_all(f"{path} out", part, output, changes)

        return hook

    def _look_at_all(self, name: str, part: Part, output: Any, changes: Changes = no_change) -> Any:
        if isinstance(output, tuple):
            return tuple(self._look(f"{name} {at}", part, each) for at, each in enumerate(output))
        return self._look(name, part, output, changes)

    def _look(self, name: str, part: Part, value: Any, changes: Changes = no_change) -> Any:
        import torch

        if not isinstance(value, torch.Tensor):
            return value
        self._calls[name] += 1
        calls = self._calls[name]
        unique = name if calls == 1 else f"{name} call {calls}"
        return self._see(Station(unique, self._layer, part), value, changes)

    def _attending(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        def attend(module: Any, query: Any, key: Any, value: Any, *rest: Any, **named: Any) -> Any:
            where = f"attention of layer {self._layer}"
            given = [
                self._look_at_heads(f"{where} {name}", part, states)
                for (name, part), states in zip(_HEADS, (query, key, value), strict=True)
            ]
            output, *others = inner(module, *given, *rest, **named)
            changes = rescaled(inner, (module, *given, *rest), named, output)
            return (self._look(f"{where} out", Part.SCORES, output, changes), *others)

        return attend

    def _look_at_heads(self, name: str, part: Part, states: Any) -> Any:
        """Look at `[rows, heads, tokens, width]` as `[rows, tokens, heads, width]`."""
        return self._look(name, part, states.transpose(1, 2)).transpose(1, 2)
