"""The calls that all ranks of MindIE make together, as they are told from rank to rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, ClassVar

from engines.mindie.runner import RunnerRow
from engines.mindie.sizes import RunnerSize


@dataclass(frozen=True, slots=True)
class Make:
    """Load the model; see `PagedRunner.make`."""

    method: ClassVar[str] = "make"
    size: RunnerSize
    prefill_rows: int | None


@dataclass(frozen=True, slots=True)
class WarmUp:
    """Make the KV cache; see `PagedRunner.warm_up`."""

    method: ClassVar[str] = "warm_up"


@dataclass(frozen=True, slots=True)
class Infer:
    """Run requests; see `PagedRunner.infer`."""

    method: ClassVar[str] = "infer"
    rows: Sequence[RunnerRow]
    max_new_tokens: int
    ignore_eos: bool
    with_logits: bool


@dataclass(frozen=True, slots=True)
class Free:
    """Give the model's memory back; see `PagedRunner.free`."""

    method: ClassVar[str] = "free"


@dataclass(frozen=True, slots=True)
class End:
    """Make no more calls."""

    method: ClassVar[str] = "end"


Call = Make | WarmUp | Infer | Free | End

KINDS: Mapping[str, type[Call]] = MappingProxyType(
    {kind.method: kind for kind in (Make, WarmUp, Infer, Free, End)}
)
"""What a call may be, by the method of a runner that it names."""


def make(call: Call, runner: Any) -> Any:
    """Return what the method of `runner` that `call` names returns."""
    return getattr(runner, call.method)(**{field.name: getattr(call, field.name) for field in fields(call)})
