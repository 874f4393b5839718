"""What both runners of MindIE share: their import, their ranks, and their errors in our words."""

from __future__ import annotations

import importlib
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engines.common.device import is_out_of_memory
from engines.common.device_errors import is_device_error
from engines.mindie.environment import home_of
from modeltest.api import (
    DeviceError,
    EngineError,
    ModelTestError,
    OutOfMemory,
    PrerequisiteError,
    RunSpec,
    SpecError,
)

_NPU_OUT_OF_MEMORY = ("preemptively rejected", "npuworkspaceallocator tried")
"""Texts of torch_npu beside "out of memory", some of them in plain RuntimeErrors."""

_NO_FREE_BLOCK = "out of memory, need block"
"""PARunner's ValueError when its KV cache has too few blocks: a matter of sizes, not of memory."""


def ranks() -> dict[str, int]:
    """Return the ranks as numbers: the runners compare them with 0, and their own defaults are texts."""
    rank = int(os.environ.get("RANK", "0"))
    return {
        "rank": rank,
        "local_rank": int(os.environ.get("LOCAL_RANK", str(rank))),
        "world_size": int(os.environ.get("WORLD_SIZE", "1")),
    }


def import_runner(spec: RunSpec, module: str, name: str) -> Any:
    """Return the class `name` of MindIE's `examples/<module>.py`.

    Raises: PrerequisiteError when it does not import, or something else of that name does.
    """
    home = home_of(spec)
    try:
        found = importlib.import_module(f"examples.{module}")
    except Exception as problem:  # a wheel without its driver raises ImportError, OSError, RuntimeError, ...
        raise PrerequisiteError(
            f"examples.{module} of {home} does not import: {type(problem).__name__}: {_one_line(problem)}"
        ) from problem
    origin = Path(found.__file__ or "").resolve()
    if home.resolve() not in origin.parents:
        raise PrerequisiteError(f"examples.{module} is {origin}, not the one in {home}; look at PYTHONPATH")
    return getattr(found, name)


def read_environment_again() -> None:
    """Have MindIE read those few variables again that it does not read once."""
    importlib.import_module("atb_llm.utils.env").ENV.update()


@contextmanager
def errors_as_ours(doing: str) -> Iterator[None]:
    """Turn what MindIE raises into our errors.

    Memory that ran out, in any disguise, is `OutOfMemory`. A device that failed is a `DeviceError`, after
    which a fresh process may go on.

    Raises: OutOfMemory, DeviceError, EngineError.
    """
    try:
        yield
    except ModelTestError:
        raise
    except Exception as problem:
        text = f"{doing}: {type(problem).__name__}: {_one_line(problem)}"
        if means_out_of_memory(problem):
            raise OutOfMemory(f"out of memory, {text}") from None  # its traceback would keep the tensors
        if isinstance(problem, ValueError) and _NO_FREE_BLOCK in str(problem):
            text = f"the KV cache has too few blocks for what was sent, {text}"
        has_failed = any(is_device_error(one) for one in _with_causes(problem))
        raise (DeviceError if has_failed else EngineError)(text) from problem


def means_out_of_memory(problem: BaseException) -> bool:
    """Say whether `problem`, or what caused it, is memory that ran out."""
    return any(
        is_out_of_memory(one)
        or (isinstance(one, RuntimeError) and any(sign in str(one).lower() for sign in _NPU_OUT_OF_MEMORY))
        for one in _with_causes(problem)
    )


def with_ends(found: Any, added: Collection[int]) -> Any:
    """Return end-of-text ids in a form that PARunner takes, like `found`, with `added` among them."""
    known = plain_ids(found)
    new = sorted(set(added) - set(known))
    if not new:
        return found
    if isinstance(found, (list, tuple)) and any(isinstance(part, (list, tuple)) for part in found):
        return [*found, *([token] for token in new)]
    return [*known, *new]


def plain_ids(ids: Any) -> tuple[int, ...]:
    """Return end-of-text ids, which are a number, a list or a list of lists, as numbers."""
    if ids is None:
        return ()
    if isinstance(ids, (list, tuple)):
        return tuple(number for part in ids for number in plain_ids(part))
    return (int(ids),)


def checked_dtype(runner: Any, spec: RunSpec) -> str:
    """Return what the runner computes in.

    Raises: SpecError when the engine word means another dtype.
    """
    dtype = str(runner.dtype).removeprefix("torch.")
    if spec.dtype is not None and dtype != spec.dtype:
        raise SpecError(f"{spec.engine} means {spec.dtype}, MindIE has loaded {spec.weights} in {dtype}")
    return dtype


def _with_causes(problem: BaseException) -> list[BaseException]:
    causes = [problem]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    return causes


def _one_line(problem: BaseException) -> str:
    return " ".join(str(problem).split())[:500]
