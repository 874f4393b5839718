"""Changes of a loaded torch model that are taken off exactly: values, hooks, forwards, weights.

Each registers with an `ExitStack` how it is taken off. What was there is put back as the same object, so that
a model is bit for bit what it was.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

Change = Callable[[Any], Any]
"""From a tensor to the one that takes its place; never in place."""


def set_value(undo: ExitStack, owner: Any, name: str, value: Any) -> None:
    """Give the attribute `name` of `owner` another value; buffers and parameters stay what they are."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    undo.callback(setattr, owner, name, before)


def on_output(undo: ExitStack, module: Any, change: Change) -> None:
    """Change what `module` returns; of several values the first."""

    def hook(_: Any, __: Any, output: Any) -> Any:
        return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    undo.callback(module.register_forward_hook(hook).remove)


def on_outputs(undo: ExitStack, module: Any, change: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> None:
    """Change all values that `module` returns."""
    undo.callback(module.register_forward_hook(lambda _, __, output: change(output)).remove)


def on_input(undo: ExitStack, module: Any, change: Change) -> None:
    """Change the first argument of `module`, however it is given."""

    def hook(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if given:
            return (change(given[0]), *given[1:]), named
        first = next(iter(named))
        return given, {**named, first: change(named[first])}

    undo.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)


def on_arguments(
    undo: ExitStack, module: Any, change: Callable[[tuple[Any, ...], dict[str, Any]], Any]
) -> None:
    """Change the arguments of `module`: `change` returns those by place and those by name."""

    def hook(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        return change(given, named)

    undo.callback(module.register_forward_pre_hook(hook, with_kwargs=True).remove)


def run_instead(undo: ExitStack, module: Any, forward: Callable[..., Any]) -> None:
    """Let `module` compute `forward` instead of what its class says."""
    before = module.__dict__.get("forward")
    module.__dict__["forward"] = forward

    def restore() -> None:
        if before is None:
            del module.__dict__["forward"]
        else:
            module.__dict__["forward"] = before

    undo.callback(restore)


def edit_weight(undo: ExitStack, parameter: Any, edit: Callable[[Any], Any]) -> None:
    """Put what `edit` returns of a copy of `parameter` in its place; it may change the copy and return it.

    Of a weight that several modules share, all see the edited one.
    """
    import torch

    before = parameter.data
    with torch.no_grad():
        after = edit(before.clone())
    parameter.data = after.to(before.dtype).contiguous()

    def restore() -> None:
        parameter.data = before

    undo.callback(restore)


def put_weight(undo: ExitStack, parameter: Any, values: Any) -> None:
    """Put a copy of `values` in the place of `parameter`."""
    edit_weight(undo, parameter, lambda _: values.clone())


def edit_matrix(undo: ExitStack, module: Any, edit: Callable[[Any], None]) -> None:
    """Let `edit` change the matrix of `module` in place, seen as `[inputs, outputs]` however it is stored."""

    def edited(weight: Any) -> Any:
        edit(weight if is_stored_by_input(module) else weight.T)
        return weight

    edit_weight(undo, module.weight, edited)


def is_stored_by_input(module: Any) -> bool:
    """Say whether the matrix of `module` is `[inputs, outputs]`, as GPT-2's, and not the other way round."""
    return type(module).__name__ == "Conv1D"
