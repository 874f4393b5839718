"""Memory of the device a model runs on: how much there is, and how to go on when it runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from engines.common.device import empty_cache, is_out_of_memory
from modeltest.machine.memory_limit import free_memory_bytes, resident_bytes

T = TypeVar("T")
Item = TypeVar("Item")

_MOST_CHARACTERS = 400


def free_bytes(device: str) -> int | None:
    """Return what is free on `device`; on the cpu `None` where the system does not tell."""
    if device == "cpu":
        return free_memory_bytes()
    free: int = _module(device).mem_get_info()[0]
    return free


def memory_limit_bytes(device: str) -> int | None:
    """Return what `device.peak_memory_bytes` can reach: what this process holds now and what is still free.

    On a device what it holds is what torch has reserved. `None` where the system does not tell.
    """
    held = resident_bytes() if device == "cpu" else _module(device).memory_reserved()
    free = free_bytes(device)
    return None if held is None or free is None else held + free


def attempt(
    work: Callable[[], T], *, device: str, what: str, release: Callable[[], None] | None = None
) -> tuple[T | None, str]:
    """Return what `work` returns and an empty text; or `None` and what to say when memory ran out for `what`.

    `release` lets go of what the work has left, and the device's cache is emptied. Anything else that `work`
    raises is raised.
    """
    try:
        return work(), ""
    except Exception as problem:
        if not is_out_of_memory(problem):
            raise
        text = out_of_memory_text(what, problem)
    # Outside the handler: the traceback it holds would keep the tensors alive.
    if release is not None:
        release()
    empty_cache(device)
    return None, text


def out_of_memory_text(what: str, problem: BaseException) -> str:
    """Return in one line that memory ran out for `what`."""
    return " ".join(f"out of memory with {what}: {problem}".split())[:_MOST_CHARACTERS]


@dataclass(frozen=True, slots=True)
class Part(Generic[Item, T]):
    """Items that were worked on together: their `result`, or the `error` of one that does not fit alone."""

    items: Sequence[Item]
    result: T | None
    error: str = ""


def in_halves(
    items: Sequence[Item],
    work: Callable[[Sequence[Item]], tuple[T | None, str]],
    on_failure: Callable[[], None],
) -> Iterator[Part[Item, T]]:
    """Yield every item once, all together if memory allows, else in halves, down to one.

    `work` returns a result, or what to say when memory ran out, as `attempt` does. `on_failure` is
    called each time.
    """
    waiting = [items]
    while waiting:
        part = waiting.pop()
        result, error = work(part)
        if not error:
            yield Part(part, result)
            continue
        on_failure()
        if len(part) == 1:
            yield Part(part, None, error)
        else:
            waiting += [part[len(part) // 2 :], part[: len(part) // 2]]


def _module(device: str) -> Any:
    import torch

    return getattr(torch, device)
